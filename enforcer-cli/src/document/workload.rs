//! `kind: Workload`.

use enforcer_proto::v1;
use serde::Serialize;

use super::lease::LeaseSpec;
use super::words;
use crate::failure::Failure;

/// The `spec` of a workload.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WorkloadSpec {
    pub(crate) tenant: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cgroup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) network_namespace: Option<String>,
    pub(crate) host_network: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) addresses: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) service_account: String,
    #[serde(flatten)]
    pub(crate) lease: LeaseSpec,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) encapsulations: Vec<&'static str>,
}

impl TryFrom<v1::Workload> for WorkloadSpec {
    type Error = Failure;

    fn try_from(workload: v1::Workload) -> Result<Self, Failure> {
        let v1::Workload {
            name: _,
            tenant,
            node,
            cgroup,
            interface,
            network_namespace,
            host_network,
            addresses,
            namespace: _,
            service_account,
            lease,
            lease_until,
            encapsulations,
        } = workload;
        let words: Result<Vec<&str>, Failure> =
            encapsulations.into_iter().map(words::encapsulation).collect();
        Ok(Self {
            tenant,
            node,
            cgroup,
            interface,
            network_namespace,
            host_network,
            addresses,
            service_account,
            lease: LeaseSpec::new(lease, lease_until),
            encapsulations: words?,
        })
    }
}
