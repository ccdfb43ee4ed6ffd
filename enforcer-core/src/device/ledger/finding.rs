//! What is not right, as one look shows it.

use std::collections::BTreeSet;

use enforcer_proto::v1;

use super::name::device_name;
use crate::device::number::DeviceNumber;
use crate::device::table::DeviceTable;
use crate::policy::model::UnixNanos;

/// What is not right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Somebody holds a device that the policy in force does not grant.
    HolderWithoutGrant,
    /// Two tenants hold one device, and the policy does not grant it to both.
    TwoTenants,
    /// A tenant was granted a device, has workloads here, and does not use it.
    GrantWithoutHolder,
    /// A tenant holds a device that the kubelet gave to somebody else, or to nobody.
    HolderWithoutAllocation,
    /// The kubelet gave a device away, and nobody uses it.
    AllocationWithoutHolder,
    /// The kubelet gave one device to pods of several tenants.
    TwoAllocations,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 6] = [
        Self::HolderWithoutGrant,
        Self::TwoTenants,
        Self::GrantWithoutHolder,
        Self::HolderWithoutAllocation,
        Self::AllocationWithoutHolder,
        Self::TwoAllocations,
    ];

    /// The word in `Finding.kind`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::HolderWithoutGrant => "holder_without_grant",
            Self::TwoTenants => "two_tenants",
            Self::GrantWithoutHolder => "grant_without_holder",
            Self::HolderWithoutAllocation => "holder_without_allocation",
            Self::AllocationWithoutHolder => "allocation_without_holder",
            Self::TwoAllocations => "two_allocations",
        }
    }

    /// The level of its alert: what breaks a wall is high, what is a waste is low.
    #[must_use]
    pub const fn level(self) -> &'static str {
        match self {
            Self::HolderWithoutGrant | Self::TwoTenants => "high",
            Self::HolderWithoutAllocation | Self::TwoAllocations => "medium",
            Self::GrantWithoutHolder | Self::AllocationWithoutHolder => "low",
        }
    }

    /// That nobody holds something is told only when it lasts: between the start of a workload and its first open it is so
    /// every time.
    #[must_use]
    pub const fn is_patient(self) -> bool {
        matches!(self, Self::GrantWithoutHolder | Self::AllocationWithoutHolder)
    }
}

/// Which finding: the same key, the same finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What is not right.
    pub kind: Kind,
    /// Of which device.
    pub device: DeviceNumber,
    /// Of whom, where a device can have several of the kind; else empty.
    pub who: String,
}

/// What one look says of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Tenants that it concerns.
    pub tenants: BTreeSet<String>,
    /// A sentence.
    pub message: String,
}

impl Observation {
    /// As a message.
    #[must_use]
    pub fn message(&self, key: &Key, since: UnixNanos, table: &DeviceTable) -> v1::Finding {
        v1::Finding {
            kind: key.kind.word().to_owned(),
            device: Some(device_name(table, key.device)),
            tenants: self.tenants.iter().cloned().collect(),
            message: self.message.clone(),
            since: Some(super::join::timestamp(since)),
        }
    }
}
