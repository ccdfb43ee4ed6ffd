//! The device gate's words, and its verdict.

use crate::identity;
use crate::maps::{
    CUSTODY_OPEN, CustodyKey, CustodyValue, GATE_CUSTODY, GateKey, GateValue, GrantKey, GrantValue,
    MINOR_ANY, RULE_DEVICE_GRANT, RULE_HOST_SERVICE, RULE_NO_MATCH, RULE_NOT_MANAGED, SLOT_PRESENT,
    TenantSlot,
};
use crate::reason;
use crate::verdict::Verdict;

/// A block device, as the kernel numbers it (`BPF_DEVCG_DEV_BLOCK`).
pub const KIND_BLOCK: u32 = 1;
/// A character device (`BPF_DEVCG_DEV_CHAR`).
pub const KIND_CHAR: u32 = 2;

/// Creating the node (`BPF_DEVCG_ACC_MKNOD`).
pub const ACCESS_MKNOD: u32 = 1;
/// Opening for reading (`BPF_DEVCG_ACC_READ`).
pub const ACCESS_READ: u32 = 2;
/// Opening for writing (`BPF_DEVCG_ACC_WRITE`).
pub const ACCESS_WRITE: u32 = 4;

/// The tables the device verdict looks things up in.
pub trait DeviceTables {
    /// What stands behind a gated number; `None` when the number is not gated.
    fn gate(&self, key: &GateKey) -> Option<GateValue>;
    /// The slot of a tenant in the epoch in force.
    fn tenant(&self, identity: u32) -> Option<TenantSlot>;
    /// A grant.
    fn grant(&self, key: &GrantKey) -> Option<GrantValue>;
    /// Where a device is between two tenants; `None` when nobody said.
    fn custody(&self, key: &CustodyKey) -> Option<CustodyValue>;
}

/// Who asks for a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// Tenant or host service of the nearest known cgroup; [`identity::UNKNOWN`] when none is.
    pub identity: u32,
    /// 1 when the task sits in the root of the cgroup hierarchy, where no container is: kernel threads such
    /// as the one that fills devtmpfs.
    pub in_root: u32,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// `KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// `ACCESS_*` bits.
    pub access: u32,
}

/// The verdict, and the class of the device: `None` when its number is not gated. The asker is only looked for
/// when it is: most opens on a node are of no gated device. A tenant in audit mode is refused like any other: what
/// it is not granted may be another tenant's. Audit of the gate is the node's.
#[must_use]
#[inline(always)]
pub fn decide_device<T: DeviceTables>(
    tables: &T,
    asker: impl FnOnce() -> Asker,
    request: &DeviceRequest,
) -> Option<(Verdict, Asker, GateValue)> {
    let gate = gate_of(tables, request)?;
    let asker = asker();
    Some((decide_gated(tables, &asker, &gate, request), asker, gate))
}

/// The gate entry of a number: the exact minor first, else the whole major.
#[must_use]
#[inline(always)]
pub fn gate_of<T: DeviceTables>(tables: &T, request: &DeviceRequest) -> Option<GateValue> {
    let mut key = GateKey { kind: request.kind, major: request.major, minor: request.minor };
    if let Some(gate) = tables.gate(&key) {
        return Some(gate);
    }
    key.minor = MINOR_ANY;
    tables.gate(&key)
}

/// The verdict on a device that is gated.
#[must_use]
#[inline(always)]
pub fn decide_gated<T: DeviceTables>(
    tables: &T,
    asker: &Asker,
    gate: &GateValue,
    request: &DeviceRequest,
) -> Verdict {
    if identity::is_service(asker.identity) {
        return match grant_of(tables, asker.identity, 0, request) {
            Some(_) => Verdict::allow(RULE_HOST_SERVICE),
            None => Verdict::deny(RULE_NO_MATCH, reason::DEVICE_NOT_GRANTED),
        };
    }
    if request.access & ACCESS_MKNOD != 0 {
        return match asker.in_root {
            0 => Verdict::deny(RULE_NO_MATCH, reason::DEVICE_MKNOD),
            _ => Verdict::allow(RULE_NOT_MANAGED),
        };
    }
    if asker.identity == identity::UNKNOWN {
        return Verdict::deny(RULE_NO_MATCH, reason::DEVICE_NO_TENANT);
    }
    let slot = match tables.tenant(asker.identity) {
        Some(slot) if slot.flags & SLOT_PRESENT != 0 => slot,
        _ => return Verdict::deny(RULE_NO_MATCH, reason::TENANT_UNKNOWN),
    };
    if grant_of(tables, asker.identity, slot.generation, request).is_none() {
        return Verdict::deny(RULE_NO_MATCH, reason::DEVICE_NOT_GRANTED);
    }
    if is_open_to(tables, asker.identity, gate, request) {
        Verdict::allow(RULE_DEVICE_GRANT)
    } else {
        Verdict::deny(RULE_NO_MATCH, reason::DEVICE_CLOSED)
    }
}

/// Whether the device was handed to this tenant. Where nobody said anything of it, it is closed if it is one that is
/// handed over at all.
#[must_use]
#[inline(always)]
pub fn is_open_to<T: DeviceTables>(
    tables: &T,
    tenant: u32,
    gate: &GateValue,
    request: &DeviceRequest,
) -> bool {
    let key = CustodyKey { kind: request.kind, major: request.major, minor: request.minor };
    match tables.custody(&key) {
        Some(held) => held.state == CUSTODY_OPEN && (held.owner == identity::UNKNOWN || held.owner == tenant),
        None => gate.flags & GATE_CUSTODY == 0,
    }
}

/// The grant that covers every access asked for: the exact minor first, else the whole major.
#[inline(always)]
fn grant_of<T: DeviceTables>(
    tables: &T,
    owner: u32,
    generation: u32,
    request: &DeviceRequest,
) -> Option<GrantValue> {
    let mut key =
        GrantKey { owner, generation, kind: request.kind, major: request.major, minor: request.minor };
    let grant = match tables.grant(&key) {
        Some(grant) => grant,
        None => {
            key.minor = MINOR_ANY;
            tables.grant(&key)?
        }
    };
    if request.access & !grant.access == 0 { Some(grant) } else { None }
}
