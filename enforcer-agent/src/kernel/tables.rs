//! The kernel's tables with their types, by the names they have in the kernel object.

use aya::Ebpf;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap};
use enforcer_common::address::Address;
use enforcer_common::maps::{
    AddressValue, CIDR_FIXED_BITS, CgroupValue, CidrData, CidrValue, CounterKey, CounterValue, CustodyKey,
    CustodyValue, GateKey, GateValue, GrantKey, GrantValue, HandleValue, InterfaceValue, LossKey, PairKey,
    PairValue, PortKey, RuleValue, Settings, TenantValue, TouchKey, TouchValue,
};
use enforcer_common::telling::{ResponseValue, TaskLayout, Telling};
use enforcer_core::enforce::EnforceError;
use enforcer_core::policy::image::CidrRegion;

use super::error::{KernelError, kernel};

/// Key of the CIDR table.
pub(super) type CidrKey = Key<CidrData>;

/// Every table that is pinned, in the order in which they are listed to people.
pub(super) const PINNED: [&str; 33] = [
    "TENANTS",
    "ADDRESSES",
    "PAIRS",
    "PORTS",
    "CIDRS",
    "INTERFACES",
    "CGROUPS",
    "GATES",
    "GRANTS",
    "CUSTODY",
    "TOUCHED",
    "HANDLES",
    "FLOWS",
    "FRAGMENTS",
    "COUNTERS",
    "BUCKETS",
    "SETTINGS",
    "STATE",
    "LOST",
    "LOSSES",
    "EVENTS",
    "SAMPLES",
    "PROCESSES",
    "SEQUENCES",
    "TELLING",
    "LAYOUT",
    "AGGREGATION",
    "RESPONSES",
    "MEMOS",
    "OWNERS",
    "SOCKETS",
    "INTERCEPTED",
    "ORIGINS",
];

/// The tables the agent writes and reads. `FLOWS`, `FRAGMENTS`, `BUCKETS`, `OWNERS`, `SEQUENCES`, `ORIGINS` and what is
/// kept with sockets are the programs' own.
pub(super) struct Tables {
    pub(super) settings: Array<MapData, Settings>,
    pub(super) telling: Array<MapData, Telling>,
    pub(super) layout: Array<MapData, TaskLayout>,
    pub(super) aggregation: HashMap<MapData, u32, u32>,
    pub(super) responses: HashMap<MapData, u32, ResponseValue>,
    pub(super) state: Array<MapData, u64>,
    pub(super) tenants: HashMap<MapData, u32, TenantValue>,
    pub(super) addresses: HashMap<MapData, Address, AddressValue>,
    pub(super) pairs: HashMap<MapData, PairKey, PairValue>,
    pub(super) ports: HashMap<MapData, PortKey, RuleValue>,
    pub(super) cidrs: LpmTrie<MapData, CidrData, CidrValue>,
    pub(super) interfaces: HashMap<MapData, u32, InterfaceValue>,
    pub(super) cgroups: HashMap<MapData, u64, CgroupValue>,
    pub(super) gates: HashMap<MapData, GateKey, GateValue>,
    pub(super) grants: HashMap<MapData, GrantKey, GrantValue>,
    pub(super) custody: HashMap<MapData, CustodyKey, CustodyValue>,
    pub(super) touched: HashMap<MapData, TouchKey, TouchValue>,
    pub(super) handles: HashMap<MapData, u64, HandleValue>,
    pub(super) counters: PerCpuHashMap<MapData, CounterKey, CounterValue>,
    pub(super) lost: PerCpuArray<MapData, u64>,
    pub(super) losses: PerCpuHashMap<MapData, LossKey, u64>,
}

impl Tables {
    /// Takes the tables out of a loaded object.
    pub(super) fn take(object: &mut Ebpf) -> Result<Self, KernelError> {
        Ok(Self {
            settings: take(object, "SETTINGS")?,
            telling: take(object, "TELLING")?,
            layout: take(object, "LAYOUT")?,
            aggregation: take(object, "AGGREGATION")?,
            responses: take(object, "RESPONSES")?,
            state: take(object, "STATE")?,
            tenants: take(object, "TENANTS")?,
            addresses: take(object, "ADDRESSES")?,
            pairs: take(object, "PAIRS")?,
            ports: take(object, "PORTS")?,
            cidrs: take(object, "CIDRS")?,
            interfaces: take(object, "INTERFACES")?,
            cgroups: take(object, "CGROUPS")?,
            gates: take(object, "GATES")?,
            grants: take(object, "GRANTS")?,
            custody: take(object, "CUSTODY")?,
            touched: take(object, "TOUCHED")?,
            handles: take(object, "HANDLES")?,
            counters: take(object, "COUNTERS")?,
            lost: take(object, "LOST")?,
            losses: take(object, "LOSSES")?,
        })
    }

    /// A cell of the state array.
    pub(super) fn state(&self, cell: u32) -> Result<u64, EnforceError> {
        self.state.get(&cell, 0).map_err(kernel("read", "STATE"))
    }

    /// Sets a cell of the state array.
    pub(super) fn set_state(&mut self, cell: u32, value: u64) -> Result<(), EnforceError> {
        self.state.set(cell, value, 0).map_err(kernel("write", "STATE"))
    }
}

fn take<T>(object: &mut Ebpf, table: &'static str) -> Result<T, KernelError>
where
    T: TryFrom<Map, Error = MapError>,
{
    let map = object.take_map(table).ok_or(KernelError::Missing(table))?;
    T::try_from(map).map_err(|error| KernelError::Table { table, error })
}

/// The table's key of a CIDR region.
pub(super) fn cidr_key(owner: u32, generation: u32, region: &CidrRegion) -> CidrKey {
    let data = CidrData { owner, generation, direction: region.direction, address: region.address };
    Key::new(CIDR_FIXED_BITS + u32::from(region.prefix_len), data)
}

/// The table's key of a port region.
pub(super) fn port_key(
    owner: u32,
    generation: u32,
    region: &enforcer_core::policy::image::PortRegion,
) -> PortKey {
    PortKey {
        owner,
        generation,
        peer: region.peer,
        port: region.port,
        protocol: region.protocol,
        prefix_len: region.prefix_len,
    }
}

/// The table's key of a device grant.
pub(super) fn grant_key(
    owner: u32,
    generation: u32,
    region: &enforcer_core::policy::image::DeviceRegion,
) -> GrantKey {
    GrantKey { owner, generation, kind: region.kind, major: region.major, minor: region.minor }
}
