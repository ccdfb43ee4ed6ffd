//! What is wrong with a policy, as the agent or the offline parser says it: every problem, with its place.

use enforcer_proto::v1;
use serde::Serialize;
use tonic::Status;
use tonic_types::StatusExt as _;

use crate::table::{Cell, Table};

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    /// Stable word, when the sender gave one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) code: String,
    /// `rules[web-to-db].to.tenant`
    pub(crate) path: String,
    /// What is wrong, and what to do.
    pub(crate) message: String,
    /// File, when the policy came from files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) file: Option<String>,
    /// From 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
}

impl From<v1::Problem> for Problem {
    fn from(problem: v1::Problem) -> Self {
        let v1::Problem { code, path, message, file, line } = problem;
        Self {
            code,
            path,
            message,
            file: (!file.is_empty()).then_some(file),
            line: (line != 0).then_some(line),
        }
    }
}

/// The problems in a status' `google.rpc.BadRequest`.
pub(crate) fn of_status(status: &Status) -> Vec<Problem> {
    let Some(details) = status.get_details_bad_request() else { return Vec::new() };
    let to_problem = |violation: tonic_types::FieldViolation| Problem {
        code: violation.reason,
        path: violation.field,
        message: violation.description,
        ..Problem::default()
    };
    details.field_violations.into_iter().map(to_problem).collect()
}

impl Problem {
    /// `file:line`, `file`, or nothing.
    fn place(&self) -> String {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => format!("{file}:{line}"),
            (Some(file), None) => file.clone(),
            (None, Some(line)) => format!("line {line}"),
            (None, None) => String::new(),
        }
    }

    /// `file:line: path: message`, the form that editors jump from; what is not known is left out.
    pub(crate) fn line(&self) -> String {
        let parts = [self.place(), self.path.clone(), self.message.clone()];
        let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        known.join(": ")
    }
}

/// A row a problem.
pub(crate) fn table(problems: &[Problem]) -> Table {
    let mut table = Table::new(&["WHERE", "PATH", "PROBLEM"]);
    for problem in problems {
        let place = problem.place();
        let place = if place.is_empty() { Cell::absent() } else { Cell::from(place) };
        table.row([place, Cell::from(problem.path.as_str()), Cell::from(problem.message.as_str())]);
    }
    table
}

/// `problems` as an object of its own, for JSON and YAML.
#[derive(Debug, Serialize)]
pub(crate) struct Refusal<'a> {
    /// What was refused.
    pub(crate) error: &'a str,
    /// Every problem.
    pub(crate) problems: &'a [Problem],
}

/// "1 problem", "2 problems".
pub(crate) fn count(number: usize) -> String {
    if number == 1 { "1 problem".to_owned() } else { format!("{number} problems") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::style::Style;
    use tonic::Code;
    use tonic_types::{BadRequest, ErrorDetails, FieldViolation};

    #[test]
    fn every_violation_of_a_bad_request_becomes_a_problem() {
        let violations = vec![
            FieldViolation::new("rules[a].ports", "is empty"),
            FieldViolation::new("tenants[b].id", "is taken"),
        ];
        let details = ErrorDetails::with_bad_request(BadRequest::new(violations).field_violations);
        let status = Status::with_error_details(Code::InvalidArgument, "2 problems", details);
        let problems = of_status(&status);
        assert_eq!(problems.len(), 2);
        assert_eq!(problems.first().map(Problem::line), Some("rules[a].ports: is empty".to_owned()));
        assert!(of_status(&Status::new(Code::InvalidArgument, "no details")).is_empty());
    }

    #[test]
    fn a_problem_is_placed_as_precisely_as_it_is_known() {
        let wire = v1::Problem {
            code: "unknown_field".to_owned(),
            path: "tenants[a].spec.colour".to_owned(),
            message: "is no field".to_owned(),
            file: "a.yaml".to_owned(),
            line: 7,
        };
        let problem = Problem::from(wire.clone());
        assert_eq!(problem.line(), "a.yaml:7: tenants[a].spec.colour: is no field");
        let problem = Problem::from(v1::Problem { line: 0, ..wire.clone() });
        assert_eq!(problem.line(), "a.yaml: tenants[a].spec.colour: is no field");
        let problem = Problem::from(v1::Problem { line: 0, file: String::new(), ..wire });
        assert_eq!(problem.line(), "tenants[a].spec.colour: is no field");
        assert_eq!(
            table(&[problem]).render(Style::Plain),
            "WHERE  PATH                    PROBLEM\n-      tenants[a].spec.colour  is no field\n"
        );
    }
}
