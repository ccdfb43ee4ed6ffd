//! Refusals as gRPC statuses: the fitting code, and every problem in `google.rpc.BadRequest`.

use enforcer_core::policy::problem::Problem;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::admin::limits::STATUS_DETAILS_MAX_BYTES;
use crate::door::policy::{Closed, Refusal};

/// Who is told what a code means for them: machines read it beside the first problem's word.
const DOMAIN: &str = "enforcer.dev";

/// A refused change.
pub(super) fn refused(refusal: &Refusal) -> Status {
    of_problems(&refusal.problems)
}

/// Problems as a status. What does not fit into the headers of an answer is counted.
pub(super) fn of_problems(problems: &[Problem]) -> Status {
    let mut violations = Vec::new();
    let mut bytes = 0;
    for problem in problems {
        let violation = FieldViolation::new(problem.path.clone(), description(problem));
        bytes += violation.field.len() + violation.description.len();
        if bytes > STATUS_DETAILS_MAX_BYTES && !violations.is_empty() {
            break;
        }
        violations.push(violation);
    }
    let untold = problems.len() - violations.len();
    let message = match (problems.first(), problems.len(), untold) {
        (None, ..) => "refused".to_owned(),
        (Some(first), 1, _) => short(&first.message),
        (Some(_), count, 0) => format!("{count} problems"),
        (Some(_), count, untold) => {
            format!("{count} problems, of which {untold} do not fit here; `Validate` tells them all")
        }
    };
    let mut details = ErrorDetails::with_bad_request(violations);
    if let Some(first) = problems.first() {
        details.set_error_info(first.code, DOMAIN, [("problems".to_owned(), problems.len().to_string())]);
    }
    Status::with_error_details(code(problems), message, details)
}

/// The agent is on its way out.
pub(super) fn closed(_: Closed) -> Status {
    Status::unavailable("the agent is stopping; try again")
}

/// The kernel could not be asked.
pub(super) fn unreadable(error: String) -> Status {
    Status::internal(error)
}

/// The code of the problem that matters most: what the sender can mend comes first.
fn code(problems: &[Problem]) -> Code {
    let codes: Vec<Code> = problems.iter().map(|problem| code_of(problem.code)).collect();
    [Code::InvalidArgument, Code::NotFound, Code::FailedPrecondition, Code::ResourceExhausted]
        .into_iter()
        .find(|code| codes.contains(code))
        .unwrap_or(Code::Internal)
}

fn code_of(word: &str) -> Code {
    match word {
        "stale_base_revision" | "base_unknown" | "capability_absent" => Code::FailedPrecondition,
        "capacity_exceeded" | "too_many" | "too_many_objects" | "document_too_large" => {
            Code::ResourceExhausted
        }
        "unknown_revision" => Code::NotFound,
        "kernel_failed" | "store_failed" | "node_unreadable" => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

fn description(problem: &Problem) -> String {
    let message = short(&problem.message);
    match (&problem.file, problem.line) {
        (Some(file), Some(line)) => format!("{}:{line}: {message}", short(file)),
        (Some(file), None) => format!("{}: {message}", short(file)),
        (None, _) => message,
    }
}

/// Headers are bounded, and a message may hold what a sender wrote.
fn short(text: &str) -> String {
    const CHARACTERS_MAX: usize = 512;
    if text.chars().nth(CHARACTERS_MAX).is_none() {
        return text.to_owned();
    }
    text.chars().take(CHARACTERS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(codes: &[&'static str]) -> Status {
        let problems: Vec<Problem> =
            codes.iter().map(|code| Problem::new(code, "rules[a]", "wrong")).collect();
        of_problems(&problems)
    }

    #[test]
    fn the_code_fits_what_is_wrong() {
        assert_eq!(status(&["stale_base_revision"]).code(), Code::FailedPrecondition);
        assert_eq!(status(&["capacity_exceeded"]).code(), Code::ResourceExhausted);
        assert_eq!(status(&["capability_absent", "unknown_field"]).code(), Code::InvalidArgument);
        assert_eq!(status(&["kernel_failed"]).code(), Code::Internal);
        assert_eq!(status(&["unknown_revision"]).code(), Code::NotFound);
    }

    #[test]
    fn every_problem_is_in_the_details() {
        let details = status(&["duplicate_name", "unknown_tenant"]).get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), 2);
        assert_eq!((violations[0].field.as_str(), violations[0].description.as_str()), ("rules[a]", "wrong"));
        assert_eq!(details.error_info().unwrap().reason, "duplicate_name");
    }

    #[test]
    fn a_thousand_problems_fit_into_headers_and_are_counted() {
        let problem = Problem::new("unknown_field", "rules[a].b", "x".repeat(10_000));
        let status = of_problems(&vec![problem; 1_000]);
        assert!(status.details().len() + status.message().len() < 12 << 10);
        assert!(status.message().starts_with("1000 problems, of which"));
    }
}
