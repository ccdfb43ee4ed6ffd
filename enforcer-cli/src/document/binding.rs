//! `kind: Binding`.

use enforcer_proto::v1;
use serde::Serialize;

use super::lease::LeaseSpec;
use super::rule::Everything;
use super::words;
use crate::failure::Failure;

/// The `spec` of a binding.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BindingSpec {
    pub(crate) address: String,
    #[serde(flatten)]
    pub(crate) holder: HolderSpec,
    pub(crate) generation: u64,
    #[serde(flatten)]
    pub(crate) lease: LeaseSpec,
}

/// Who stands behind the address: exactly one field.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum HolderSpec {
    Tenant(String),
    RemoteNode(Everything),
    Host(Everything),
}

impl TryFrom<v1::Binding> for BindingSpec {
    type Error = Failure;

    fn try_from(binding: v1::Binding) -> Result<Self, Failure> {
        use v1::binding::Holder;
        let v1::Binding { address, generation, lease, lease_until, holder } = binding;
        let holder = match holder.ok_or_else(|| words::missing("binding holder"))? {
            Holder::Tenant(name) => HolderSpec::Tenant(name),
            Holder::RemoteNode(v1::Everything {}) => HolderSpec::RemoteNode(Everything {}),
            Holder::Host(v1::Everything {}) => HolderSpec::Host(Everything {}),
        };
        let lease = LeaseSpec::new(lease, lease_until);
        Ok(Self { address, holder, generation, lease })
    }
}

impl HolderSpec {
    /// True when it is this tenant.
    pub(super) fn is_tenant(&self, tenant: &str) -> bool {
        matches!(self, Self::Tenant(name) if name == tenant)
    }

    /// One word for a table.
    pub(crate) fn brief(&self) -> &str {
        match self {
            Self::Tenant(name) => name,
            Self::RemoteNode(_) => "(remote-node)",
            Self::Host(_) => "(host)",
        }
    }
}
