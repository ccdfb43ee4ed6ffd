//! Identities: who a packet, a socket or a process belongs to, as one number.
//!
//! Tenants take the numbers from [`FIRST_TENANT`] up; the numbers below it are reserved here, in one place,
//! so that no code needs a special case for "the host" or "the world".

/// Nobody: an address, cgroup or interface that no table knows. Never allowed anything.
pub const UNKNOWN: u32 = 0;
/// This node itself: its own addresses, and its processes that belong to no workload.
pub const HOST: u32 = 1;
/// Everything outside the nodes: an address that no workload and no binding holds.
pub const WORLD: u32 = 2;
/// Another node of the fleet, as opposed to a workload on it.
pub const REMOTE_NODE: u32 = 3;
/// The first number that a tenant may have.
pub const FIRST_TENANT: u32 = 16;
/// The last number that a tenant may have: 24 bits, so that a tag leaves room in a 32-bit packet mark.
pub const LAST_TENANT: u32 = 0x00ff_fffe;
/// The tenant of canary operations: no policy can have it, so every hook refuses it.
pub const CANARY: u32 = 0x00ff_ffff;
/// Host services (driver daemons, device plugins) take numbers from here up. They pass the device gate
/// only; they are no party to a flow.
pub const FIRST_SERVICE: u32 = 0x0100_0000;
/// The last host service number.
pub const LAST_SERVICE: u32 = 0x0100_fffe;
/// The host service of canary operations.
pub const CANARY_SERVICE: u32 = 0x0100_ffff;

/// True for the number of a tenant, existing or not, the canary's included.
#[must_use]
#[inline(always)]
pub const fn is_tenant(identity: u32) -> bool {
    identity >= FIRST_TENANT && identity <= CANARY
}

/// True for the number of a host service.
#[must_use]
#[inline(always)]
pub const fn is_service(identity: u32) -> bool {
    identity >= FIRST_SERVICE && identity <= CANARY_SERVICE
}

/// The name of a reserved identity, `None` for tenants, services and unassigned numbers.
#[must_use]
pub const fn reserved_name(identity: u32) -> Option<&'static str> {
    match identity {
        UNKNOWN => Some("unknown"),
        HOST => Some("host"),
        WORLD => Some("world"),
        REMOTE_NODE => Some("remote-node"),
        _ => None,
    }
}
