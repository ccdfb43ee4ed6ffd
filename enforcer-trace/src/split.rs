//! Whose a record is: which tenants' files it goes into, and as what.

use std::sync::Arc;

use enforcer_core::event::redact::{share, viewers};
use enforcer_proto::v1;

use crate::name;

/// Where records go that belong to no tenant. No tenant has this name: theirs begin with a letter or digit.
pub const NODE: &str = "_node";

/// Hands every owner its part of a record: the record where it concerns nobody else, its half where it does.
pub(crate) fn split(record: &Arc<v1::Record>, mut each: impl FnMut(&str, &v1::Record)) {
    let mut nobody = true;
    for viewer in viewers(record) {
        if let Some(part) = share(record, viewer)
            && name::check(viewer).is_ok()
        {
            each(viewer, &part);
            nobody = false;
        }
    }
    if nobody {
        each(NODE, record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(source: &str, destination: &str, verdict: &str) -> Arc<v1::Record> {
        let end = |identity: &str| {
            Some(v1::Endpoint {
                identity: identity.to_owned(),
                address: format!("address of {identity}"),
                ..v1::Endpoint::default()
            })
        };
        Arc::new(v1::Record {
            sequence: 7,
            r#type: "flow".to_owned(),
            verdict: verdict.to_owned(),
            source: end(source),
            destination: end(destination),
            ..v1::Record::default()
        })
    }

    fn parts(record: &Arc<v1::Record>) -> Vec<(String, v1::Record)> {
        let mut parts = Vec::new();
        split(record, |owner, part| parts.push((owner.to_owned(), part.clone())));
        parts
    }

    #[test]
    fn a_record_of_one_tenant_is_its_own_whole() {
        let record = flow("red", "world", "deny");
        assert_eq!(parts(&record), [("red".to_owned(), v1::Record::clone(&record))]);
    }

    #[test]
    fn of_a_record_of_two_each_gets_a_half_without_the_other() {
        let parts = parts(&flow("red", "blue", "deny"));
        let owners: Vec<&str> = parts.iter().map(|(owner, _)| owner.as_str()).collect();
        assert_eq!(owners, ["red", "blue"]);
        for (owner, part) in &parts {
            let other = if owner == "red" { "blue" } else { "red" };
            assert!(part.half && !format!("{part:?}").contains(other), "{owner}: {part:?}");
        }
    }

    #[test]
    fn what_is_nobodys_is_the_nodes() {
        let record = flow("host", "world", "deny");
        assert_eq!(parts(&record), [(NODE.to_owned(), v1::Record::clone(&record))]);
        let odd = flow("../../etc", "world", "deny");
        assert_eq!(parts(&odd), [(NODE.to_owned(), v1::Record::clone(&odd))]);
    }
}
