//! A dedicated tenant has its node to itself, platform services excepted.

use std::collections::BTreeSet;

use super::draft::Draft;
use super::edit::Edit;
use crate::policy::model::{Company, Index, Name, Occupant};
use crate::policy::parse::path::At;

pub(super) fn check(draft: &mut Draft, edit: &Edit, strict: &BTreeSet<Name>) {
    let mut nodes: BTreeSet<Option<Name>> =
        edit.workloads.iter().map(|workload| workload.node.clone()).collect();
    if !strict.is_empty() {
        let concerned =
            draft.policy.index.occupants.keys().filter(|occupant| strict.contains(&occupant.tenant));
        nodes.extend(concerned.map(|occupant| occupant.node.clone()));
    }
    for node in nodes {
        let Some((owner, other)) = taken(&draft.policy.index, &node) else { continue };
        let place = node.as_deref().map_or("this node".to_owned(), |node| format!("node '{node}'"));
        let message = format!(
            "{place} belongs to dedicated tenant '{owner}' and cannot take '{other}' too; move one of them to another node"
        );
        let at = At::root("tenants");
        draft.problems.add("dedicated_node_is_taken", at.name(&other), message);
    }
}

/// The dedicated tenant of a node and somebody it would have to share with. Occupants are ordered by how much
/// they mind, so the first two tell.
fn taken(index: &Index, node: &Option<Name>) -> Option<(Name, Name)> {
    let mut here = occupants_of(index, node);
    let owner = here.next().filter(|occupant| occupant.company == Company::Refuses)?;
    let other = here.next().filter(|occupant| occupant.company != Company::Serves)?;
    Some((Name::clone(&owner.tenant), Name::clone(&other.tenant)))
}

/// Who is on a node, those who mind company most first.
pub(crate) fn occupants_of<'a>(
    index: &'a Index,
    node: &'a Option<Name>,
) -> impl Iterator<Item = &'a Occupant> {
    let first = Occupant { node: node.clone(), company: Company::Refuses, tenant: Name::from("") };
    index
        .occupants
        .range(first..)
        .map(|(occupant, _)| occupant)
        .take_while(move |occupant| occupant.node == *node)
}
