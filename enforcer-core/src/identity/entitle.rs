//! What a policy entitles to: which workload has which SPIFFE ID, on which node, and whose bundles it may have.

use std::collections::{BTreeMap, BTreeSet};

use super::spiffe_id::SpiffeId;
use super::trust_domain::TrustDomain;
use crate::policy::model::{Name, Policy};

/// Everything that a policy says of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlements {
    /// The fleet's own trust domain.
    pub fleet: TrustDomain,
    /// By workload.
    pub members: BTreeMap<Name, Entitlement>,
    /// Trust domains of the policy's tenants.
    pub domains: BTreeMap<TrustDomain, Domain>,
}

/// A workload's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Its tenant.
    pub tenant: Name,
    /// Its tenant's trust domain.
    pub domain: TrustDomain,
    /// Its ID, or why the policy gives it none.
    pub id: Result<SpiffeId, NoIdentity>,
    /// Its node; `None` for the node that reads the policy.
    pub node: Option<Name>,
}

/// Why a workload has no ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// The ID is made of both.
    #[error("the policy gives it no namespace and service account")]
    NoAccount,
    /// Longer than an ID may be, or with a character that none may have.
    #[error("its names make no SPIFFE ID: {0}")]
    Id(#[from] super::spiffe_id::SpiffeIdError),
}

/// A tenant's trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// The tenant.
    pub tenant: Name,
    /// Trust domains whose bundles its workloads are given: those that an allow rule connects it with, either way.
    pub federates_with: BTreeSet<TrustDomain>,
    /// Nodes that have a workload of it; `None` for the node that reads the policy.
    pub nodes: BTreeSet<Option<Name>>,
}

/// Reads a policy.
#[must_use]
pub fn entitle(policy: &Policy, fleet: &TrustDomain) -> Entitlements {
    let _ = policy;
    Entitlements { fleet: fleet.clone(), members: BTreeMap::new(), domains: BTreeMap::new() }
}

impl Entitlements {
    /// True when a workload of `domain` is placed on `node`; `own` is the node that reads the policy.
    #[must_use]
    pub fn is_placed(&self, domain: &TrustDomain, node: &str, own: &str) -> bool {
        let Some(domain) = self.domains.get(domain) else { return false };
        domain.nodes.iter().any(|placed| placed.as_deref().unwrap_or(own) == node)
    }

    /// True when a workload of `node` has this ID.
    #[must_use]
    pub fn may_have(&self, id: &SpiffeId, node: &str, own: &str) -> bool {
        self.members
            .values()
            .any(|member| member.id.as_ref() == Ok(id) && member.node.as_deref().unwrap_or(own) == node)
    }
}
