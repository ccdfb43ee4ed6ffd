//! Namespaces in which flows were seen within the last hour.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_proto::v1;

use super::end::tenant;
use super::flow::is_flow;
use super::names::Names;

/// How long one is remembered, in seconds.
const REMEMBERED: i64 = 3_600;
/// How many are remembered: one for each tenant that a node can have.
const REMEMBERED_MAX: usize = 16_384;

/// When a tenant was last seen in a namespace, in seconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct Namespaces(BTreeMap<(String, String), i64>);

impl Namespaces {
    /// Remembers a flow's ends.
    pub fn see(&mut self, record: &v1::Record, names: &Names) {
        if !is_flow(record) {
            return;
        }
        let seconds = record.time.map_or(0, |time| time.seconds);
        for end in [&record.source, &record.destination].into_iter().flatten() {
            if let Some(tenant) = tenant(end) {
                self.remember(names.namespace(tenant, &end.workload), tenant.to_owned(), seconds);
            }
        }
    }

    fn remember(&mut self, namespace: String, tenant: String, seconds: i64) {
        let key = (namespace, tenant);
        if self.0.len() >= REMEMBERED_MAX && !self.0.contains_key(&key) {
            let oldest = self.0.iter().min_by_key(|(_, seen)| **seen).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.0.remove(&oldest));
        }
        let seen = self.0.entry(key).or_insert(seconds);
        *seen = seconds.max(*seen);
    }

    /// Those seen within the hour before `now`, in order; with a tenant, those of that tenant alone.
    pub fn list(&mut self, of: Option<&str>, now: i64) -> Vec<String> {
        self.0.retain(|_, seen| now.saturating_sub(*seen) <= REMEMBERED);
        let is_shown = |tenant: &str| of.is_none_or(|of| of == tenant);
        let shown =
            self.0.keys().filter(|(_, tenant)| is_shown(tenant)).map(|(namespace, _)| namespace.clone());
        shown.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stage::{end, names, record};
    use super::*;

    fn at(seconds: i64, source: v1::Endpoint, destination: v1::Endpoint) -> v1::Record {
        let time = Some(prost_types::Timestamp { seconds, nanos: 0 });
        v1::Record { time, source: Some(source), destination: Some(destination), ..record() }
    }

    #[test]
    fn namespaces_of_the_last_hour_are_sorted() {
        let mut seen = Namespaces::default();
        seen.see(&at(1_000, end("red", "web-0", "", 0), end("blue", "db-0", "", 0)), &names());
        seen.see(&at(2_000, end("red", "bare", "", 0), end("world", "", "192.0.2.1", 0)), &names());
        assert_eq!(seen.list(None, 2_000), ["blue", "red", "shop"]);
        assert_eq!(seen.list(None, 1_000 + REMEMBERED), ["blue", "red", "shop"]);
        assert_eq!(seen.list(None, 1_001 + REMEMBERED), ["red"]);
        assert!(seen.list(None, 2_001 + REMEMBERED).is_empty());
    }

    #[test]
    fn a_tenant_sees_its_own() {
        let mut seen = Namespaces::default();
        seen.see(&at(1_000, end("red", "web-0", "", 0), end("blue", "db-0", "", 0)), &names());
        assert_eq!(seen.list(Some("red"), 1_000), ["shop"]);
        assert_eq!(seen.list(Some("blue"), 1_000), ["blue"]);
        assert!(seen.list(Some("green"), 1_000).is_empty());
    }

    #[test]
    fn only_flows_count_and_memory_is_bounded() {
        let mut seen = Namespaces::default();
        let device = v1::Record { r#type: "device".to_owned(), ..record() };
        seen.see(&device, &names());
        assert!(seen.list(None, 1_000).is_empty());
        for tenant in 0..i64::try_from(REMEMBERED_MAX).unwrap() + 5 {
            seen.see(&at(tenant, end(&format!("t{tenant}"), "", "", 0), end("world", "", "", 0)), &names());
        }
        assert_eq!(seen.0.len(), REMEMBERED_MAX);
        assert!(!seen.0.contains_key(&("t4".to_owned(), "t4".to_owned())), "the oldest went");
    }
}
