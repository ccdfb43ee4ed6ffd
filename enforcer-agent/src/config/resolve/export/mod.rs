//! What may leave the node: never in plaintext over a network unless that was asked for in so many words.

mod metrics;
mod otlp;

use std::collections::BTreeSet;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;

use super::{Problems, checked};
use crate::config::ConfigProblem;
use crate::config::raw::{RawExport, RawLines};
use crate::config::settings::{ExportSettings, LinesSettings};

const MIB: u64 = 1024 * 1024;
const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

pub(super) fn export(raw: RawExport, fleet: Option<&TrustDomain>, problems: &mut Problems) -> ExportSettings {
    let RawExport { metrics, otlp, json_lines } = raw;
    ExportSettings {
        metrics: metrics.and_then(|raw| self::metrics::metrics(raw, fleet, problems)),
        otlp: otlp.and_then(|raw| self::otlp::otlp(raw, problems)),
        json_lines: json_lines.and_then(|raw| lines(raw, problems)),
    }
}

fn lines(raw: RawLines, problems: &mut Problems) -> Option<LinesSettings> {
    let RawLines { path, max_bytes, keep } = raw;
    let bounds = (MIB, 1024 * 1024 * MIB);
    let max_bytes = number("export.jsonLines.maxBytes", max_bytes, 64 * MIB, bounds, problems);
    let keep = number("export.jsonLines.keep", keep, 4, (0, 1_000), problems);
    let Some(path) = path else {
        let hint = "name a file, or leave the section out";
        problems.push(ConfigProblem::Missing { path: "export.jsonLines.path".to_owned(), hint });
        return None;
    };
    let path = checked("export.jsonLines.path", path, problems);
    Some(LinesSettings { path, max_bytes, keep: u32::try_from(keep).ok()? })
}

/// The SPIFFE IDs of a list; what is none is a problem at its place.
fn ids(path: &str, values: Vec<String>, problems: &mut Problems) -> BTreeSet<SpiffeId> {
    let mut ids = BTreeSet::new();
    for (index, value) in values.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match value.parse::<SpiffeId>() {
            Ok(id) if ids.contains(&id) => problems.push(ConfigProblem::Duplicate { path, value }),
            Ok(id) => _ = ids.insert(id),
            Err(error) => problems.push(ConfigProblem::SpiffeId { path, value, error }),
        }
    }
    ids
}

/// A number within its bounds, or its default.
fn number(
    path: &str,
    value: Option<u64>,
    default: u64,
    (low, high): (u64, u64),
    problems: &mut Problems,
) -> u64 {
    let value = value.unwrap_or(default);
    if value < low || value > high {
        problems.push(ConfigProblem::Range { path: path.to_owned(), value, low, high });
    }
    value
}

#[cfg(test)]
mod tests {
    use crate::config::host::Host;
    use crate::config::raw;
    use crate::config::resolve::resolve;
    use crate::config::settings::ExportSettings;

    fn resolved(export: &str) -> Result<ExportSettings, Vec<String>> {
        let text = format!("identity: {{trustDomain: fleet.example}}\nexport: {export}\n");
        let host = Host { name: Some("n1".to_owned()), cgroup_mount: Some("/sys/fs/cgroup".into()) };
        let settings = resolve(raw::parse(&text).unwrap(), &host);
        settings
            .map(|settings| settings.export)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn problem(export: &str) -> String {
        let problems = resolved(export).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems.into_iter().next().unwrap()
    }

    #[test]
    fn nothing_leaves_the_node_by_default() {
        assert_eq!(resolved("{}").unwrap(), ExportSettings::default());
    }

    #[test]
    fn metrics_in_plaintext_are_for_loopback_or_for_who_insists() {
        for address in ["127.0.0.1:9464", "[::1]:9464"] {
            let metrics =
                resolved(&format!("{{metrics: {{address: '{address}'}}}}")).unwrap().metrics.unwrap();
            assert_eq!(metrics.tls, None);
            assert_eq!((metrics.pairs_max, metrics.min_interval.as_secs()), (2_000, 10));
        }
        assert!(problem("{metrics: {address: '10.0.0.5:9464'}}").contains("allowedSpiffeIds"));
        let insisted = resolved("{metrics: {address: '10.0.0.5:9464', plaintext: true}}").unwrap();
        assert_eq!(insisted.metrics.unwrap().tls, None);
        let both = "{metrics: {address: '10.0.0.5:9464', plaintext: true, readers: ['spiffe://red.fleet.example/a']}}";
        assert!(problem(both).contains("metrics.plaintext"));
    }

    #[test]
    fn a_reader_sees_the_tenant_whose_trust_domain_it_is_in() {
        let text = "{metrics: {address: '10.0.0.5:9464', allowedSpiffeIds: ['spiffe://fleet.example/prometheus'], \
                    readers: ['spiffe://red.fleet.example/ns/ops/sa/prometheus']}}";
        let tls = resolved(text).unwrap().metrics.unwrap().tls.unwrap();
        assert_eq!(tls.allowed.len(), 1);
        assert_eq!(tls.readers.values().map(|name| &**name).collect::<Vec<_>>(), ["red"]);
        for stranger in
            ["spiffe://fleet.example/a", "spiffe://other.example/a", "spiffe://a.red.fleet.example/a"]
        {
            let text = format!("{{metrics: {{address: '10.0.0.5:9464', readers: ['{stranger}']}}}}");
            assert!(problem(&text).contains("readers"), "{stranger}");
        }
    }

    #[test]
    fn a_collector_on_a_network_is_spoken_to_over_tls() {
        let local = resolved("{otlp: {endpoint: 'http://127.0.0.1:4317'}}").unwrap().otlp.unwrap();
        assert_eq!(local.everything.unwrap().tls, None);
        assert!(problem("{otlp: {endpoint: 'http://collector:4317'}}").contains("plaintext"));
        assert!(resolved("{otlp: {endpoint: 'http://collector:4317', plaintext: true}}").is_ok());
        assert!(problem("{otlp: {endpoint: 'https://collector:4317'}}").contains("tls.ca"));
        let secure = "{otlp: {endpoint: 'https://collector:4317', tls: {ca: /ca, certificate: /c, key: /k}}}";
        assert!(resolved(secure).unwrap().otlp.unwrap().everything.unwrap().tls.unwrap().own.is_some());
        for wrong in ["collector:4317", "ftp://collector", "http://127.0.0.1:4317/v1/logs", "https://", "tcp"]
        {
            assert!(problem(&format!("{{otlp: {{endpoint: '{wrong}'}}}}")).contains("endpoint"), "{wrong}");
        }
    }

    #[test]
    fn lines_of_json_have_a_place_and_bounds() {
        let lines = resolved("{jsonLines: {path: /var/log/records.jsonl}}").unwrap().json_lines.unwrap();
        assert_eq!((lines.max_bytes, lines.keep), (64 << 20, 4));
        assert!(problem("{jsonLines: {}}").contains("jsonLines.path"));
        assert!(problem("{jsonLines: {path: records}}").contains("not absolute"));
        assert!(problem("{jsonLines: {path: /a, keep: 5000}}").contains("jsonLines.keep"));
    }

    #[test]
    fn tenants_may_have_collectors_of_their_own() {
        let text =
            "{otlp: {tenants: {red: {endpoint: 'http://127.0.0.1:4317'}}, spool: {maxBytes: 4194304}}}";
        let otlp = resolved(text).unwrap().otlp.unwrap();
        assert_eq!((otlp.everything, otlp.tenants.len(), otlp.spool_max_bytes), (None, 1, 4 << 20));
        assert!(problem("{otlp: {}}").contains("otlp.endpoint"));
        assert!(
            problem("{otlp: {tenants: {Red: {endpoint: 'http://127.0.0.1:1'}}}}").contains("otlp.tenants")
        );
        assert!(problem("{otlp: {tenants: {red: {}}}}").contains("otlp.tenants.red.endpoint"));
        assert!(
            problem("{otlp: {endpoint: 'http://127.0.0.1:1', spool: {maxBytes: 1}}}")
                .contains("otlp.spool.maxBytes")
        );
    }
}
