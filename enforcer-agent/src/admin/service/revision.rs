//! Revisions as messages.

use std::sync::Arc;

use enforcer_proto::v1;

use super::time::timestamp;
use crate::door::policy::{InForce, Revision};

/// One revision.
pub(super) fn message(revision: &Revision, in_force: bool) -> v1::Revision {
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let policy = &revision.policy;
    v1::Revision {
        revision: revision.number,
        time: (revision.time > 0).then(|| timestamp(revision.time)),
        author: revision.author.clone(),
        source: revision.source.clone(),
        digest: revision.digest.map(Vec::from).unwrap_or_default(),
        tenants: count(policy.tenants.len()),
        workloads: count(policy.workloads.len()),
        rules: count(policy.rules.len()),
        bindings: count(policy.bindings.len()),
        in_force,
    }
}

/// Every kept one, newest first.
pub(super) fn list(in_force: &InForce) -> Vec<v1::Revision> {
    let current = in_force.current.number;
    in_force.history.iter().rev().map(|revision| message(revision, revision.number == current)).collect()
}

/// The one that is asked for, or the one in force.
pub(super) fn find(in_force: &InForce, number: Option<u64>) -> Option<Arc<Revision>> {
    match number {
        None => Some(Arc::clone(&in_force.current)),
        Some(number) if number == in_force.current.number => Some(Arc::clone(&in_force.current)),
        Some(number) => in_force.history.iter().find(|revision| revision.number == number).cloned(),
    }
}
