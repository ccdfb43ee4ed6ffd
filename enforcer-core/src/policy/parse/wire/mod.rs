//! Wire messages → values of the model, field by field. What needs a second object to be judged is left to
//! [`crate::policy::change`].

mod binding;
mod lease;
mod name;
mod net;
mod path;
mod peer;
mod ports;
mod rule;
mod scope;
mod strict;
mod tenant;
mod workload;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use enforcer_proto::v1;

use crate::policy::model::{Binding, Name, Rule, Tenant, UnixNanos, Workload};
use crate::policy::parse::limits::{MAX_BINDINGS, MAX_RETIRED_IDS, MAX_RULES, MAX_TENANTS, MAX_WORKLOADS};
use crate::policy::parse::path::At;
use crate::policy::problem::{Problem, Problems};
pub(crate) use name::{is_label, is_subdomain};
use scope::Scope;
pub use strict::decode;

/// Objects, each right by itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// In the order of the message.
    pub tenants: Vec<Arc<Tenant>>,
    /// In the order of the message.
    pub workloads: Vec<Arc<Workload>>,
    /// In the order of the message.
    pub rules: Vec<Arc<Rule>>,
    /// In the order of the message.
    pub bindings: Vec<Arc<Binding>>,
    /// Numbers that were used once, with the names that had them.
    pub retired_ids: Vec<(u32, Name)>,
}

/// What a delta deletes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Deletions {
    /// By name.
    pub tenants: Vec<Name>,
    /// By name.
    pub workloads: Vec<Name>,
    /// By name.
    pub rules: Vec<Name>,
    /// By address and generation.
    pub bindings: Vec<(IpAddr, u64)>,
}

/// What a message says, as far as it could be understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Understood {
    pub(crate) objects: Objects,
    pub(crate) deletions: Deletions,
    /// Tenants that the message names but spells wrongly inside: they are not unknown to other objects.
    pub(crate) broken_tenants: BTreeSet<String>,
    pub(crate) problems: Problems,
}

/// Parses a whole policy.
///
/// # Errors
/// Every mistake.
pub fn snapshot(message: &v1::Snapshot, now: UnixNanos) -> Result<Objects, Vec<Problem>> {
    let Understood { objects, problems, .. } = read_snapshot(message, now);
    problems.into_result(objects)
}

/// Parses a change of a policy.
///
/// # Errors
/// Every mistake.
pub fn delta(message: &v1::Delta, now: UnixNanos) -> Result<(Objects, Deletions), Vec<Problem>> {
    let Understood { objects, deletions, problems, .. } = read_delta(message, now);
    problems.into_result((objects, deletions))
}

pub(crate) fn read_snapshot(message: &v1::Snapshot, now: UnixNanos) -> Understood {
    let mut scope = Scope::new(now);
    let (objects, broken_tenants) = objects(&mut scope, message);
    Understood { objects, deletions: Deletions::default(), broken_tenants, problems: scope.problems }
}

pub(crate) fn read_delta(message: &v1::Delta, now: UnixNanos) -> Understood {
    let v1::Delta { upsert, delete_tenants, delete_workloads, delete_rules, delete_bindings } = message;
    let mut scope = Scope::new(now);
    let (objects, broken_tenants) = match upsert {
        Some(upsert) => objects(&mut scope, upsert),
        None => Default::default(),
    };
    let deletions = Deletions {
        tenants: names(&mut scope, "deleteTenants", delete_tenants, MAX_TENANTS),
        workloads: names(&mut scope, "deleteWorkloads", delete_workloads, MAX_WORKLOADS),
        rules: names(&mut scope, "deleteRules", delete_rules, MAX_RULES),
        bindings: binding::references(&mut scope, delete_bindings),
    };
    Understood { objects, deletions, broken_tenants, problems: scope.problems }
}

fn objects(scope: &mut Scope, message: &v1::Snapshot) -> (Objects, BTreeSet<String>) {
    let v1::Snapshot { tenants, workloads, rules, bindings, retired_ids } = message;
    let mut broken = BTreeSet::new();
    let objects = Objects {
        tenants: each(scope, "tenants", tenants, MAX_TENANTS, |scope, at, index, message| {
            let tenant = tenant::parse(scope, at, index, message);
            if tenant.is_none() {
                broken.insert(message.name.clone());
            }
            tenant
        }),
        workloads: each(scope, "workloads", workloads, MAX_WORKLOADS, workload::parse),
        rules: each(scope, "rules", rules, MAX_RULES, rule::parse),
        bindings: each(scope, "bindings", bindings, MAX_BINDINGS, binding::parse),
        retired_ids: retired(scope, retired_ids),
    };
    (objects, broken)
}

/// Every item that could be understood, within a bound on how many there may be.
fn each<M, T>(
    scope: &mut Scope,
    list: &'static str,
    messages: &[M],
    most: usize,
    mut parse: impl FnMut(&mut Scope, &At, usize, &M) -> Option<T>,
) -> Vec<Arc<T>> {
    let at = At::root(list);
    if !scope.at_most(&at, messages.len(), most) {
        return Vec::new();
    }
    let mut parsed = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        parsed.extend(parse(scope, &at, index, message).map(Arc::new));
    }
    parsed
}

fn names(scope: &mut Scope, list: &'static str, names: &[String], most: usize) -> Vec<Name> {
    let at = At::root(list);
    if !scope.at_most(&at, names.len(), most) {
        return Vec::new();
    }
    let mut parsed = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        parsed.extend(name::subdomain(scope, &at.item(index), name));
    }
    parsed
}

fn retired(scope: &mut Scope, messages: &[v1::RetiredId]) -> Vec<(u32, Name)> {
    let at = At::root("retiredIds");
    if !scope.at_most(&at, messages.len(), MAX_RETIRED_IDS) {
        return Vec::new();
    }
    let mut parsed = Vec::with_capacity(messages.len());
    for (index, v1::RetiredId { id, name }) in messages.iter().enumerate() {
        let at = at.item(index);
        let id = tenant::id(scope, &at, *id);
        let name = name::label(scope, &at.field("name"), name);
        parsed.extend(id.zip(name));
    }
    parsed
}

#[cfg(test)]
mod tests;
