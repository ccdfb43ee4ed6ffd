//! Sums over a while, for each pair of ends: from the kernel's counters, which never depend on what was recorded.

use std::collections::BTreeMap;

use enforcer_common::event::hook_name;
use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_common::{reason, verdict};
use enforcer_proto::v1;

use super::record::{TOTALS, end_of, reason_name};
use super::scene::Scene;

/// Counters that are followed at most: as many as the kernel's table holds by default.
const COUNTERS_MAX: usize = 65_536;

/// Where the counters stood.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    seen: BTreeMap<(u32, u32, u16, u8, u8), CounterValue>,
}

impl Totals {
    /// A record, not numbered, for each counter that grew since the last time; the first time there are none. `since_ns` is
    /// how long ago that was.
    pub fn take(
        &mut self,
        counters: &[(CounterKey, CounterValue)],
        scene: &Scene,
        time: prost_types::Timestamp,
        since_ns: Option<u64>,
    ) -> Vec<v1::Record> {
        let mut records = Vec::new();
        for (key, value) in counters {
            let place = (key.source, key.destination, key.reason, key.hook, key.audited);
            if self.seen.len() >= COUNTERS_MAX && !self.seen.contains_key(&place) {
                continue;
            }
            let before = self.seen.insert(place, *value).unwrap_or_default();
            // One that fell was started anew.
            let packets = value.packets.checked_sub(before.packets).unwrap_or(value.packets);
            let bytes = value.bytes.checked_sub(before.bytes).unwrap_or(value.bytes);
            if let Some(since_ns) = since_ns.filter(|_| packets != 0) {
                records.push(record(key, (packets, bytes), scene, time, since_ns));
            }
        }
        records
    }
}

fn record(
    key: &CounterKey,
    (packets_sent, bytes_sent): (u64, u64),
    scene: &Scene,
    time: prost_types::Timestamp,
    duration_ns: u64,
) -> v1::Record {
    let action = match (key.reason, key.audited) {
        (reason::NONE, _) => verdict::ALLOW,
        (_, 0) => verdict::DENY,
        _ => verdict::AUDIT,
    };
    v1::Record {
        time: Some(time),
        node: scene.facts.name.clone(),
        r#type: TOTALS.to_owned(),
        verdict: verdict::action_name(action).to_owned(),
        reason: reason_name(key.reason),
        hook: hook_name(key.hook).to_owned(),
        source: Some(end_of(scene, key.source)),
        // The device gate has no second end.
        destination: (key.destination != 0).then(|| end_of(scene, key.destination)),
        flow: Some(v1::FlowFacts {
            event: TOTALS.to_owned(),
            packets_sent,
            bytes_sent,
            duration_ns,
            ..v1::FlowFacts::default()
        }),
        ..v1::Record::default()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::node::NodeFacts;
    use crate::policy::model::Policy;

    #[test]
    fn what_grew_is_told_and_what_did_not_is_not() {
        let mut policy = Policy::default();
        policy.index.tenant_by_id.insert(16, "red".into());
        let scene = Scene::new(1, Arc::new(policy), Arc::new(NodeFacts::default()));
        let key = |source| CounterKey { source, destination: 1, ..CounterKey::default() };
        let value = |packets| CounterValue { packets, bytes: packets * 10 };
        let mut totals = Totals::default();
        let now = prost_types::Timestamp::default();
        assert!(totals.take(&[(key(16), value(5))], &scene, now, None).is_empty());
        let told = totals.take(&[(key(16), value(7)), (key(4711), value(1))], &scene, now, Some(60));
        let facts: Vec<_> = told
            .iter()
            .map(|record| {
                let (flow, source) = (record.flow.as_ref().unwrap(), record.source.as_ref().unwrap());
                (source.identity.as_str(), source.of_node, flow.packets_sent, flow.bytes_sent)
            })
            .collect();
        assert_eq!(facts, [("red", false, 2, 20), ("identity-4711", true, 1, 10)]);
        assert_eq!((told[0].verdict.as_str(), told[0].r#type.as_str()), ("allow", "totals"));
        assert!(totals.take(&[(key(16), value(7))], &scene, now, Some(60)).is_empty());
        // The programs were loaded anew.
        assert_eq!(totals.take(&[(key(16), value(3))], &scene, now, Some(60)).len(), 1);
    }
}
