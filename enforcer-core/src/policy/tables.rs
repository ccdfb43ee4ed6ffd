//! The tables on the host: an image behind the traits through which the kernel's code looks things up, so
//! that the very same verdicts can be had without a kernel.

use std::cell::RefCell;
use std::collections::BTreeMap;

use enforcer_common::address::Address;
use enforcer_common::device::DeviceTables;
use enforcer_common::flow::Flows;
use enforcer_common::identity;
use enforcer_common::maps::{
    AddressValue, CidrData, CidrValue, CustodyKey, CustodyValue, FlowKey, FlowValue, FragmentKey,
    FragmentValue, GateKey, GateValue, GrantKey, GrantValue, PairKey, PairValue, PortKey, RuleValue,
    TenantSlot,
};
use enforcer_common::policy::Tables;

use crate::policy::image::{CidrRegion, DeviceRegion, Entries, Image, Plan, PortRegion, TenantImage};

/// Flows and fragments, as the packets of a test or an explanation leave them behind.
#[derive(Clone, Debug, Default)]
pub struct FlowTable {
    flows: BTreeMap<FlowKey, FlowValue>,
    fragments: Vec<(FragmentKey, FragmentValue)>,
}

impl FlowTable {
    /// How many flows are tracked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// True when no flow is tracked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }
}

/// An image as the kernel's code sees it.
#[derive(Debug)]
pub struct ImageTables<'a> {
    image: &'a Image,
    generation: u32,
    flows: RefCell<FlowTable>,
}

impl<'a> ImageTables<'a> {
    /// The image, under generation 1, with no flow tracked.
    #[must_use]
    pub fn new(image: &'a Image) -> Self {
        Self::with_flows(image, 1, FlowTable::default())
    }

    /// The image under a generation, with flows that were tracked under it or an earlier one.
    #[must_use]
    pub const fn with_flows(image: &'a Image, generation: u32, flows: FlowTable) -> Self {
        Self { image, generation, flows: RefCell::new(flows) }
    }

    /// The flows, to go on with under another image.
    #[must_use]
    pub fn into_flows(self) -> FlowTable {
        self.flows.into_inner()
    }

    fn owner(&self, owner: u32, generation: u32) -> Option<&TenantImage> {
        self.image.tenants.get(&owner).filter(|_| generation == self.generation)
    }

    fn slot(&self, identity: u32) -> Option<TenantSlot> {
        let tenant = self.image.tenants.get(&identity)?;
        Some(TenantSlot { generation: self.generation, tier: tenant.tier, flags: tenant.flags, reserved: 0 })
    }
}

impl Tables for ImageTables<'_> {
    fn tenant(&self, identity: u32) -> Option<TenantSlot> {
        self.slot(identity)
    }

    fn address(&self, address: &Address) -> Option<AddressValue> {
        self.image.addresses.get(address).copied()
    }

    fn pair(&self, key: &PairKey) -> Option<PairValue> {
        self.owner(key.owner, key.generation)?.pairs.get(&key.peer).copied()
    }

    fn port(&self, key: &PortKey) -> Option<RuleValue> {
        let region =
            PortRegion { peer: key.peer, protocol: key.protocol, port: key.port, prefix_len: key.prefix_len };
        self.owner(key.owner, key.generation)?.ports.get(&region).copied()
    }

    fn cidr(&self, data: &CidrData) -> Option<CidrValue> {
        let tenant = self.owner(data.owner, data.generation)?;
        (0..=128_u8).rev().find_map(|prefix_len| {
            let address = leading(&data.address, prefix_len);
            tenant.cidrs.get(&CidrRegion { direction: data.direction, address, prefix_len }).copied()
        })
    }
}

fn leading(address: &Address, length: u8) -> Address {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    (u128::from_be_bytes(*address) & mask).to_be_bytes()
}

impl Flows for ImageTables<'_> {
    fn flow(&self, key: &FlowKey) -> Option<FlowValue> {
        self.flows.borrow().flows.get(key).copied()
    }

    fn put_flow(&self, key: &FlowKey, value: &FlowValue) {
        self.flows.borrow_mut().flows.insert(*key, *value);
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentValue> {
        let flows = self.flows.borrow();
        flows.fragments.iter().find(|(held, _)| held == key).map(|(_, value)| *value)
    }

    fn put_fragment(&self, key: &FragmentKey, value: &FragmentValue) {
        let mut flows = self.flows.borrow_mut();
        flows.fragments.retain(|(held, _)| held != key);
        flows.fragments.push((*key, *value));
    }

    /// A policy's image holds no responses: they come and go beside it.
    fn response(&self, _tenant: u32, _now_ns: u64) -> u16 {
        enforcer_common::reason::NONE
    }
}

impl DeviceTables for ImageTables<'_> {
    fn custody(&self, key: &CustodyKey) -> Option<CustodyValue> {
        self.image.custody.get(key).copied()
    }

    fn gate(&self, key: &GateKey) -> Option<GateValue> {
        self.image.gates.get(key).copied()
    }

    fn tenant(&self, identity: u32) -> Option<TenantSlot> {
        self.slot(identity)
    }

    fn grant(&self, key: &GrantKey) -> Option<GrantValue> {
        let region = DeviceRegion { kind: key.kind, major: key.major, minor: key.minor };
        if identity::is_service(key.owner) {
            let grants = self.image.services.get(&key.owner).filter(|_| key.generation == 0)?;
            return grants.get(&region).copied();
        }
        self.owner(key.owner, key.generation)?.grants.get(&region).copied()
    }
}

/// Does to an image what the kernel does with a plan.
pub fn apply_plan(image: &mut Image, plan: &Plan) {
    for address in &plan.addresses_remove {
        image.addresses.remove(address);
    }
    for interface in &plan.interfaces_remove {
        image.interfaces.remove(interface);
    }
    for cgroup in &plan.cgroups_remove {
        image.cgroups.remove(cgroup);
    }
    for gate in &plan.gates_remove {
        image.gates.remove(gate);
    }
    for tenant in &plan.tenants_remove {
        image.tenants.remove(tenant);
    }
    image.tenants.extend(plan.tenants_write.iter().map(|tenant| (tenant.id, tenant.clone())));
    image.addresses.extend(plan.addresses_write.iter().copied());
    image.interfaces.extend(plan.interfaces_write.iter().copied());
    image.cgroups.extend(plan.cgroups_write.iter().copied());
    image.gates.extend(plan.gates_write.iter().copied());
    for (service, grants) in &plan.services_write {
        image.services.remove(service);
        if !grants.is_empty() {
            image.services.insert(*service, grants.clone());
        }
    }
}

/// How many entries of each table an image takes.
#[must_use]
pub fn entries(image: &Image) -> Entries {
    let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let mut entries = Entries {
        addresses: count(image.addresses.len()),
        interfaces: count(image.interfaces.len()),
        cgroups: count(image.cgroups.len()),
        grants: image.services.values().map(|grants| count(grants.len())).sum(),
        ..Entries::default()
    };
    for tenant in image.tenants.values() {
        let own = tenant.entries();
        entries.tenants += own.tenants;
        entries.pairs += own.pairs;
        entries.ports += own.ports;
        entries.cidrs += own.cidrs;
        entries.grants += own.grants;
    }
    entries
}
