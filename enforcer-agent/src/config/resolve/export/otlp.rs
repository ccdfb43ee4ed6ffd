//! OpenTelemetry collectors.

use std::collections::BTreeMap;
use std::net::IpAddr;

use enforcer_core::policy::model::Name;
use http::Uri;

use super::{HOUR, MIB, MINUTE, number};
use crate::config::ConfigProblem;
use crate::config::raw::{RawBatch, RawCollector, RawCollectorTls, RawOtlp, RawSpool};
use crate::config::resolve::{Problems, checked, identity, is_subdomain, span};
use crate::config::settings::{CollectorSettings, CollectorTls, OtlpSettings};

const SPOOL_MAX_BYTES: u64 = 256 * MIB;
/// Room for several calls, so that there is something older than the one that is under way.
const SPOOL_BOUNDS: (u64, u64) = (4 * MIB, 1024 * 1024 * MIB);
const BATCH_RECORDS: u64 = 512;
/// Collectors of tenants: each has a spool and a task.
const TENANTS_MAX: usize = 1_024;

pub(super) fn otlp(raw: RawOtlp, problems: &mut Problems) -> Option<OtlpSettings> {
    let RawOtlp { endpoint, plaintext, tls, headers_file, tenants, spool, batch, timeout, metrics_interval } =
        raw;
    let tenants = tenants.unwrap_or_default();
    if endpoint.is_none() && tenants.is_empty() {
        let hint = "https://HOST:PORT, or leave the whole section out";
        problems.push(ConfigProblem::Missing { path: "export.otlp.endpoint".to_owned(), hint });
        return None;
    }
    let everything = endpoint
        .is_some()
        .then(|| collector("export.otlp", RawCollector { endpoint, plaintext, tls, headers_file }, problems));
    let tenants = self::tenants(tenants, problems);
    let RawSpool { directory, max_bytes } = spool.unwrap_or_default();
    let RawBatch { records, delay } = batch.unwrap_or_default();
    let records = number("export.otlp.batch.records", records, BATCH_RECORDS, (1, 8_192), problems);
    let settings = OtlpSettings {
        everything: None,
        tenants,
        spool_directory: directory.map(|path| checked("export.otlp.spool.directory", path, problems)),
        spool_max_bytes: number(
            "export.otlp.spool.maxBytes",
            max_bytes,
            SPOOL_MAX_BYTES,
            SPOOL_BOUNDS,
            problems,
        ),
        batch_records: usize::try_from(records).ok()?,
        batch_delay: span("export.otlp.batch.delay", delay, 1, (0, MINUTE), problems),
        timeout: span("export.otlp.timeout", timeout, 10, (1, 5 * MINUTE), problems),
        metrics_interval: span("export.otlp.metricsInterval", metrics_interval, MINUTE, (1, HOUR), problems),
    };
    let everything = match everything {
        None => None,
        Some(everything) => Some(everything?),
    };
    Some(OtlpSettings { everything, ..settings })
}

fn tenants(
    raw: BTreeMap<String, RawCollector>,
    problems: &mut Problems,
) -> BTreeMap<Name, CollectorSettings> {
    const PATH: &str = "export.otlp.tenants";
    if raw.len() > TENANTS_MAX {
        let value = u64::try_from(raw.len()).unwrap_or(u64::MAX);
        problems.push(ConfigProblem::Range { path: format!("length of {PATH}"), value, low: 0, high: 1_024 });
        return BTreeMap::new();
    }
    let mut tenants = BTreeMap::new();
    for (name, raw) in raw {
        if !is_subdomain(&name) || name.contains('.') {
            let expected = "the name of a tenant: lower-case letters, digits and '-', at most 63 bytes";
            problems.push(ConfigProblem::Word { path: PATH.to_owned(), value: name, expected });
            continue;
        }
        if let Some(collector) = collector(&format!("{PATH}.{name}"), raw, problems) {
            tenants.insert(Name::from(name), collector);
        }
    }
    tenants
}

fn collector(path: &str, raw: RawCollector, problems: &mut Problems) -> Option<CollectorSettings> {
    let RawCollector { endpoint, plaintext, tls, headers_file } = raw;
    let headers_file = headers_file.map(|file| checked(&format!("{path}.headersFile"), file, problems));
    let endpoint = self::endpoint(&format!("{path}.endpoint"), endpoint, problems)?;
    let is_secure = endpoint.scheme_str() == Some("https");
    if !is_secure && !is_local(&endpoint) && plaintext != Some(true) {
        problems.push(ConfigProblem::Missing {
            path: format!("{path}.plaintext"),
            hint: "records would cross the network in plaintext: write https:// and `tls`, or `plaintext: true`",
        });
        return None;
    }
    let tls = match is_secure.then(|| self::tls(&format!("{path}.tls"), tls.unwrap_or_default(), problems)) {
        None => None,
        Some(tls) => Some(tls?),
    };
    Some(CollectorSettings { endpoint, tls, headers_file })
}

fn endpoint(path: &str, value: Option<String>, problems: &mut Problems) -> Option<Uri> {
    let Some(value) = value else {
        problems.push(ConfigProblem::Missing { path: path.to_owned(), hint: "https://HOST:PORT" });
        return None;
    };
    let is_good = |uri: &Uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && matches!(uri.path(), "" | "/")
            && uri.query().is_none()
    };
    match value.parse::<Uri>() {
        Ok(uri) if is_good(&uri) => Some(uri),
        Ok(_) | Err(_) => {
            let expected = "http://HOST:PORT or https://HOST:PORT, without a path: it is spoken to over gRPC";
            problems.push(ConfigProblem::Word { path: path.to_owned(), value, expected });
            None
        }
    }
}

fn is_local(endpoint: &Uri) -> bool {
    let host = endpoint.host().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tls(path: &str, raw: RawCollectorTls, problems: &mut Problems) -> Option<CollectorTls> {
    let RawCollectorTls { ca, certificate, key, server_name } = raw;
    let own =
        (certificate.is_some() || key.is_some()).then(|| identity::pair(path, certificate, key, problems));
    let Some(ca) = ca else {
        let hint = "a PEM file with who vouches for the collector";
        problems.push(ConfigProblem::Missing { path: format!("{path}.ca"), hint });
        return None;
    };
    let own = match own {
        None => None,
        Some(own) => Some(own?),
    };
    Some(CollectorTls { ca: checked(&format!("{path}.ca"), ca, problems), own, server_name })
}
