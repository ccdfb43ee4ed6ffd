//! The network door's words. Asked for, it needs everything: there is no door without mutual TLS.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use enforcer_core::identity::spiffe_id::SpiffeId;

use super::{Problems, checked};
use crate::config::ConfigProblem;
use crate::config::raw::RawListener;
use crate::config::settings::ListenerSettings;

pub(super) fn listener(raw: RawListener, problems: &mut Problems) -> Option<ListenerSettings> {
    let address = address(raw.address, problems);
    let certificate = file("certificate", raw.certificate, problems);
    let key = file("key", raw.key, problems);
    let client_ca = file("clientCa", raw.client_ca, problems);
    let allowed = allowed(raw.allowed_spiffe_ids, problems);
    Some(ListenerSettings {
        address: address?,
        certificate: certificate?,
        key: key?,
        client_ca: client_ca?,
        allowed: allowed?,
    })
}

fn address(value: Option<String>, problems: &mut Problems) -> Option<SocketAddr> {
    let path = "listener.address".to_owned();
    let Some(value) = value else {
        problems.push(ConfigProblem::Missing { path, hint: "ADDRESS:PORT, or leave `listener` out" });
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

fn file(word: &str, value: Option<PathBuf>, problems: &mut Problems) -> Option<PathBuf> {
    let path = format!("listener.{word}");
    match value {
        Some(value) => Some(checked(&path, value, problems)),
        None => {
            problems.push(ConfigProblem::Missing {
                path,
                hint: "the network door opens only with mutual TLS; name a PEM file",
            });
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
