//! Whom a revocation or a rotation means.

use std::fmt;

use clap::Args;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_proto::v1;
use enforcer_proto::v1::identity_target::Who;

/// Whom a revocation or a rotation means; at most one of the three.
#[derive(Args, Clone, Debug)]
#[group(id = "who", multiple = false)]
pub(super) struct Target {
    /// This workload.
    workload: Option<String>,

    /// Every workload of this tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Every workload that has this SPIFFE ID.
    #[arg(long, value_name = "ID")]
    spiffe_id: Option<SpiffeId>,
}

impl Target {
    /// As the agent is told; `None` when nobody was named.
    pub(super) fn request(&self) -> Option<v1::IdentityTarget> {
        let workload = || self.workload.clone().map(Who::Workload);
        let tenant = || self.tenant.clone().map(Who::Tenant);
        let spiffe_id = || self.spiffe_id.as_ref().map(|id| Who::SpiffeId(id.to_string()));
        let who = workload().or_else(tenant).or_else(spiffe_id)?;
        Some(v1::IdentityTarget { who: Some(who) })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.workload, &self.tenant, &self.spiffe_id) {
            (Some(workload), _, _) => write!(f, "workload {workload:?}"),
            (_, Some(tenant), _) => write!(f, "every workload of tenant {tenant:?}"),
            (_, _, Some(id)) => write!(f, "every workload with the SPIFFE ID {id}"),
            (None, None, None) => f.write_str("every workload of the node"),
        }
    }
}
