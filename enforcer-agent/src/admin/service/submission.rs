//! Requests as submissions to the policy room.

use std::time::Instant;

use enforcer_core::policy::change::Change;
use enforcer_core::policy::parse::yaml;
use enforcer_core::policy::problem::Problem;
use enforcer_proto::v1::{ApplyRequest, Documents, PushRequest, apply_request, push_request};

use crate::admin::caller::Caller;
use crate::door::policy::Submission;

/// From a push. An absent change is an error, not an empty one.
pub(super) fn of_push(
    request: PushRequest,
    caller: &Caller,
    received: Instant,
) -> Result<Submission, Problem> {
    let PushRequest { nonce: _, base_revision, change } = request;
    let change = match change {
        Some(push_request::Change::Snapshot(snapshot)) => Change::Snapshot(snapshot),
        Some(push_request::Change::Delta(delta)) => Change::Delta(delta),
        None => return Err(missing("snapshot or delta")),
    };
    if base_revision.is_none() && matches!(change, Change::Delta(_)) {
        return Err(Problem::new(
            "missing_field",
            "base_revision",
            "a delta states the revision it builds on; it is in every acknowledgement",
        ));
    }
    Ok(Submission { change, base_revision, author: caller.to_string(), source: "push".to_owned(), received })
}

/// From an apply. Documents take a while to read: not on a thread that others wait for.
pub(super) fn of_apply(
    request: ApplyRequest,
    caller: &Caller,
    received: Instant,
) -> Result<Submission, Problem> {
    let ApplyRequest { base_revision, change } = request;
    let change = match change {
        Some(apply_request::Change::Snapshot(snapshot)) => Change::Snapshot(snapshot),
        Some(apply_request::Change::Delta(delta)) => Change::Delta(delta),
        Some(apply_request::Change::Documents(documents)) => read(documents),
        None => return Err(missing("snapshot, delta or documents")),
    };
    Ok(Submission { change, base_revision, author: caller.to_string(), source: "apply".to_owned(), received })
}

fn read(documents: Documents) -> Change {
    let Documents { items, prune } = documents;
    let files: Vec<(String, String)> = items.into_iter().map(|item| (item.name, item.content)).collect();
    Change::Documents { documents: yaml::read(&files), prune }
}

fn missing(wanted: &str) -> Problem {
    Problem::new("missing_field", "change", format!("nothing was asked for; set {wanted}"))
}
