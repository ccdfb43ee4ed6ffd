//! `kind: Tenant`.

use enforcer_proto::v1;
use serde::Serialize;

use super::rule::{BlockSpec, PortSpec, ports};
use super::words;
use crate::failure::Failure;

/// The `spec` of a tenant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TenantSpec {
    pub(crate) id: u32,
    pub(crate) tier: &'static str,
    pub(crate) data_classification: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) platform_service: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) egress: Vec<EgressSpec>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) devices: Vec<GrantSpec>,
}

/// Where it may go.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EgressSpec {
    pub(crate) ip_block: BlockSpec,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Vec<PortSpec>>,
}

/// What it may open.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct GrantSpec {
    pub(crate) class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) minors: Option<Vec<u32>>,
}

impl TryFrom<v1::Tenant> for TenantSpec {
    type Error = Failure;

    fn try_from(tenant: v1::Tenant) -> Result<Self, Failure> {
        let v1::Tenant { name: _, id, tier, data_classification, mode, platform_service, egress, devices } =
            tenant;
        Ok(Self {
            id,
            tier: words::tier(tier)?,
            data_classification: words::data_classification(data_classification)?,
            mode: words::mode(mode)?,
            platform_service,
            egress: egress.into_iter().map(EgressSpec::try_from).collect::<Result<_, _>>()?,
            devices: devices.into_iter().map(GrantSpec::from).collect(),
        })
    }
}

impl TryFrom<v1::EgressRule> for EgressSpec {
    type Error = Failure;

    fn try_from(rule: v1::EgressRule) -> Result<Self, Failure> {
        let block = rule.ip_block.ok_or_else(|| words::missing("egress.ipBlock"))?;
        Ok(Self { ip_block: BlockSpec::from(block), ports: ports(rule.ports)? })
    }
}

impl From<v1::DeviceGrant> for GrantSpec {
    fn from(grant: v1::DeviceGrant) -> Self {
        Self { class: grant.class, minors: grant.minors.map(|minors| minors.items) }
    }
}
