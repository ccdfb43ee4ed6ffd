//! The kernel maps, and the traits of `enforcer-common` over them. Sizes are defaults; the agent sets its own
//! when it loads the programs.

use core::intrinsics::{AtomicOrdering, atomic_xadd};

use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, PerCpuHashMap, RingBuf};
use enforcer_common::address::Address;
use enforcer_common::device::DeviceTables;
use enforcer_common::event::RINGS;
use enforcer_common::flow::Flows;
use enforcer_common::identity;
use enforcer_common::maps::{
    AddressValue, BucketValue, CIDR_FIXED_BITS, CgroupValue, CidrData, CidrValue, CounterKey, CounterValue,
    CustodyKey, CustodyValue, FlowKey, FlowValue, FragmentKey, FragmentValue, GateKey, GateValue, GrantKey,
    GrantValue, HandleValue, InterfaceValue, LOST_CELLS, LOST_FLOW_FULL, LossKey, PairKey, PairValue,
    PortKey, RuleValue, STATE_CELLS, STATE_EPOCH, Settings, TenantSlot, TenantValue, TouchKey, TouchValue,
};
use enforcer_common::policy::Tables;
use enforcer_common::telling::Telling;

use crate::response;

/// Memory is taken when an entry is made: most tables are far from full.
const NO_PREALLOC: u32 = 1;
/// `BPF_NOEXIST`.
pub const NO_EXIST: u64 = 1;

#[map]
pub static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
pub static STATE: Array<u64> = Array::with_max_entries(STATE_CELLS, 0);
#[map]
pub static TENANTS: HashMap<u32, TenantValue> = HashMap::with_max_entries(16_384, NO_PREALLOC);
#[map]
pub static ADDRESSES: HashMap<Address, AddressValue> = HashMap::with_max_entries(1_048_576, NO_PREALLOC);
#[map]
pub static PAIRS: HashMap<PairKey, PairValue> = HashMap::with_max_entries(262_144, NO_PREALLOC);
#[map]
pub static PORTS: HashMap<PortKey, RuleValue> = HashMap::with_max_entries(1_048_576, NO_PREALLOC);
#[map]
pub static CIDRS: LpmTrie<CidrData, CidrValue> = LpmTrie::with_max_entries(262_144, NO_PREALLOC);
#[map]
pub static INTERFACES: HashMap<u32, InterfaceValue> = HashMap::with_max_entries(4_096, NO_PREALLOC);
#[map]
pub static CGROUPS: HashMap<u64, CgroupValue> = HashMap::with_max_entries(8_192, NO_PREALLOC);
#[map]
pub static GATES: HashMap<GateKey, GateValue> = HashMap::with_max_entries(1_024, NO_PREALLOC);
#[map]
pub static GRANTS: HashMap<GrantKey, GrantValue> = HashMap::with_max_entries(65_536, NO_PREALLOC);
#[map]
pub static CUSTODY: HashMap<CustodyKey, CustodyValue> = HashMap::with_max_entries(4_096, NO_PREALLOC);
/// Control groups that ever held a gated device.
#[map]
pub static TOUCHED: HashMap<TouchKey, TouchValue> = HashMap::with_max_entries(65_536, NO_PREALLOC);
/// Open files of gated devices, by the address of `struct file`.
#[map]
pub static HANDLES: HashMap<u64, HandleValue> = HashMap::with_max_entries(65_536, NO_PREALLOC);
#[map]
pub static FLOWS: LruHashMap<FlowKey, FlowValue> = LruHashMap::with_max_entries(262_144, 0);
#[map]
pub static FRAGMENTS: LruHashMap<FragmentKey, FragmentValue> = LruHashMap::with_max_entries(8_192, 0);
#[map]
pub static COUNTERS: PerCpuHashMap<CounterKey, CounterValue> =
    PerCpuHashMap::with_max_entries(65_536, NO_PREALLOC);
/// Losses by source and cause.
#[map]
pub static LOSSES: PerCpuHashMap<LossKey, u64> = PerCpuHashMap::with_max_entries(32_768, NO_PREALLOC);
/// Losses by cause alone, of sources that found no room above.
#[map]
pub static LOST: PerCpuArray<u64> = PerCpuArray::with_max_entries(LOST_CELLS, 0);
/// What was worth telling, by ring.
#[map]
pub static SEQUENCES: PerCpuArray<u64> = PerCpuArray::with_max_entries(RINGS, 0);
#[map]
pub static TELLING: Array<Telling> = Array::with_max_entries(1, 0);
#[map]
pub static BUCKETS: LruHashMap<u32, BucketValue> = LruHashMap::with_max_entries(32_768, 0);
/// Refusals, device decisions, alerts.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 22, 0);
/// Allowed flows, their first packet.
#[map]
pub static SAMPLES: RingBuf = RingBuf::with_byte_size(1 << 22, 0);

/// Processes that begin, run something else, or end.
#[map]
pub static PROCESSES: RingBuf = RingBuf::with_byte_size(1 << 21, 0);

/// The maps as `decide()`, the wall and the device gate see them, with what does not change while one
/// packet is looked at.
pub struct Kernel {
    parity: usize,
}

impl Kernel {
    #[inline(always)]
    pub fn now() -> Self {
        let epoch = STATE.get(STATE_EPOCH).copied().unwrap_or(0);
        Self { parity: (epoch & 1) as usize }
    }
}

/// The node's settings; all zero, and so without a tag and deferring nothing, before the agent wrote any.
#[inline(always)]
pub fn settings() -> Settings {
    SETTINGS.get(0).copied().unwrap_or_default()
}

#[inline(always)]
pub fn state(cell: u32) -> u64 {
    STATE.get(cell).copied().unwrap_or(0)
}

/// Counts a loss where it happens. What one processor does here is interrupted only by itself, so the addition must be
/// one instruction to be exact.
#[inline(never)]
pub fn lose(source: u32, cause: u32) {
    let key = LossKey { source, cause };
    if let Some(count) = LOSSES.get_ptr_mut(&key) {
        add_one(count);
        return;
    }
    // Not over one that an interrupt made in between.
    if LOSSES.insert(&key, 1, NO_EXIST).is_ok() {
        return;
    }
    match LOSSES.get_ptr_mut(&key).or_else(|| LOST.get_ptr_mut(cause)) {
        Some(count) => drop(add_one(count)),
        None => {}
    }
}

/// Adds one to a cell, and answers with what was there. The intrinsic, since the standard library has this addition only
/// for targets that can compare and swap. Not relaxed: LLVM 22 then makes an instruction of it that answers nothing, and
/// leaves the addend where the answer should be.
#[inline(always)]
pub fn add_one(cell: *mut u64) -> u64 {
    // SAFETY: the cell is a map's, aligned, and lives as long as this program runs.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::AcqRel }>(cell, 1) }
}

impl Tables for Kernel {
    #[inline(always)]
    fn tenant(&self, identity: u32) -> Option<TenantSlot> {
        // SAFETY: values of a map without preallocation are freed only after a grace period.
        let value = unsafe { TENANTS.get(identity) }?;
        Some(if self.parity == 0 { value.slots[0] } else { value.slots[1] })
    }

    #[inline(always)]
    fn address(&self, address: &Address) -> Option<AddressValue> {
        // SAFETY: as above.
        unsafe { ADDRESSES.get(address) }.copied()
    }

    #[inline(always)]
    fn pair(&self, key: &PairKey) -> Option<PairValue> {
        // SAFETY: as above.
        unsafe { PAIRS.get(key) }.copied()
    }

    #[inline(always)]
    fn port(&self, key: &PortKey) -> Option<RuleValue> {
        // SAFETY: as above.
        unsafe { PORTS.get(key) }.copied()
    }

    #[inline(always)]
    fn cidr(&self, data: &CidrData) -> Option<CidrValue> {
        CIDRS.get(Key::new(CIDR_FIXED_BITS + 128, *data)).copied()
    }
}

impl Flows for Kernel {
    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<FlowValue> {
        // SAFETY: an entry that is evicted while it is read may show another flow's value; its ends are
        // compared before it is believed.
        unsafe { FLOWS.get(key) }.copied()
    }

    #[inline(always)]
    fn put_flow(&self, key: &FlowKey, value: &FlowValue) {
        if FLOWS.insert(key, value, 0).is_err() {
            lose(value.source, LOST_FLOW_FULL);
        }
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentValue> {
        // SAFETY: as for flows; the worst an aliased value does is a refused fragment.
        unsafe { FRAGMENTS.get(key) }.copied()
    }

    #[inline(always)]
    fn put_fragment(&self, key: &FragmentKey, value: &FragmentValue) {
        if FRAGMENTS.insert(key, value, 0).is_err() {
            lose(identity::UNKNOWN, LOST_FLOW_FULL);
        }
    }

    #[inline(always)]
    fn response(&self, tenant: u32, now_ns: u64) -> u16 {
        response::refusal(tenant, now_ns) as u16
    }
}

impl DeviceTables for Kernel {
    #[inline(always)]
    fn gate(&self, key: &GateKey) -> Option<GateValue> {
        // SAFETY: values of a map without preallocation are freed only after a grace period.
        unsafe { GATES.get(key) }.copied()
    }

    #[inline(always)]
    fn tenant(&self, identity: u32) -> Option<TenantSlot> {
        Tables::tenant(self, identity)
    }

    #[inline(always)]
    fn grant(&self, key: &GrantKey) -> Option<GrantValue> {
        // SAFETY: as above.
        unsafe { GRANTS.get(key) }.copied()
    }

    #[inline(always)]
    fn custody(&self, key: &CustodyKey) -> Option<CustodyValue> {
        // SAFETY: as above.
        unsafe { CUSTODY.get(key) }.copied()
    }
}
