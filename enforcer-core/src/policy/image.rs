//! What the kernel's tables should hold: the result of compiling, and what is compared with a read-back.

use std::collections::BTreeMap;

use enforcer_common::address::Address;
use enforcer_common::maps::{
    AddressValue, CgroupValue, CidrValue, CustodyKey, CustodyValue, GateKey, GateValue, GrantValue,
    InterfaceValue, PairValue, RuleValue,
};
use sha2::{Digest as _, Sha256};

/// A port region of a tenant: [`enforcer_common::maps::PortKey`] without owner and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRegion {
    /// Identity or CIDR class, with its direction bit.
    pub peer: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// Prefix of the port.
    pub port: u16,
    /// Its length, 0 to 16.
    pub prefix_len: u8,
}

/// A CIDR region of a tenant: [`enforcer_common::maps::CidrData`] without owner and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CidrRegion {
    /// `CIDR_INGRESS` or `CIDR_EGRESS`.
    pub direction: u32,
    /// Mapped, host bits zero.
    pub address: Address,
    /// Length in the mapped form, 0 to 128.
    pub prefix_len: u8,
}

/// A granted device: [`enforcer_common::maps::GrantKey`] without owner and generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceRegion {
    /// `enforcer_common::device::KIND_*`.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number, or `MINOR_ANY`.
    pub minor: u32,
}

/// Everything the tables hold for one tenant, whatever generation it is stored under.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantImage {
    /// The tenant's number.
    pub id: u32,
    /// `enforcer_common::maps::tier`.
    pub tier: u8,
    /// `enforcer_common::maps::SLOT_*`, with `SLOT_PRESENT`.
    pub flags: u8,
    /// By peer.
    pub pairs: BTreeMap<u32, PairValue>,
    /// Disjoint within a peer and protocol.
    pub ports: BTreeMap<PortRegion, RuleValue>,
    /// Longest prefix wins.
    pub cidrs: BTreeMap<CidrRegion, CidrValue>,
    /// Devices.
    pub grants: BTreeMap<DeviceRegion, GrantValue>,
}

/// Everything the tables hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// By number.
    pub tenants: BTreeMap<u32, TenantImage>,
    /// Workloads of this node, bindings, the node's own addresses.
    pub addresses: BTreeMap<Address, AddressValue>,
    /// By interface index.
    pub interfaces: BTreeMap<u32, InterfaceValue>,
    /// By cgroup id.
    pub cgroups: BTreeMap<u64, CgroupValue>,
    /// Gated device numbers.
    pub gates: BTreeMap<GateKey, GateValue>,
    /// Where devices are between two tenants. Not the policy's, and in no digest or plan: it comes and goes beside it.
    pub custody: BTreeMap<CustodyKey, CustodyValue>,
    /// What host services may open, by service number.
    pub services: BTreeMap<u32, BTreeMap<DeviceRegion, GrantValue>>,
}

/// What to change, from what is in force to what should be. Order of use: deletions of addresses,
/// interfaces and cgroups first, then tenants (all at one switch), then what is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Tenants whose tables change, whole.
    pub tenants_write: Vec<TenantImage>,
    /// Tenants that go.
    pub tenants_remove: Vec<u32>,
    /// Addresses to write or replace.
    pub addresses_write: Vec<(Address, AddressValue)>,
    /// Addresses that go.
    pub addresses_remove: Vec<Address>,
    /// Interfaces to write or replace.
    pub interfaces_write: Vec<(u32, InterfaceValue)>,
    /// Interfaces that go.
    pub interfaces_remove: Vec<u32>,
    /// Cgroups to write or replace.
    pub cgroups_write: Vec<(u64, CgroupValue)>,
    /// Cgroups that go.
    pub cgroups_remove: Vec<u64>,
    /// Gated numbers to write.
    pub gates_write: Vec<(GateKey, GateValue)>,
    /// Gated numbers that go.
    pub gates_remove: Vec<GateKey>,
    /// Host services whose grants change, whole; an empty map removes them.
    pub services_write: Vec<(u32, BTreeMap<DeviceRegion, GrantValue>)>,
}

/// How many entries of each table an image or a plan needs, to compare with the tables' capacities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Tenants.
    pub tenants: u64,
    /// Pairs.
    pub pairs: u64,
    /// Port regions.
    pub ports: u64,
    /// CIDR regions.
    pub cidrs: u64,
    /// Device grants, of tenants and services.
    pub grants: u64,
    /// Addresses.
    pub addresses: u64,
    /// Interfaces.
    pub interfaces: u64,
    /// Cgroups.
    pub cgroups: u64,
}

/// SHA-256.
pub type Digest = [u8; 32];

impl TenantImage {
    /// Over every entry in key order, little endian, generation left out.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut hash = Sha256::new();
        hash.update(self.id.to_le_bytes());
        hash.update([self.tier, self.flags]);
        hash.update(u64::try_from(self.pairs.len()).unwrap_or(u64::MAX).to_le_bytes());
        for (peer, pair) in &self.pairs {
            hash.update(peer.to_le_bytes());
            hash_pair(&mut hash, pair);
        }
        hash.update(u64::try_from(self.ports.len()).unwrap_or(u64::MAX).to_le_bytes());
        for (region, value) in &self.ports {
            hash.update(region.peer.to_le_bytes());
            hash.update([region.protocol, region.prefix_len]);
            hash.update(region.port.to_le_bytes());
            hash_rule(&mut hash, value);
        }
        hash.update(u64::try_from(self.cidrs.len()).unwrap_or(u64::MAX).to_le_bytes());
        for (region, value) in &self.cidrs {
            hash.update(region.direction.to_le_bytes());
            hash.update(region.address);
            hash.update([region.prefix_len]);
            hash.update(value.peer.to_le_bytes());
            hash_pair(&mut hash, &value.pair);
        }
        hash_grants(&mut hash, &self.grants);
        hash.finalize().into()
    }

    /// Entries it takes.
    #[must_use]
    pub fn entries(&self) -> Entries {
        Entries {
            tenants: 1,
            pairs: count(self.pairs.len()),
            ports: count(self.ports.len()),
            cidrs: count(self.cidrs.len()),
            grants: count(self.grants.len()),
            ..Entries::default()
        }
    }
}

/// Digest of a whole node: over the sums of its tenants and of its addresses. Interfaces, cgroups and services
/// do not count, since they differ between nodes that hold the same policy. Each sum can be kept up to date entry
/// by entry, so that a push costs what it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeSum {
    tenants: Sum,
    addresses: Sum,
}

impl NodeSum {
    /// Of everything an image holds.
    #[must_use]
    pub fn of(image: &Image) -> Self {
        let mut sum = Self::default();
        for tenant in image.tenants.values() {
            sum.add_tenant(&tenant.digest());
        }
        for (address, value) in &image.addresses {
            sum.add_address(address, value);
        }
        sum
    }

    /// With one more tenant.
    pub fn add_tenant(&mut self, digest: &Digest) {
        self.tenants.add(digest);
    }

    /// Without a tenant that was added before.
    pub fn subtract_tenant(&mut self, digest: &Digest) {
        self.tenants.subtract(digest);
    }

    /// With one more address.
    pub fn add_address(&mut self, address: &Address, value: &AddressValue) {
        self.addresses.add(&address_digest(address, value));
    }

    /// Without an address that was added before.
    pub fn subtract_address(&mut self, address: &Address, value: &AddressValue) {
        self.addresses.subtract(&address_digest(address, value));
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Sha256::new().chain_update(self.tenants.0).chain_update(self.addresses.0).finalize().into()
    }
}

/// A sum of digests: 256-bit addition. It notices any difference that is not made on purpose against SHA-256
/// sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum([u8; 32]);

impl Sum {
    fn add(&mut self, digest: &Digest) {
        let mut carry = 0_u16;
        for (sum, term) in self.0.iter_mut().zip(digest) {
            let total = u16::from(*sum) + u16::from(*term) + carry;
            [*sum, _] = total.to_le_bytes();
            carry = total >> 8;
        }
    }

    fn subtract(&mut self, digest: &Digest) {
        let mut borrow = 0_u16;
        for (sum, term) in self.0.iter_mut().zip(digest) {
            let total = 0x100 + u16::from(*sum) - u16::from(*term) - borrow;
            [*sum, _] = total.to_le_bytes();
            borrow = u16::from(total < 0x100);
        }
    }
}

/// Over one address entry. The lease is left out: it is a time on this node's clock.
fn address_digest(address: &Address, value: &AddressValue) -> Digest {
    let mut hash = Sha256::new();
    hash.update(address);
    hash.update(value.generation.to_le_bytes());
    hash.update(value.identity.to_le_bytes());
    hash.update(value.workload.to_le_bytes());
    hash.finalize().into()
}

fn hash_pair(hash: &mut Sha256, pair: &PairValue) {
    hash_rule(hash, &pair.default);
    for prefixes in pair.prefixes {
        hash.update(prefixes.to_le_bytes());
    }
}

fn hash_rule(hash: &mut Sha256, value: &RuleValue) {
    hash.update(value.rule.to_le_bytes());
    hash.update(value.shadow_rule.to_le_bytes());
    hash.update(value.reason.to_le_bytes());
    hash.update([value.action, value.shadow_action]);
}

fn hash_grants(hash: &mut Sha256, grants: &BTreeMap<DeviceRegion, GrantValue>) {
    hash.update(count(grants.len()).to_le_bytes());
    for (region, value) in grants {
        for word in [region.kind, region.major, region.minor, value.access, value.rule] {
            hash.update(word.to_le_bytes());
        }
    }
}

fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8, identity: u32) -> (Address, AddressValue) {
        ([last; 16], AddressValue { identity, ..AddressValue::default() })
    }

    #[test]
    fn a_sum_forgets_order_and_what_was_taken_away_but_nothing_else() {
        let (one, two) = (address(1, 100), address(255, 200));
        let mut forth = NodeSum::default();
        forth.add_address(&one.0, &one.1);
        forth.add_address(&two.0, &two.1);
        forth.add_tenant(&[0xff; 32]);
        let mut back = NodeSum::default();
        back.add_tenant(&[0xff; 32]);
        back.add_tenant(&[0x80; 32]);
        back.add_address(&two.0, &two.1);
        assert_ne!(forth.digest(), back.digest());
        back.add_address(&one.0, &one.1);
        back.subtract_tenant(&[0x80; 32]);
        assert_eq!(forth.digest(), back.digest());
        back.subtract_address(&one.0, &one.1);
        back.add_address(&one.0, &address(1, 101).1);
        assert_ne!(forth.digest(), back.digest());
    }
}
