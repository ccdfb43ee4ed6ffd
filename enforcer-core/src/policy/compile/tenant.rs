//! One tenant's tables, whole.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE};
use enforcer_common::identity;
use enforcer_common::maps::{
    CIDR_EGRESS, CidrValue, GrantValue, PEER_CIDR, PEER_EGRESS, PairValue, RULE_DEVICE_GRANT, SLOT_AUDIT,
    SLOT_HOST_RULES, SLOT_INTRA_RULES, SLOT_PLATFORM, SLOT_PRESENT, tier,
};

use crate::node::NodeFacts;
use crate::policy::image::{CidrRegion, DeviceRegion, PortRegion, TenantImage};
use crate::policy::model::{Mode, Policy, Tenant, Tier};

use super::carrying;
use super::cidr::regions;
use super::flatten::{Flat, Silence, flatten};
use super::peers::{Peers, World};

/// Everything the tables should hold for one tenant.
#[must_use]
pub fn compile_tenant(policy: &Policy, tenant: &Tenant, facts: &NodeFacts) -> TenantImage {
    let peers = Peers::gather(policy, tenant);
    let mut image = TenantImage { id: tenant.id, tier: tier_number(tenant.tier), ..TenantImage::default() };
    let mut tunnelled = Vec::new();
    for (peer, clauses) in &peers.identities {
        let flat = flatten(clauses, silence(tenant.id, *peer));
        if flat.is_tunnelled {
            tunnelled.push(*peer);
        }
        let pair = add_ports(&mut image, *peer, flat);
        image.pairs.insert(*peer, pair);
    }
    carrying::add(&mut image, &tunnelled);
    for (direction, world) in &peers.world {
        add_world(&mut image, *direction, world);
    }
    image.grants = grants(tenant, facts);
    image.flags = flags(tenant, &image);
    image
}

/// The kernel's number of a tier.
const fn tier_number(tier: Tier) -> u8 {
    match tier {
        Tier::Shared => tier::SHARED,
        Tier::Partitioned => tier::PARTITIONED,
        Tier::Isolated => tier::ISOLATED,
        Tier::Dedicated => tier::DEDICATED,
    }
}

/// What `decide()` answers for a pair of which no rule speaks.
const fn silence(owner: u32, peer: u32) -> Silence {
    if peer == owner || peer == identity::HOST { Silence::Allows } else { Silence::Refuses }
}

fn add_ports(image: &mut TenantImage, peer: u32, flat: Flat) -> PairValue {
    for (protocol, prefix, outcome) in flat.ports {
        let region = PortRegion { peer, protocol, port: prefix.service, prefix_len: prefix.length };
        image.ports.insert(region, outcome);
    }
    flat.pair
}

/// Regions in which the same rules speak share a class, and with it the port entries.
fn add_world(image: &mut TenantImage, direction: u32, world: &World<'_>) {
    let mut classes: BTreeMap<BTreeSet<usize>, CidrValue> = BTreeMap::new();
    let first_class = PEER_CIDR | if direction == CIDR_EGRESS { PEER_EGRESS } else { 0 };
    let mut next_class = first_class;
    for (prefix, speaking) in regions(&world.covers) {
        let value = *classes.entry(speaking).or_insert_with_key(|speaking| {
            let clauses: Vec<_> =
                speaking.iter().filter_map(|clause| world.clauses.get(*clause)).copied().collect();
            let pair = add_ports(image, next_class, flatten(&clauses, Silence::Refuses));
            let value = CidrValue { peer: next_class, pair };
            next_class += 1;
            value
        });
        let region = CidrRegion { direction, address: prefix.address, prefix_len: prefix.length };
        image.cidrs.insert(region, value);
    }
}

/// Creating device nodes is never granted: a container is given its nodes by the runtime.
fn grants(tenant: &Tenant, facts: &NodeFacts) -> BTreeMap<DeviceRegion, GrantValue> {
    let granted = GrantValue { access: ACCESS_READ | ACCESS_WRITE, rule: RULE_DEVICE_GRANT };
    let resolved = tenant
        .devices
        .iter()
        .filter_map(|grant| facts.devices.resolve(&grant.class, grant.minors.as_deref()).ok());
    resolved.flatten().map(|region| (region, granted)).collect()
}

fn flags(tenant: &Tenant, image: &TenantImage) -> u8 {
    let audit = if tenant.mode == Mode::Audit { SLOT_AUDIT } else { 0 };
    let intra = if image.pairs.contains_key(&tenant.id) { SLOT_INTRA_RULES } else { 0 };
    let host = if image.pairs.contains_key(&identity::HOST) { SLOT_HOST_RULES } else { 0 };
    let platform = if tenant.platform_service { SLOT_PLATFORM } else { 0 };
    SLOT_PRESENT | audit | intra | host | platform
}
