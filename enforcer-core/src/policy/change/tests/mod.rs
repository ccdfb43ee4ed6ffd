//! Tests of `apply`, by subject.

mod bindings;
mod cost;
mod devices;
mod diff;
mod index;
mod registration;
mod rollback;
mod round_trip;
mod rules;
mod tiers;

use enforcer_proto::v1;

use super::{Change, Changed, apply};
use crate::policy::model::Policy;
use crate::policy::parse::yaml;
use crate::policy::problem::Problem;

pub(super) const NOW: u64 = 1_800_000_000_000_000_000;

/// Documents, one a text, with the parts that tests do not care about filled in.
pub(super) fn tenant(name: &str, id: u32, rest: &str) -> String {
    let tier = if rest.contains("tier:") { "" } else { "tier: shared, " };
    format!(
        "apiVersion: enforcer.dev/v1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{id: {id}, {tier}dataClassification: internal{rest}}}\n"
    )
}

pub(super) fn workload(name: &str, tenant: &str, address: &str, rest: &str) -> String {
    format!(
        "apiVersion: enforcer.dev/v1\nkind: Workload\nmetadata: {{name: {name}}}\nspec: {{tenant: {tenant}, cgroup: /{name}, addresses: [\"{address}\"]{rest}}}\n"
    )
}

pub(super) fn rule(name: &str, from: &str, to: &str, rest: &str) -> String {
    let action = if rest.contains("action:") { "" } else { ", action: allow" };
    format!(
        "apiVersion: enforcer.dev/v1\nkind: Rule\nmetadata: {{name: {name}}}\nspec: {{from: {{{from}}}, to: {{{to}}}{action}{rest}}}\n"
    )
}

pub(super) fn binding(address: &str, holder: &str, generation: u64) -> String {
    format!(
        "apiVersion: enforcer.dev/v1\nkind: Binding\nspec: {{address: \"{address}\", {holder}, generation: {generation}}}\n"
    )
}

pub(super) fn put(current: &Policy, documents: &[String], prune: bool) -> Result<Changed, Vec<Problem>> {
    let text = documents.join("---\n");
    let documents = yaml::read(&[("test.yaml", text)]);
    apply(current, &Change::Documents { documents, prune }, NOW)
}

pub(super) fn add(current: &Policy, documents: &[String]) -> Result<Changed, Vec<Problem>> {
    put(current, documents, false)
}

pub(super) fn policy(documents: &[String]) -> Policy {
    add(&Policy::default(), documents).unwrap().policy
}

pub(super) fn delta(current: &Policy, delta: v1::Delta) -> Result<Changed, Vec<Problem>> {
    apply(current, &Change::Delta(delta), NOW)
}

/// Code and path of every problem.
pub(super) fn refused(outcome: Result<Changed, Vec<Problem>>) -> Vec<(&'static str, String)> {
    outcome.unwrap_err().into_iter().map(|problem| (problem.code, problem.path)).collect()
}

#[track_caller]
pub(super) fn assert_refused(outcome: Result<Changed, Vec<Problem>>, code: &str, path: &str) {
    let found = refused(outcome);
    assert_eq!(found.iter().map(|(code, path)| (*code, path.as_str())).collect::<Vec<_>>(), [(code, path)]);
}
