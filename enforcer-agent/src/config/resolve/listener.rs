//! The network door's words. There is no door without mutual TLS: certificates come from files, or from the
//! identity wall.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;

use super::{Problems, checked, identity};
use crate::config::ConfigProblem;
use crate::config::raw::RawListener;
use crate::config::settings::ListenerSettings;

/// Readers that one node may list.
const READERS_MAX: usize = 4_096;

pub(super) fn listener(
    raw: RawListener,
    fleet: Option<&TrustDomain>,
    problems: &mut Problems,
) -> Option<ListenerSettings> {
    let has_identity = fleet.is_some();
    let address = socket_address("listener.address", raw.address, problems);
    let files = raw.certificate.is_some() || raw.key.is_some() || !has_identity;
    let own = files.then(|| identity::pair("listener", raw.certificate, raw.key, problems));
    if raw.client_ca.is_none() && !has_identity {
        problems.push(ConfigProblem::Missing {
            path: "listener.clientCa".to_owned(),
            hint: "the network door opens only with mutual TLS; name a PEM file, or turn `identity` on",
        });
    }
    let client_ca = raw.client_ca.map(|path| checked("listener.clientCa", path, problems));
    let has_readers = raw.readers.as_ref().is_some_and(|readers| !readers.is_empty());
    let readers = readers(raw.readers, fleet, problems);
    let allowed = allowed(raw.allowed_spiffe_ids, has_readers, problems)
        .map(|allowed| distinct(allowed, &readers, problems));
    let own = match own {
        None => None,
        Some(own) => Some(own?),
    };
    Some(ListenerSettings { address: address?, own, client_ca, allowed: allowed?, readers })
}

pub(super) fn socket_address(
    path: &str,
    value: Option<String>,
    problems: &mut Problems,
) -> Option<SocketAddr> {
    let path = path.to_owned();
    let Some(value) = value else {
        problems.push(ConfigProblem::Missing { path, hint: "ADDRESS:PORT, or leave the whole section out" });
        return None;
    };
    match value.parse() {
        Ok(address) => Some(address),
        Err(error) => {
            problems.push(ConfigProblem::Address { path, value, error });
            None
        }
    }
}

/// Who may do everything is no reader beside.
fn distinct(
    allowed: BTreeSet<SpiffeId>,
    readers: &BTreeMap<SpiffeId, Name>,
    problems: &mut Problems,
) -> BTreeSet<SpiffeId> {
    for id in allowed.iter().filter(|id| readers.contains_key(*id)) {
        let path = "listener: allowedSpiffeIds and readers".to_owned();
        problems.push(ConfigProblem::Duplicate { path, value: id.to_string() });
    }
    allowed
}

/// Control planes. Where tenants' readers are listed, nobody else needs to be.
fn allowed(
    ids: Option<Vec<String>>,
    has_readers: bool,
    problems: &mut Problems,
) -> Option<BTreeSet<SpiffeId>> {
    let path = "listener.allowedSpiffeIds".to_owned();
    let hint = "list the SPIFFE IDs that may push policy; nobody may by default";
    match ids {
        None if has_readers => Some(BTreeSet::new()),
        None => {
            problems.push(ConfigProblem::Missing { path, hint });
            None
        }
        Some(ids) if ids.is_empty() => {
            problems.push(ConfigProblem::Empty { path, hint });
            None
        }
        Some(ids) => Some(parsed(&path, ids, problems).map(|(_, id)| id).collect()),
    }
}

/// Tenants' readers: the trust domain of each says whose.
fn readers(
    ids: Option<Vec<String>>,
    fleet: Option<&TrustDomain>,
    problems: &mut Problems,
) -> BTreeMap<SpiffeId, Name> {
    let Some(ids) = ids else { return BTreeMap::new() };
    let path = "listener.readers";
    let Some(fleet) = fleet else {
        problems.push(ConfigProblem::Missing {
            path: "identity".to_owned(),
            hint: "whose records a reader may see follows from its trust domain below the fleet's: turn identities on",
        });
        return BTreeMap::new();
    };
    if ids.len() > READERS_MAX {
        let value = u64::try_from(ids.len()).unwrap_or(u64::MAX);
        problems.push(ConfigProblem::Range { path: format!("length of {path}"), value, low: 0, high: 4_096 });
        return BTreeMap::new();
    }
    let mut readers = BTreeMap::new();
    for (path, id) in parsed(path, ids, problems).collect::<Vec<_>>() {
        match TrustDomain::from(&id).tenant(fleet) {
            None => problems.push(ConfigProblem::Word {
                path,
                value: id.to_string(),
                expected: "a SPIFFE ID in the trust domain of a tenant: spiffe://TENANT.FLEET/...",
            }),
            Some(tenant) => {
                if readers.insert(id.clone(), Name::from(tenant)).is_some() {
                    let path = "listener.readers".to_owned();
                    problems.push(ConfigProblem::Duplicate { path, value: id.to_string() });
                }
            }
        }
    }
    readers
}

/// The IDs of a list, each with its place; what is none is a problem.
fn parsed(path: &str, ids: Vec<String>, problems: &mut Problems) -> impl Iterator<Item = (String, SpiffeId)> {
    let mut parsed = Vec::new();
    for (index, value) in ids.into_iter().enumerate() {
        let path = format!("{path}[{index}]");
        match value.parse::<SpiffeId>() {
            Ok(id) => parsed.push((path, id)),
            Err(error) => problems.push(ConfigProblem::SpiffeId { path, value, error }),
        }
    }
    parsed.into_iter()
}

#[cfg(test)]
mod tests {
    use super::super::resolve;
    use super::*;
    use crate::config::host::Host;
    use crate::config::raw;

    fn resolved(listener: &str) -> Result<ListenerSettings, Vec<String>> {
        let text = format!(
            "identity: {{trustDomain: fleet.example}}\nlistener: {{address: \"10.0.0.5:7443\", {listener}}}\n"
        );
        let host = Host { name: Some("node".to_owned()), cgroup_mount: Some("/c".into()) };
        resolve(raw::parse(&text).unwrap(), &host)
            .map(|settings| settings.listener.unwrap())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_reader_belongs_to_the_tenant_of_its_trust_domain() {
        let listener = resolved("readers: [\"spiffe://red.fleet.example/ns/a/sa/b\"]").unwrap();
        let tenants: Vec<&str> = listener.readers.values().map(AsRef::as_ref).collect();
        assert_eq!(tenants, ["red"]);
        assert!(listener.allowed.is_empty());
    }

    #[test]
    fn a_reader_of_no_tenant_is_refused_with_its_place() {
        for (readers, wanted) in [
            ("[\"spiffe://fleet.example/a\"]", "listener.readers[0]"),
            ("[\"spiffe://elsewhere.example/a\"]", "listener.readers[0]"),
            ("[\"spiffe://a.red.fleet.example/a\"]", "listener.readers[0]"),
            ("[\"spiffe://red.fleet.example/a\", \"red\"]", "listener.readers[1]"),
            ("[\"spiffe://red.fleet.example/a\", \"spiffe://red.fleet.example/a\"]", "twice"),
            ("[]", "listener.allowedSpiffeIds is missing"),
        ] {
            let all = resolved(&format!("readers: {readers}")).unwrap_err();
            assert!(all.len() == 1 && all[0].contains(wanted), "{readers}: {all:?}");
        }
        let both = "[\"spiffe://red.fleet.example/a\"]";
        let all = resolved(&format!("readers: {both}, allowedSpiffeIds: {both}")).unwrap_err();
        assert!(all.len() == 1 && all[0].contains("twice"), "{all:?}");
    }

    #[test]
    fn readers_need_identities() {
        let text = "identity: {enabled: false}\nlistener: {address: \"10.0.0.5:7443\", certificate: /c, key: /k, \
                    clientCa: /a, readers: [\"spiffe://red.fleet.example/a\"]}\n";
        let host = Host { name: Some("node".to_owned()), cgroup_mount: Some("/c".into()) };
        let all = resolve(raw::parse(text).unwrap(), &host).unwrap_err();
        assert!(all.iter().any(|problem| problem.to_string().contains("identity")), "{all:?}");
    }
}
