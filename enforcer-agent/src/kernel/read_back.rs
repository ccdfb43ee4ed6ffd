//! Reading the tables: what the kernel holds is the truth, whatever the agent believes.

use std::collections::BTreeMap;

use enforcer_common::identity;
use enforcer_common::maps::{CIDR_FIXED_BITS, SLOT_PRESENT, STATE_EPOCH, TenantSlot, TenantValue};
use enforcer_core::enforce::EnforceError;
use enforcer_core::policy::image::{
    CidrRegion, DeviceRegion, Entries, Image, NodeSum, PortRegion, TenantImage,
};

use super::error::kernel;
use super::tables::{CidrKey, Tables, cidr_key, grant_key, port_key};
use super::wall::{Held, Wall};

/// Keys of a tenant's entries: enough to delete them without searching the tables.
#[derive(Clone, Debug, Default)]
pub(super) struct TenantKeys {
    pub(super) generation: u32,
    pub(super) peers: Vec<u32>,
    pub(super) ports: Vec<PortRegion>,
    pub(super) cidrs: Vec<CidrRegion>,
    pub(super) grants: Vec<DeviceRegion>,
}

impl TenantKeys {
    pub(super) fn of(image: &TenantImage, generation: u32) -> Self {
        Self {
            generation,
            peers: image.pairs.keys().copied().collect(),
            ports: image.ports.keys().copied().collect(),
            cidrs: image.cidrs.keys().copied().collect(),
            grants: image.grants.keys().copied().collect(),
        }
    }
}

/// The tenant's slot in the epoch in force.
pub(super) fn active(value: &TenantValue, epoch: u64) -> TenantSlot {
    let [even, odd] = value.slots;
    if epoch & 1 == 0 { even } else { odd }
}

/// The value with its inactive slot replaced.
pub(super) fn with_next(value: &TenantValue, epoch: u64, next: TenantSlot) -> TenantValue {
    let [even, odd] = value.slots;
    TenantValue { slots: if epoch & 1 == 0 { [even, next] } else { [next, odd] } }
}

/// What a whole reading found.
pub(super) struct Stock {
    pub(super) image: Image,
    pub(super) generations: BTreeMap<u32, u32>,
    /// Entries of generations that are not in force, by owner and generation.
    pub(super) strays: BTreeMap<(u32, u32), TenantKeys>,
    /// Tenants whose inactive slot differs.
    pub(super) unsettled: Vec<u32>,
    pub(super) last_generation: u32,
}

impl Tables {
    /// Reads every policy table.
    pub(super) fn stock(&self) -> Result<Stock, EnforceError> {
        let epoch = self.state(STATE_EPOCH)?;
        let mut stock = Stock {
            image: Image::default(),
            generations: BTreeMap::new(),
            strays: BTreeMap::new(),
            unsettled: Vec::new(),
            last_generation: 0,
        };
        for entry in self.tenants.iter() {
            let (id, value) = entry.map_err(kernel("read", "TENANTS"))?;
            stock.add_tenant(id, &value, epoch);
        }
        self.stock_rules(&mut stock)?;
        self.stock_node(&mut stock.image)?;
        Ok(stock)
    }

    fn stock_rules(&self, stock: &mut Stock) -> Result<(), EnforceError> {
        for entry in self.pairs.iter() {
            let (key, value) = entry.map_err(kernel("read", "PAIRS"))?;
            match stock.place(key.owner, key.generation) {
                Place::InForce(image) => drop(image.pairs.insert(key.peer, value)),
                Place::Stray(keys) => keys.peers.push(key.peer),
            }
        }
        for entry in self.ports.iter() {
            let (key, value) = entry.map_err(kernel("read", "PORTS"))?;
            let region = PortRegion {
                peer: key.peer,
                protocol: key.protocol,
                port: key.port,
                prefix_len: key.prefix_len,
            };
            match stock.place(key.owner, key.generation) {
                Place::InForce(image) => drop(image.ports.insert(region, value)),
                Place::Stray(keys) => keys.ports.push(region),
            }
        }
        for entry in self.cidrs.iter() {
            let (key, value) = entry.map_err(kernel("read", "CIDRS"))?;
            let data = key.data();
            let prefix_len =
                u8::try_from(key.prefix_len().saturating_sub(CIDR_FIXED_BITS)).unwrap_or(u8::MAX);
            let region = CidrRegion { direction: data.direction, address: data.address, prefix_len };
            match stock.place(data.owner, data.generation) {
                Place::InForce(image) => drop(image.cidrs.insert(region, value)),
                Place::Stray(keys) => keys.cidrs.push(region),
            }
        }
        for entry in self.grants.iter() {
            let (key, value) = entry.map_err(kernel("read", "GRANTS"))?;
            let region = DeviceRegion { kind: key.kind, major: key.major, minor: key.minor };
            if identity::is_service(key.owner) {
                stock.image.services.entry(key.owner).or_default().insert(region, value);
                continue;
            }
            match stock.place(key.owner, key.generation) {
                Place::InForce(image) => drop(image.grants.insert(region, value)),
                Place::Stray(keys) => keys.grants.push(region),
            }
        }
        Ok(())
    }

    fn stock_node(&self, image: &mut Image) -> Result<(), EnforceError> {
        for entry in self.addresses.iter() {
            let (address, value) = entry.map_err(kernel("read", "ADDRESSES"))?;
            image.addresses.insert(address, value);
        }
        for entry in self.interfaces.iter() {
            let (index, value) = entry.map_err(kernel("read", "INTERFACES"))?;
            image.interfaces.insert(index, value);
        }
        for entry in self.cgroups.iter() {
            let (id, value) = entry.map_err(kernel("read", "CGROUPS"))?;
            image.cgroups.insert(id, value);
        }
        for entry in self.gates.iter() {
            let (key, value) = entry.map_err(kernel("read", "GATES"))?;
            image.gates.insert(key, value);
        }
        Ok(())
    }

    /// Reads one tenant's entries back, under a generation, by the keys of what should be there. An entry
    /// that is missing is left out.
    pub(super) fn read_tenant(&self, wanted: &TenantImage, generation: u32) -> TenantImage {
        let id = wanted.id;
        let mut found = TenantImage { id, tier: wanted.tier, flags: wanted.flags, ..TenantImage::default() };
        for peer in wanted.pairs.keys() {
            let key = enforcer_common::maps::PairKey { owner: id, generation, peer: *peer };
            if let Ok(value) = self.pairs.get(&key, 0) {
                found.pairs.insert(*peer, value);
            }
        }
        for region in wanted.ports.keys() {
            if let Ok(value) = self.ports.get(&port_key(id, generation, region), 0) {
                found.ports.insert(*region, value);
            }
        }
        for region in wanted.cidrs.keys() {
            let key: CidrKey = cidr_key(id, generation, region);
            if let Ok(value) = self.cidrs.get(&key, 0) {
                found.cidrs.insert(*region, value);
            }
        }
        for region in wanted.grants.keys() {
            if let Ok(value) = self.grants.get(&grant_key(id, generation, region), 0) {
                found.grants.insert(*region, value);
            }
        }
        found
    }
}

enum Place<'a> {
    InForce(&'a mut TenantImage),
    Stray(&'a mut TenantKeys),
}

impl Stock {
    fn add_tenant(&mut self, id: u32, value: &TenantValue, epoch: u64) {
        let slot = active(value, epoch);
        let [even, odd] = value.slots;
        if even != odd {
            self.unsettled.push(id);
        }
        self.last_generation = self.last_generation.max(even.generation).max(odd.generation);
        if slot.flags & SLOT_PRESENT != 0 {
            let image = TenantImage { id, tier: slot.tier, flags: slot.flags, ..TenantImage::default() };
            self.image.tenants.insert(id, image);
            self.generations.insert(id, slot.generation);
        }
    }

    fn place(&mut self, owner: u32, generation: u32) -> Place<'_> {
        self.last_generation = self.last_generation.max(generation);
        if self.generations.get(&owner) == Some(&generation)
            && let Some(image) = self.image.tenants.get_mut(&owner)
        {
            return Place::InForce(image);
        }
        let keys = self.strays.entry((owner, generation)).or_default();
        keys.generation = generation;
        Place::Stray(keys)
    }
}

impl Wall {
    /// Learns what the tables hold, and removes what a crash between two steps left behind.
    pub(super) fn take_stock(&mut self) -> Result<(), EnforceError> {
        let stock = self.tables.stock()?;
        let mut held = Held { last_generation: stock.last_generation, ..Held::default() };
        for (id, image) in &stock.image.tenants {
            let generation = stock.generations.get(id).copied().unwrap_or(0);
            held.tenants.insert(*id, image.digest());
            held.add_entries(&image.entries());
            held.keys.insert(*id, TenantKeys::of(image, generation));
        }
        held.sum = NodeSum::of(&stock.image);
        held.entries.addresses = count(stock.image.addresses.len());
        held.entries.interfaces = count(stock.image.interfaces.len());
        held.entries.cgroups = count(stock.image.cgroups.len());
        held.entries.grants += stock.image.services.values().map(|grants| count(grants.len())).sum::<u64>();
        held.stale = stock.strays.into_iter().map(|((owner, _), keys)| (owner, keys)).collect();
        held.unsettled = stock.unsettled;
        for (_, keys) in &held.stale {
            held.entries.pairs += count(keys.peers.len());
            held.entries.ports += count(keys.ports.len());
            held.entries.cidrs += count(keys.cidrs.len());
            held.entries.grants += count(keys.grants.len());
        }
        self.held = held;
        self.sweep_now()
    }
}

impl Held {
    pub(super) fn add_entries(&mut self, more: &Entries) {
        self.entries.tenants += more.tenants;
        self.entries.pairs += more.pairs;
        self.entries.ports += more.ports;
        self.entries.cidrs += more.cidrs;
        self.entries.grants += more.grants;
    }
}

pub(super) fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
