//! The words about traces: how much is recorded, and how it is kept. Every default and bound stands here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use enforcer_core::policy::model::Name;

use super::{Problems, checked, span};
use crate::config::ConfigProblem;
use crate::config::raw::{RawRetention, RawShip, RawTenantTrace, RawTrace};
use crate::config::settings::{
    Aggregation, RecordingSettings, RetentionSettings, ShipSettings, TraceSettings,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

const EVENTS_PER_SECOND: u64 = 2_000;
const SAMPLES_PER_SECOND: u64 = 20_000;
const PROCESSES_PER_SECOND: u64 = 2_000;
/// More than a ring can carry.
const RATE_MAX: u64 = 100_000_000;
/// What the kernel programs have room for.
const PACKET_BYTES_MAX: u64 = 128;

const SEGMENT_BYTES: u64 = 64 * MIB;
const RETENTION_DAYS: u64 = 30;
const RETENTION_DAYS_MAX: u64 = 3_650;
const RETENTION_BYTES: u64 = 16 * GIB;
const TOTAL_BYTES: u64 = 64 * GIB;
const FREE_BYTES: u64 = 256 * MIB;
const RETENTION_BYTES_MAX: u64 = 1 << 50;

/// Tenants that may have words of their own.
const TENANTS_MAX: usize = 16_384;
const SHIP_OPTIONS_MAX: usize = 64;
const SHIP_WORD_MAX_BYTES: usize = 4_096;
/// What belongs to no tenant is kept under this name.
const NODE: &str = "_node";

/// How much is recorded, and how it is kept: that is `None` where it was turned off, or there are no keys.
pub(super) fn trace(
    raw: Option<RawTrace>,
    state_directory: &Path,
    has_identity: bool,
    problems: &mut Problems,
) -> (RecordingSettings, Option<TraceSettings>) {
    let RawTrace {
        enabled,
        directory,
        segment_bytes,
        seal_interval,
        checkpoint_interval,
        retention,
        aggregation,
        events_per_second,
        samples_per_second,
        processes_per_second,
        packet_bytes,
        tenants,
        ship,
    } = raw.unwrap_or_default();
    let tenants = self::tenants(tenants.unwrap_or_default(), problems);
    let rate = |word: &str, value: Option<u64>, default: u64, problems: &mut Problems| {
        let value = bounded(&format!("trace.{word}"), value, default, (0, RATE_MAX), problems);
        u32::try_from(value).unwrap_or(u32::MAX)
    };
    let packet_bytes =
        bounded("trace.packetBytes", packet_bytes, PACKET_BYTES_MAX, (0, PACKET_BYTES_MAX), problems);
    let recording = RecordingSettings {
        events_per_second: rate("eventsPerSecond", events_per_second, EVENTS_PER_SECOND, problems),
        samples_per_second: rate("samplesPerSecond", samples_per_second, SAMPLES_PER_SECOND, problems),
        processes_per_second: rate(
            "processesPerSecond",
            processes_per_second,
            PROCESSES_PER_SECOND,
            problems,
        ),
        packet_bytes: u32::try_from(packet_bytes).unwrap_or(0),
        aggregation: self::aggregation("trace.aggregation", aggregation, problems)
            .unwrap_or(Aggregation::Connections),
        tenants: tenants
            .iter()
            .filter_map(|(name, tenant)| Some((Name::clone(name), tenant.aggregation?)))
            .collect(),
    };
    // Every word is looked at before anything is turned off: a mistake stays a mistake.
    let retention = retention.unwrap_or_default();
    let (total_bytes, free_bytes) = (retention.total_bytes, retention.free_bytes);
    let default = self::retention("trace.retention", &retention, problems);
    let settings = TraceSettings {
        directory: match directory {
            Some(directory) => checked("trace.directory", directory, problems),
            None => state_directory.join("trace"),
        },
        segment_bytes: bounded("trace.segmentBytes", segment_bytes, SEGMENT_BYTES, (MIB, 4 * GIB), problems),
        seal_interval: span("trace.sealInterval", seal_interval, HOUR, (1, HOUR), problems),
        checkpoint_interval: span("trace.checkpointInterval", checkpoint_interval, 1, (1, HOUR), problems),
        retention: default,
        tenants: tenants
            .into_iter()
            .filter(|(_, tenant)| tenant.days.is_some() || tenant.max_bytes.is_some())
            .map(|(name, tenant)| {
                let days = tenant.days.unwrap_or(default.days);
                let max_bytes = tenant.max_bytes.unwrap_or(default.max_bytes);
                (name, RetentionSettings { days, max_bytes })
            })
            .collect(),
        total_bytes: bounded(
            "trace.retention.totalBytes",
            total_bytes,
            TOTAL_BYTES,
            (MIB, RETENTION_BYTES_MAX),
            problems,
        ),
        free_bytes: bounded(
            "trace.retention.freeBytes",
            free_bytes,
            FREE_BYTES,
            (0, RETENTION_BYTES_MAX),
            problems,
        ),
        ship: ship.and_then(|ship| self::ship(ship, problems)),
    };
    if !has_identity && enabled == Some(true) {
        problems.push(ConfigProblem::Missing {
            path: "identity".to_owned(),
            hint: "traces are kept under keys of the identity wall's vault: turn it on, or set trace.enabled: false",
        });
    }
    let is_kept = has_identity && enabled != Some(false);
    (recording, is_kept.then_some(settings))
}

/// What stands in the configuration of one tenant.
struct Tenant {
    days: Option<u32>,
    max_bytes: Option<u64>,
    aggregation: Option<Aggregation>,
}

fn tenants(raw: BTreeMap<String, RawTenantTrace>, problems: &mut Problems) -> BTreeMap<Name, Tenant> {
    if raw.len() > TENANTS_MAX {
        let value = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        problems.push(ConfigProblem::Range {
            path: "length of trace.tenants".to_owned(),
            value,
            low: 0,
            high: 16_384,
        });
        return BTreeMap::new();
    }
    let mut tenants = BTreeMap::new();
    for (name, raw) in raw {
        let path = format!("trace.tenants.{name}");
        if name != NODE && !super::is_subdomain(&name) {
            let expected = "the name of a tenant, or _node for what belongs to none";
            problems.push(ConfigProblem::Word { path, value: name, expected });
            continue;
        }
        let RawTenantTrace { retention_days, max_bytes, aggregation } = raw;
        let tenant = Tenant {
            days: retention_days.map(|days| self::days(&format!("{path}.retentionDays"), days, problems)),
            max_bytes: max_bytes.map(|bytes| self::max_bytes(&format!("{path}.maxBytes"), bytes, problems)),
            aggregation: self::aggregation(&format!("{path}.aggregation"), aggregation, problems),
        };
        tenants.insert(Name::from(name), tenant);
    }
    tenants
}

fn retention(path: &str, raw: &RawRetention, problems: &mut Problems) -> RetentionSettings {
    RetentionSettings {
        days: days(&format!("{path}.days"), raw.days.unwrap_or(RETENTION_DAYS), problems),
        max_bytes: max_bytes(&format!("{path}.maxBytes"), raw.max_bytes.unwrap_or(RETENTION_BYTES), problems),
    }
}

fn days(path: &str, value: u64, problems: &mut Problems) -> u32 {
    let days = bounded(path, Some(value), value, (1, RETENTION_DAYS_MAX), problems);
    u32::try_from(days).unwrap_or(u32::MAX)
}

fn max_bytes(path: &str, value: u64, problems: &mut Problems) -> u64 {
    bounded(path, Some(value), value, (MIB, RETENTION_BYTES_MAX), problems)
}

fn aggregation(path: &str, word: Option<String>, problems: &mut Problems) -> Option<Aggregation> {
    let word = word?;
    match word.as_str() {
        "none" => Some(Aggregation::None),
        "connections" => Some(Aggregation::Connections),
        "states" => Some(Aggregation::States),
        _ => {
            let expected = "none, connections or states";
            problems.push(ConfigProblem::Word { path: path.to_owned(), value: word, expected });
            None
        }
    }
}

fn ship(raw: RawShip, problems: &mut Problems) -> Option<ShipSettings> {
    let RawShip { url, options, options_file } = raw;
    let path = "trace.ship.url".to_owned();
    let Some(url) = url else {
        problems.push(ConfigProblem::Missing { path, hint: "s3://BUCKET/PREFIX or file:///DIRECTORY" });
        return None;
    };
    let has_place = |scheme: &str| url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty());
    if url.len() > SHIP_WORD_MAX_BYTES || !(has_place("s3://") || has_place("file:///")) {
        let expected = "s3://BUCKET/PREFIX or file:///DIRECTORY";
        problems.push(ConfigProblem::Word { path, value: url, expected });
        return None;
    }
    let options = options.unwrap_or_default();
    if options.len() > SHIP_OPTIONS_MAX {
        let value = u64::try_from(options.len()).unwrap_or(u64::MAX);
        let path = "length of trace.ship.options".to_owned();
        problems.push(ConfigProblem::Range { path, value, low: 0, high: 64 });
    }
    for (word, value) in &options {
        let is_word = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_';
        if word.is_empty() || !word.bytes().all(is_word) || value.len() > SHIP_WORD_MAX_BYTES {
            problems.push(ConfigProblem::Word {
                path: "trace.ship.options".to_owned(),
                value: word.clone(),
                expected: "the name of an option of the object store, such as region, with at most 4096 bytes",
            });
        }
    }
    let options_file: Option<PathBuf> =
        options_file.map(|path| checked("trace.ship.optionsFile", path, problems));
    Some(ShipSettings { url, options, options_file })
}

fn bounded(
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
    use std::time::Duration;

    use super::super::resolve;
    use super::*;
    use crate::config::Settings;
    use crate::config::host::Host;
    use crate::config::raw;

    fn resolved(text: &str) -> Result<Settings, Vec<String>> {
        let host = Host { name: Some("node".to_owned()), cgroup_mount: Some("/c".into()) };
        resolve(raw::parse(text).unwrap(), &host)
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn traces_are_kept_below_the_state_directory_unless_there_are_no_keys() {
        let settings = resolved("stateDirectory: /s\n").unwrap();
        let trace = settings.trace.unwrap();
        assert_eq!(trace.directory, Path::new("/s/trace"));
        assert_eq!((trace.seal_interval, trace.checkpoint_interval), (hours(1), Duration::from_secs(1)));
        assert_eq!(trace.retention, RetentionSettings { days: 30, max_bytes: 16 * GIB });
        assert_eq!((trace.total_bytes, trace.free_bytes), (64 * GIB, 256 * MIB));
        assert_eq!(resolved("trace: {enabled: false}\n").unwrap().trace, None);
        let without = resolved("identity: {enabled: false}\ntrace: {packetBytes: 0}\n").unwrap();
        assert_eq!((without.trace, without.recording.packet_bytes), (None, 0));
        let all = resolved("identity: {enabled: false}\ntrace: {enabled: true}\n").unwrap_err();
        assert!(all.len() == 1 && all[0].contains("identity is missing"), "{all:?}");
    }

    fn hours(hours: u64) -> Duration {
        Duration::from_secs(hours * HOUR)
    }

    #[test]
    fn a_tenant_has_its_own_words_and_the_nodes_for_the_rest() {
        let settings = resolved(
            "trace:\n  retention: {days: 7, maxBytes: 1073741824}\n  aggregation: none\n  tenants:\n    \
             red: {retentionDays: 90}\n    blue: {maxBytes: 2147483648, aggregation: states}\n    \
             green: {aggregation: connections}\n    _node: {retentionDays: 1}\n",
        )
        .unwrap();
        let trace = settings.trace.unwrap();
        assert_eq!(trace.tenants["red"], RetentionSettings { days: 90, max_bytes: GIB });
        assert_eq!(trace.tenants["blue"], RetentionSettings { days: 7, max_bytes: 2 * GIB });
        assert_eq!(trace.tenants["_node"].days, 1);
        assert!(!trace.tenants.contains_key("green"));
        assert_eq!(settings.recording.aggregation, Aggregation::None);
        assert_eq!(settings.recording.tenants["blue"], Aggregation::States);
        assert_eq!(settings.recording.tenants.len(), 2);
    }

    #[test]
    fn every_wrong_word_is_told_with_its_path() {
        let all = resolved(
            "trace:\n  enabled: false\n  directory: here\n  segmentBytes: 1\n  sealInterval: 2h\n  \
             checkpointInterval: 0s\n  retention: {days: 0, maxBytes: 1}\n  aggregation: all\n  \
             eventsPerSecond: 100000001\n  samplesPerSecond: 100000001\n  processesPerSecond: 100000001\n  \
             packetBytes: 129\n  tenants: {Red: {}, red: {retentionDays: 3651, maxBytes: 0, aggregation: x}}\n  \
             ship: {url: \"ftp://a\"}\n",
        )
        .unwrap_err();
        for word in [
            "directory",
            "segmentBytes",
            "sealInterval",
            "checkpointInterval",
            "retention.days",
            "retention.maxBytes",
            "aggregation",
            "eventsPerSecond",
            "samplesPerSecond",
            "processesPerSecond",
            "packetBytes",
            "tenants.Red",
            "tenants.red.retentionDays",
            "tenants.red.maxBytes",
            "tenants.red.aggregation",
            "ship.url",
        ] {
            let path = format!("trace.{word}");
            assert_eq!(
                all.iter().filter(|problem| problem.starts_with(&path)).count(),
                1,
                "{word}: {all:#?}"
            );
        }
        assert_eq!(all.len(), 16, "{all:#?}");
    }

    #[test]
    fn secrets_of_the_bucket_do_not_print() {
        let text = "trace: {ship: {url: \"s3://b/p\", options: {secret_access_key: hush, region: x}, \
                    optionsFile: /etc/s3}}\n";
        let ship = resolved(text).unwrap().trace.unwrap().ship.unwrap();
        assert_eq!(ship.options["secret_access_key"], "hush");
        let printed = format!("{ship:?}");
        assert!(!printed.contains("hush") && printed.contains("secret_access_key"), "{printed}");
        for wrong in ["{Region: x}", "{\"a b\": x}"] {
            assert!(resolved(&format!("trace: {{ship: {{url: \"s3://b\", options: {wrong}}}}}\n")).is_err());
        }
        assert!(resolved("trace: {ship: {}}\n").is_err());
    }
}
