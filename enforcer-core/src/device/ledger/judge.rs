//! What one look shows that is not right.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::identity;

use super::Look;
use super::allocation::Allocated;
use super::finding::{Key, Kind, Observation};
use super::join::{is_granted, party};
use super::name::title;
use crate::device::class::{self, Role};
use crate::device::number::DeviceNumber;
use crate::policy::compile::node::is_local;
use crate::policy::image::DeviceRegion;
use crate::policy::model::Name;

/// Everything that is not right at this moment. What lasts, and was told already, is [`super::Standing`]'s to know.
#[must_use]
pub fn observe(look: &Look<'_>) -> BTreeMap<Key, Observation> {
    let mut found = BTreeMap::new();
    let holders = holders(look);
    for (device, parties) in &holders {
        without_grant(look, *device, parties, &mut found);
        two_tenants(look, *device, parties, &mut found);
    }
    unused_grants(look, &holders, &mut found);
    if look.allocations.is_some() {
        allocations(look, &holders, &mut found);
    }
    found
}

type Found = BTreeMap<Key, Observation>;
type Holders = BTreeMap<DeviceNumber, BTreeMap<u32, BTreeSet<u32>>>;

/// By device and identity: the processes.
fn holders(look: &Look<'_>) -> Holders {
    let mut holders = Holders::new();
    for holding in &look.sweep.holdings {
        let of_device = holders.entry(holding.device).or_default();
        of_device.entry(holding.identity).or_default().insert(holding.process);
    }
    holders
}

fn without_grant(
    look: &Look<'_>,
    device: DeviceNumber,
    parties: &BTreeMap<u32, BTreeSet<u32>>,
    found: &mut Found,
) {
    for (number, processes) in parties {
        if is_granted(look, *number, device) {
            continue;
        }
        let who = party(look, *number);
        let message = format!(
            "{who} holds {} without a grant: {}",
            title(&look.facts.devices, device),
            process_words(processes)
        );
        let tenants = tenants_of(look, [*number]);
        found.insert(Key { kind: Kind::HolderWithoutGrant, device, who }, Observation { tenants, message });
    }
}

/// Only accelerators: a control device is there for many. Where all of them were granted it, they share it by the
/// policy's word.
fn two_tenants(
    look: &Look<'_>,
    device: DeviceNumber,
    parties: &BTreeMap<u32, BTreeSet<u32>>,
    found: &mut Found,
) {
    let tenants: BTreeSet<u32> =
        parties.keys().copied().filter(|number| identity::is_tenant(*number)).collect();
    let is_shared = tenants.iter().all(|number| is_granted(look, *number, device));
    if tenants.len() < 2 || is_shared || !is_accelerator(look, device) {
        return;
    }
    let names: BTreeSet<String> = tenants.iter().map(|number| party(look, *number)).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let message = format!("{} is held by {}", title(&look.facts.devices, device), all.join(" and "));
    let key = Key { kind: Kind::TwoTenants, device, who: String::new() };
    found.insert(key, Observation { tenants: names, message });
}

/// Of tenants that have a workload on this node: a grant holds on every node, and is idle where its tenant is not.
fn unused_grants(look: &Look<'_>, holders: &Holders, found: &mut Found) {
    for name in tenants_here(look) {
        let Some(tenant) = look.policy.tenants.get(name) else { continue };
        for grant in &tenant.devices {
            if look.facts.devices.role(&grant.class) != Some(Role::Accelerator) {
                continue;
            }
            let regions =
                look.facts.devices.resolve(&grant.class, grant.minors.as_deref()).unwrap_or_default();
            for device in regions.into_iter().filter_map(number) {
                if holders.get(&device).is_some_and(|parties| parties.contains_key(&tenant.id)) {
                    continue;
                }
                let title = title(&look.facts.devices, device);
                let message = format!("{name} was granted {title} and does not hold it");
                let key = Key { kind: Kind::GrantWithoutHolder, device, who: name.to_string() };
                found.insert(key, Observation { tenants: [name.to_string()].into(), message });
            }
        }
    }
}

fn allocations(look: &Look<'_>, holders: &Holders, found: &mut Found) {
    let Some(allocations) = look.allocations else { return };
    let nobody = BTreeMap::new();
    for (device, pods) in &allocations.devices {
        let allocated = Allocated::of(look.policy, look.facts, pods);
        let parties = holders.get(device).unwrap_or(&nobody);
        two_allocations(look, *device, &allocated, found);
        if parties.keys().all(|number| identity::is_service(*number)) {
            let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
            let title = title(&look.facts.devices, *device);
            let message = format!("the kubelet gave {title} to {}, and nobody holds it", pods.join(", "));
            let tenants = allocated.tenants.iter().map(ToString::to_string).collect();
            let key = Key { kind: Kind::AllocationWithoutHolder, device: *device, who: String::new() };
            found.insert(key, Observation { tenants, message });
        }
    }
    for (device, parties) in holders {
        let pods = allocations.devices.get(device);
        let allocated = pods.map(|pods| Allocated::of(look.policy, look.facts, pods)).unwrap_or_default();
        unallocated(look, *device, parties, &allocated, found);
    }
}

fn two_allocations(look: &Look<'_>, device: DeviceNumber, allocated: &Allocated, found: &mut Found) {
    let parties = allocated.tenants.len().saturating_add(allocated.strangers.len());
    if parties < 2 {
        return;
    }
    let tenants = allocated.tenants.iter().map(ToString::to_string);
    let pods = allocated.strangers.iter().map(|pod| format!("pod {pod}, which the policy does not know"));
    let all: Vec<String> = tenants.chain(pods).collect();
    let title = title(&look.facts.devices, device);
    let message = format!("the kubelet gave {title} to {}", all.join(" and to "));
    let tenants = allocated.tenants.iter().map(ToString::to_string).collect();
    let key = Key { kind: Kind::TwoAllocations, device, who: String::new() };
    found.insert(key, Observation { tenants, message });
}

/// Silent where the kubelet may have given it to them without our knowing: to a pod that the policy does not know, or under
/// an id that nobody here can read.
fn unallocated(
    look: &Look<'_>,
    device: DeviceNumber,
    parties: &BTreeMap<u32, BTreeSet<u32>>,
    allocated: &Allocated,
    found: &mut Found,
) {
    let has_unknown = look.allocations.is_some_and(|all| !all.unmapped.is_empty());
    if !is_accelerator(look, device) || !allocated.strangers.is_empty() || has_unknown {
        return;
    }
    for (number, processes) in parties.iter().filter(|(number, _)| identity::is_tenant(**number)) {
        let who = party(look, *number);
        if allocated.tenants.contains(who.as_str()) {
            continue;
        }
        let given: Vec<&str> = allocated.tenants.iter().map(AsRef::as_ref).collect();
        let given = if given.is_empty() { "nobody".to_owned() } else { given.join(" and ") };
        let message = format!(
            "{who} holds {}, which the kubelet gave to {given}: {}",
            title(&look.facts.devices, device),
            process_words(processes)
        );
        let key = Key { kind: Kind::HolderWithoutAllocation, device, who: who.clone() };
        found.insert(key, Observation { tenants: [who].into(), message });
    }
}

fn tenants_here<'a>(look: &Look<'a>) -> BTreeSet<&'a Name> {
    let attached = look.facts.attachments.iter().filter(|(_, place)| place.cgroup.is_some());
    let workloads = attached.filter_map(|(name, _)| look.policy.workloads.get(name));
    workloads.filter(|workload| is_local(look.facts, workload)).map(|workload| &workload.tenant).collect()
}

fn tenants_of(look: &Look<'_>, numbers: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    numbers
        .into_iter()
        .filter(|number| identity::is_tenant(*number))
        .map(|number| party(look, number))
        .collect()
}

fn is_accelerator(look: &Look<'_>, device: DeviceNumber) -> bool {
    let class = look.facts.devices.class_of(device.kind, device.major, device.minor);
    class.unwrap_or(class::UNASSIGNED) != class::UNASSIGNED
        && class.and_then(|class| look.facts.devices.role(class)) == Some(Role::Accelerator)
}

/// A device of a region; `None` for a whole major.
fn number(region: DeviceRegion) -> Option<DeviceNumber> {
    let exact = region.minor != enforcer_common::maps::MINOR_ANY;
    exact.then(|| DeviceNumber::from_words(region.kind, region.major, region.minor)).flatten()
}

fn process_words(processes: &BTreeSet<u32>) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = processes.iter().take(SHOWN).map(ToString::to_string).collect();
    let word = if processes.len() == 1 { "process" } else { "processes" };
    let more = processes.len().saturating_sub(SHOWN);
    if more > 0 {
        format!("{word} {}, and {more} more", shown.join(", "))
    } else {
        format!("{word} {}", shown.join(", "))
    }
}
