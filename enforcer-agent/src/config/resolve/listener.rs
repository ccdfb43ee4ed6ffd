//! The network door's words. There is no door without mutual TLS: certificates come from files, or from the
//! identity wall.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use enforcer_core::identity::spiffe_id::SpiffeId;

use super::{Problems, checked, identity};
use crate::config::ConfigProblem;
use crate::config::raw::RawListener;
use crate::config::settings::ListenerSettings;

pub(super) fn listener(
    raw: RawListener,
    has_identity: bool,
    problems: &mut Problems,
) -> Option<ListenerSettings> {
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
    let allowed = allowed(raw.allowed_spiffe_ids, problems);
    let own = match own {
        None => None,
        Some(own) => Some(own?),
    };
    Some(ListenerSettings { address: address?, own, client_ca, allowed: allowed? })
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

fn allowed(ids: Option<Vec<String>>, problems: &mut Problems) -> Option<BTreeSet<SpiffeId>> {
    let path = "listener.allowedSpiffeIds".to_owned();
    let hint = "list the SPIFFE IDs that may push policy; nobody may by default";
    let Some(ids) = ids else {
        problems.push(ConfigProblem::Missing { path, hint });
        return None;
    };
    if ids.is_empty() {
        problems.push(ConfigProblem::Empty { path, hint });
        return None;
    }
    let mut set = BTreeSet::new();
    for (index, value) in ids.into_iter().enumerate() {
        match value.parse::<SpiffeId>() {
            Ok(id) => {
                set.insert(id);
            }
            Err(error) => {
                problems.push(ConfigProblem::SpiffeId { path: format!("{path}[{index}]"), value, error });
            }
        }
    }
    Some(set)
}
