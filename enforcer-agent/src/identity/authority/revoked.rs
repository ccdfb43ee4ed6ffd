//! Who was revoked, kept in the vault. Losing it would give identities back, so a record that cannot be read is
//! an error, never an empty one.

use std::sync::Arc;

use enforcer_core::identity::bundle::{Revocations, Trust};
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::wire;
use serde::{Deserialize, Serialize};

use super::error::AuthorityError;
use super::root_source::OWN_DRAWER;
use super::store::{self, Place};
use crate::door::upstream::Target;
use crate::identity::custody::Vault;

const PLACE: Place<'static> = Place { drawer: OWN_DRAWER, item: "revocations" };
const VERSION: u32 = 1;
/// Revocations that are kept at once.
const REVOCATIONS_MAX: usize = 50_000;

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    tenants: Vec<String>,
    workloads: Vec<String>,
    spiffe_ids: Vec<String>,
}

/// Reads them.
///
/// # Errors
/// They are there and cannot be read.
pub(in crate::identity) fn load(vault: &Vault) -> Result<Revocations, AuthorityError> {
    let Some(file) = store::load::<File>(vault, PLACE)? else { return Ok(Revocations::default()) };
    let error =
        |what: String| AuthorityError::State { drawer: PLACE.drawer.to_owned(), item: PLACE.item, what };
    if file.version != VERSION {
        return Err(error(format!("it is of version {}", file.version)));
    }
    let ids = file.spiffe_ids.iter().map(|id| id.parse::<SpiffeId>());
    Ok(Revocations {
        tenants: file.tenants.into_iter().map(Arc::from).collect(),
        workloads: file.workloads.into_iter().map(Arc::from).collect(),
        spiffe_ids: ids.collect::<Result<_, _>>().map_err(|rule| error(rule.to_string()))?,
    })
}

/// Keeps them.
///
/// # Errors
/// They were not kept.
pub(in crate::identity) fn save(vault: &Vault, revoked: &Revocations) -> Result<(), AuthorityError> {
    let file = File {
        version: VERSION,
        tenants: revoked.tenants.iter().map(|name| name.to_string()).collect(),
        workloads: revoked.workloads.iter().map(|name| name.to_string()).collect(),
        spiffe_ids: revoked.spiffe_ids.iter().map(|id| id.to_string()).collect(),
    };
    store::save(vault, PLACE, &file)
}

/// Why somebody cannot be revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::identity) enum RevokeError {
    /// More than are kept.
    #[error("{0} revocations are kept already")]
    TooMany(usize),
    /// No other node would take it, nor anything that it is sent with.
    #[error("{0}")]
    Name(String),
}

/// Adds one. Says whether it is new.
///
/// # Errors
/// There are too many, or it is no name.
pub(in crate::identity) fn add(revoked: &mut Revocations, target: &Target) -> Result<bool, RevokeError> {
    let count = revoked.tenants.len() + revoked.workloads.len() + revoked.spiffe_ids.len();
    if count >= REVOCATIONS_MAX {
        return Err(RevokeError::TooMany(count));
    }
    let mut alone = Revocations::default();
    insert(&mut alone, target);
    let message = wire::write(&Trust { revoked: alone, ..Trust::default() });
    if let Err(problems) = wire::parse(&message) {
        let words: Vec<String> = problems.iter().map(ToString::to_string).collect();
        return Err(RevokeError::Name(words.join("; ")));
    }
    Ok(insert(revoked, target))
}

fn insert(revoked: &mut Revocations, target: &Target) -> bool {
    match target {
        Target::Tenant(name) => revoked.tenants.insert(Arc::clone(name)),
        Target::Workload(name) => revoked.workloads.insert(Arc::clone(name)),
        Target::SpiffeId(id) => revoked.spiffe_ids.insert(id.clone()),
    }
}

/// Takes one back. Says whether it was there.
pub(in crate::identity) fn take_back(revoked: &mut Revocations, target: &Target) -> bool {
    match target {
        Target::Tenant(name) => revoked.tenants.remove(name),
        Target::Workload(name) => revoked.workloads.remove(name),
        Target::SpiffeId(id) => revoked.spiffe_ids.remove(id),
    }
}
