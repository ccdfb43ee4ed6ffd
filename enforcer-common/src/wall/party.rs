//! The two ends of a flow: who an address, an interface or a tag says they are.

use super::{Arrival, Judgement};
use crate::address::{self, Address};
use crate::identity;
use crate::maps::{InterfaceValue, RULE_NOT_MANAGED, SLOT_PRESENT};
use crate::policy::Tables;
use crate::reason;
use crate::verdict::Verdict;

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Party {
    pub(super) identity: u32,
    /// The workload on this node that holds the address, or 0.
    pub(super) workload: u32,
    pub(super) expired: u32,
}

impl Party {
    /// The workload behind an interface.
    #[inline(always)]
    pub(super) const fn of(interface: &InterfaceValue, now_ns: u64) -> Self {
        Self {
            identity: interface.tenant,
            workload: interface.workload,
            expired: lapsed(interface.lease_until_ns, now_ns),
        }
    }

    #[inline(always)]
    pub(super) const fn known(identity: u32) -> Self {
        Self { identity, workload: 0, expired: 0 }
    }
}

/// Both ends of a flow, and where and when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meeting {
    pub(super) now_ns: u64,
    pub(super) source: u32,
    pub(super) destination: u32,
    pub(super) expired: u32,
    /// Not 0 when both ends are workloads of this node.
    pub(super) same_node: u32,
    /// 0 where no agent looks at what arrives at the tunnel's port.
    pub(super) attended: u32,
    pub(super) hook: u8,
}

impl Meeting {
    #[inline(always)]
    pub(super) const fn of(source: Party, destination: Party, hook: u8, now_ns: u64) -> Self {
        Self {
            now_ns,
            source: source.identity,
            destination: destination.identity,
            expired: source.expired | destination.expired,
            same_node: 0,
            attended: 1,
            hook,
        }
    }
}

/// 1 when a lease has run out.
#[inline(always)]
const fn lapsed(until_ns: u64, now_ns: u64) -> u32 {
    if until_ns != 0 && until_ns < now_ns { 1 } else { 0 }
}

/// Who holds an address; an address that nobody holds is the world's.
#[inline(always)]
fn party_at<T: Tables>(tables: &T, address: &Address, now_ns: u64) -> Party {
    match tables.address(address) {
        Some(value) => Party {
            identity: value.identity,
            workload: value.workload,
            expired: lapsed(value.lease_until_ns, now_ns),
        },
        None => Party { identity: identity::WORLD, workload: 0, expired: 0 },
    }
}

/// Who holds an address, loopback being the host's.
#[inline(always)]
pub(super) fn holder<T: Tables>(tables: &T, address: &Address, now_ns: u64) -> Party {
    if address::is_loopback(address) {
        return Party::known(identity::HOST);
    }
    party_at(tables, address, now_ns)
}

/// Who sent a packet: a tenant's tag says so, else the address does. An untagged packet with the address of a
/// workload on this node did not come through that workload's interface, and one with the node's own address
/// that came from elsewhere is not the node's.
#[inline(always)]
pub(super) fn sender<T: Tables>(
    tables: &T,
    source: &Address,
    arrival: &Arrival,
    now_ns: u64,
) -> Result<Party, u16> {
    if identity::is_tenant(arrival.tag) {
        return Ok(Party::known(arrival.tag));
    }
    let party = holder(tables, source, now_ns);
    if party.workload != 0 {
        return Err(reason::SOURCE_NOT_OWN);
    }
    if party.identity == identity::HOST && arrival.forwarded != 0 {
        return Ok(Party::known(identity::WORLD));
    }
    Ok(party)
}

/// Passes a packet on to the hook that will decide, unless its tenant is not in the policy in force.
#[inline(always)]
pub(super) fn known_tenant<T: Tables>(tables: &T, tenant: u32, destination: u32) -> Judgement {
    match tables.tenant(tenant) {
        Some(slot) if slot.flags & SLOT_PRESENT != 0 => {
            Judgement::settled(tenant, destination, Verdict::allow(RULE_NOT_MANAGED))
        }
        _ => Judgement::refused(tenant, destination, reason::TENANT_UNKNOWN),
    }
}
