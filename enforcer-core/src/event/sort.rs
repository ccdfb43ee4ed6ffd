//! Records by how much they matter: samples show what goes on, the others what went wrong or was done.

use enforcer_common::verdict;
use enforcer_proto::v1;

use super::record::{FLOW, PROCESS, TOTALS};

/// True for what is let go first where there is too little room: allowed flows, their states and ends, totals, and
/// processes that begin and end.
#[must_use]
pub fn is_sample(record: &v1::Record) -> bool {
    match record.r#type.as_str() {
        FLOW => is_allowed(record),
        PROCESS | TOTALS => true,
        _ => false,
    }
}

/// An allowed flow, or what a socket tells of itself: that has no verdict.
fn is_allowed(record: &v1::Record) -> bool {
    record.verdict == verdict::action_name(verdict::ALLOW)
        || (record.verdict.is_empty() && record.flow.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_samples_are_let_go_first() {
        let of = |kind: &str, verdict: &str| v1::Record {
            r#type: kind.to_owned(),
            verdict: verdict.to_owned(),
            ..v1::Record::default()
        };
        let state = v1::Record { flow: Some(v1::FlowFacts::default()), ..of("flow", "") };
        for record in [of("flow", "allow"), state, of("process", ""), of("totals", "deny")] {
            assert!(is_sample(&record), "{record:?}");
        }
        let security = [
            of("flow", "deny"),
            of("flow", "audit"),
            of("flow", ""),
            of("device", "allow"),
            of("tunnel", "allow"),
            of("loss", ""),
            of("unknown-9", "allow"),
        ];
        for record in security {
            assert!(!is_sample(&record), "{record:?}");
        }
    }
}
