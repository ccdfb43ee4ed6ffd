//! One look: the kernel, `/proc`, the control groups and the kubelet, of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use enforcer_core::device::holding::HandleSweep;
use enforcer_core::device::ledger::{self, Allocations, Look, Selection};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::policy::model::{Name, UnixNanos};
use enforcer_proto::v1;

use super::desk::{Desk, blocking};
use super::{kubelet, process, tell};
use crate::door::policy::InForce;
use crate::group::Groups;

/// Unreadable ids that an answer names.
const UNMAPPED_SHOWN: usize = 4;

/// Everything of one moment.
struct Seen {
    sweep: HandleSweep,
    in_force: Arc<InForce>,
    at: UnixNanos,
    processes: BTreeMap<u32, v1::Process>,
    workloads: BTreeMap<u64, Name>,
    allocations: Result<Allocations, String>,
}

impl Seen {
    fn look(&self) -> Look<'_> {
        Look {
            sweep: &self.sweep,
            policy: &self.in_force.current.policy,
            facts: &self.in_force.facts,
            allocations: self.allocations.as_ref().ok(),
            processes: &self.processes,
            workloads: &self.workloads,
            at: self.at,
        }
    }
}

/// Looks, tells what began and what ended, and answers with everything.
pub(super) async fn take(desk: &Desk) -> Result<v1::HandlesResponse, String> {
    let seen = see(desk).await?;
    let look = seen.look();
    let observed = ledger::observe(&look);
    let table = &seen.in_force.facts.devices;
    let (changes, findings, left_out) = {
        let mut standing = desk.standing();
        let changes = standing.update(observed, seen.sweep.lacking.is_none(), seen.at);
        (changes, standing.findings(table), standing.left_out())
    };
    for change in &changes {
        tell::finding(desk, change, table, seen.at);
    }
    let mut answer = ledger::handles(&look);
    answer.findings = findings;
    answer.allocations_absent = seen.allocations.as_ref().err().cloned().unwrap_or_default();
    let mut notes = vec![std::mem::take(&mut answer.account_reason)];
    notes.extend(seen.allocations.as_ref().ok().and_then(unmapped));
    notes.extend((left_out > 0).then(|| format!("{left_out} findings more than are followed")));
    notes.retain(|note| !note.is_empty());
    answer.account_reason = notes.join("; ");
    Ok(answer)
}

/// Looks, and answers with the part that was asked for.
pub(super) async fn answer(desk: &Desk, request: &v1::HandlesRequest) -> Result<v1::HandlesResponse, String> {
    let in_force = desk.parts.policy.in_force();
    let selection = Selection::parse(request, &in_force.facts.devices).map_err(|error| error.to_string())?;
    Ok(selection.of(take(desk).await?))
}

async fn see(desk: &Desk) -> Result<Seen, String> {
    let at = (desk.parts.clock)();
    let sweep = desk.sweep().await?;
    let in_force = desk.parts.policy.in_force();
    let holders: BTreeMap<u32, u64> =
        sweep.holdings.iter().map(|holding| (holding.process, holding.cgroup)).collect();
    let (groups, force) = (desk.groups.clone(), Arc::clone(&in_force));
    let (processes, workloads) = blocking(move || {
        let cgroups: BTreeSet<u64> = holders.values().copied().collect();
        Ok((process::describe(&holders), workloads(&groups, &force, &cgroups)))
    })
    .await?;
    let allocations = allocations(desk, &in_force).await;
    Ok(Seen { sweep, in_force, at, processes, workloads, allocations })
}

/// In which workload's group each lies. Where the hierarchy cannot be read, a line has no workload, and still its tenant,
/// which the kernel says.
fn workloads(groups: &Groups, in_force: &InForce, cgroups: &BTreeSet<u64>) -> BTreeMap<u64, Name> {
    let places = &in_force.facts.attachments;
    let by_group: BTreeMap<u64, &Name> =
        places.iter().filter_map(|(name, place)| Some((place.cgroup?, name))).collect();
    let found = groups.find(cgroups).unwrap_or_default();
    let named = found.iter().filter_map(|group| {
        let innermost = group.lineage().iter().rev().find_map(|id| by_group.get(id))?;
        Some((group.id, Name::clone(innermost)))
    });
    named.collect()
}

async fn allocations(desk: &Desk, in_force: &InForce) -> Result<Allocations, String> {
    let Some(socket) = &desk.parts.settings.pod_resources else {
        return Err("deviceGate.handles.podResources is not set".to_owned());
    };
    let ids: BTreeMap<String, DeviceNumber> = match desk.parts.driver_ids.clone() {
        // A driver that does not answer leaves ids unread, which is told.
        Some(ids) => blocking(move || ids()).await.unwrap_or_default(),
        None => BTreeMap::new(),
    };
    kubelet::ask(socket, &in_force.facts.devices, &ids).await
}

fn unmapped(allocations: &Allocations) -> Option<String> {
    let shown: Vec<&str> = allocations.unmapped.iter().take(UNMAPPED_SHOWN).map(String::as_str).collect();
    let more = allocations.unmapped.len().saturating_sub(shown.len());
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!shown.is_empty()).then(|| {
        format!(
            "of these ids of the kubelet it is not known which device they are: {}{and}",
            shown.join(", ")
        )
    })
}
