//! What the trace room itself has to tell: keys that were made, used or destroyed, and what was not kept. Numbers are given
//! where records are numbered.

use std::time::SystemTime;

use enforcer_core::event::record::KEY;
use enforcer_core::event::sequence::loss;
use enforcer_proto::v1;
use enforcer_trace::split::NODE;

use crate::door::records::Tell;

/// Who did what nobody asked for.
const AGENT: &str = "agent";

/// Where the room's records go.
#[derive(Clone)]
pub struct Teller {
    node: String,
    tell: Tell,
}

impl Teller {
    /// For a node.
    #[must_use]
    pub const fn new(node: String, tell: Tell) -> Self {
        Self { node, tell }
    }

    /// A tenant's key was made.
    pub(super) fn made(&self, tenant: &str, id: &str) {
        self.key(Some(tenant), "made", id, AGENT, "seals the tenant's traces from now on");
    }

    /// Somebody was given the data key of a file: the tenant's to know.
    pub(super) fn unwrapped(&self, tenant: &str, id: &str, actor: &str) {
        self.key(Some(tenant), "unwrapped", id, actor, "the data key of a file was handed out");
    }

    /// A tenant's key was destroyed. The record is the node's: the tenant's own can no longer be read.
    pub(super) fn destroyed(&self, id: &str, actor: &str, reason: &str) {
        self.key(None, "destroyed", id, actor, reason);
    }

    fn key(&self, tenant: Option<&str>, event: &str, id: &str, actor: &str, message: &str) {
        let note = v1::Note {
            event: event.to_owned(),
            subject: id.to_owned(),
            actor: actor.to_owned(),
            message: message.to_owned(),
            ..v1::Note::default()
        };
        (self.tell)(v1::Record {
            time: Some(SystemTime::now().into()),
            node: self.node.clone(),
            r#type: KEY.to_owned(),
            source: tenant.filter(|tenant| *tenant != NODE).map(end),
            note: Some(note),
            ..v1::Record::default()
        });
    }

    /// Records of a tenant were not kept.
    pub(super) fn lost(&self, tenant: &str, cause: &str, records: u64) {
        let loss = loss(&self.node, cause, records, SystemTime::now().into());
        (self.tell)(v1::Record { source: (tenant != NODE).then(|| end(tenant)), ..loss });
    }
}

fn end(tenant: &str) -> v1::Endpoint {
    v1::Endpoint { identity: tenant.to_owned(), ..v1::Endpoint::default() }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use enforcer_core::event::redact::viewers;

    use super::*;

    /// A teller, and what it told.
    pub(in crate::trace) fn teller() -> (Teller, Arc<Mutex<Vec<v1::Record>>>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let tell: Tell = Arc::new(move |record| heard.lock().unwrap().push(record));
        (Teller::new("n1".to_owned(), tell), told)
    }

    #[test]
    fn what_happens_to_a_key_is_its_tenants_to_know_until_it_is_gone() {
        let (teller, told) = teller();
        teller.made("red", "red/1");
        teller.made(NODE, "_node/1");
        teller.unwrapped("red", "red/1", "uid:0");
        teller.destroyed("red/1", "uid:0", "left");
        teller.lost("red", "store_full", 3);
        teller.lost(NODE, "store_full", 4);
        let told = told.lock().unwrap();
        let seen: Vec<Vec<&str>> = told.iter().map(|record| viewers(record).collect()).collect();
        assert_eq!(seen, [vec!["red"], vec![], vec!["red"], vec![], vec!["red"], vec![]]);
        let events: Vec<&str> =
            told.iter().filter_map(|record| record.note.as_ref()).map(|note| note.event.as_str()).collect();
        assert_eq!(events, ["made", "made", "unwrapped", "destroyed"]);
        assert_eq!((told[4].lost_before, told[4].reason.as_str()), (3, "store_full"));
        assert!(told.iter().all(|record| record.node == "n1" && record.time.is_some()));
    }
}
