//! The endpoint that Prometheus scrapes.

use std::collections::BTreeMap;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;

use super::{MINUTE, ids, number};
use crate::config::ConfigProblem;
use crate::config::raw::RawMetrics;
use crate::config::resolve::listener::socket_address;
use crate::config::resolve::{Problems, checked, identity, span};
use crate::config::settings::{MetricsSettings, MetricsTls};

const PAIRS_MAX: u64 = 2_000;

pub(super) fn metrics(
    raw: RawMetrics,
    fleet: Option<&TrustDomain>,
    problems: &mut Problems,
) -> Option<MetricsSettings> {
    let address = socket_address("export.metrics.address", raw.address.clone(), problems);
    let pairs_max = number("export.metrics.pairsMax", raw.pairs_max, PAIRS_MAX, (1, 100_000), problems);
    let interval = raw.min_interval.clone();
    let min_interval = span("export.metrics.minInterval", interval, 10, (1, 10 * MINUTE), problems);
    let address = address?;
    let is_named = raw.allowed_spiffe_ids.is_some() || raw.readers.is_some();
    let tls = match raw.plaintext {
        Some(true) if is_named => {
            let path = "export.metrics.plaintext and a list of callers".to_owned();
            problems.push(ConfigProblem::OneOf { path, choices: "`plaintext` and mutual TLS" });
            None
        }
        Some(true) => None,
        Some(false) | None if !is_named && address.ip().is_loopback() => None,
        Some(false) | None => Some(tls(raw, fleet, problems)?),
    };
    Some(MetricsSettings { address, tls, pairs_max: usize::try_from(pairs_max).ok()?, min_interval })
}

fn tls(raw: RawMetrics, fleet: Option<&TrustDomain>, problems: &mut Problems) -> Option<MetricsTls> {
    const PATH: &str = "export.metrics";
    let (allowed, readers) = (raw.allowed_spiffe_ids.unwrap_or_default(), raw.readers.unwrap_or_default());
    if allowed.is_empty() && readers.is_empty() {
        problems.push(ConfigProblem::Missing {
            path: format!("{PATH}.allowedSpiffeIds"),
            hint: "beyond loopback only listed callers scrape, over mutual TLS; or say `plaintext: true`",
        });
        return None;
    }
    let allowed = ids(&format!("{PATH}.allowedSpiffeIds"), allowed, problems);
    let readers = self::readers(&format!("{PATH}.readers"), readers, fleet, problems);
    for id in allowed.iter().filter(|id| readers.contains_key(*id)) {
        let path = format!("{PATH}: allowedSpiffeIds and readers");
        problems.push(ConfigProblem::Duplicate { path, value: id.to_string() });
    }
    let has_identity = fleet.is_some();
    let files = raw.certificate.is_some() || raw.key.is_some() || !has_identity;
    let own = match files.then(|| identity::pair(PATH, raw.certificate, raw.key, problems)) {
        None => None,
        Some(own) => Some(own?),
    };
    if raw.client_ca.is_none() && !has_identity {
        problems.push(ConfigProblem::Missing {
            path: format!("{PATH}.clientCa"),
            hint: "name a PEM file with the authorities of scrapers, or turn `identity` on",
        });
    }
    let client_ca = raw.client_ca.map(|path| checked("export.metrics.clientCa", path, problems));
    Some(MetricsTls { own, client_ca, allowed, readers })
}

/// Tenants' readers: the trust domain of each says whose.
fn readers(
    path: &str,
    values: Vec<String>,
    fleet: Option<&TrustDomain>,
    problems: &mut Problems,
) -> BTreeMap<SpiffeId, Name> {
    let mut readers = BTreeMap::new();
    for id in ids(path, values, problems) {
        let domain = TrustDomain::from(&id);
        match fleet.and_then(|fleet| domain.tenant(fleet)) {
            Some(tenant) => _ = readers.insert(id, Name::from(tenant)),
            None => problems.push(ConfigProblem::Word {
                path: path.to_owned(),
                value: id.to_string(),
                expected: "a SPIFFE ID in the trust domain of a tenant of this fleet: spiffe://TENANT.FLEET/...",
            }),
        }
    }
    readers
}
