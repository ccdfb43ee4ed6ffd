//! What holds beside the policy: responses to alerts, and how much is told of whom.

use std::collections::BTreeMap;

use enforcer_core::enforce::{Aggregation, EnforceError, Response};
use enforcer_core::policy::model::Name;

use super::engine::Engine;
use crate::door::policy::DeviceCommand;

impl Engine {
    /// Puts a response in force for a tenant, or ends it.
    pub(super) fn respond(&mut self, tenant: &Name, response: Option<&Response>) -> Result<(), String> {
        let number = self.number_of(tenant)?;
        self.kernel.set_response(number, response).map_err(|error| error.to_string())
    }

    /// Says how much is told of whom.
    pub(super) fn aggregate(&mut self, tenants: &BTreeMap<Name, Aggregation>) -> Result<(), String> {
        let numbered = tenants.iter().map(|(tenant, level)| Ok((self.number_of(tenant)?, *level)));
        let numbered = numbered.collect::<Result<BTreeMap<u32, Aggregation>, String>>()?;
        self.kernel.set_aggregation(&numbered).map_err(|error| error.to_string())
    }

    /// What the rooms of devices ask of the kernel.
    pub(super) fn devices(&mut self, asked: DeviceCommand) {
        let words = |error: EnforceError| error.to_string();
        match asked {
            DeviceCommand::SetCustody(device, custody, reply) => {
                let _gone = reply.send(self.kernel.set_custody(device, custody).map_err(words));
            }
            DeviceCommand::Custody(reply) => {
                let _gone = reply.send(self.kernel.custody().map_err(words));
            }
            DeviceCommand::ForgetTouched(device, reply) => {
                let _gone = reply.send(self.kernel.forget_touched(device).map_err(words));
            }
            DeviceCommand::Handles(reply) => {
                let _gone = reply.send(self.kernel.handles().map_err(words));
            }
            DeviceCommand::ProveHooks(reply) => {
                let _gone = reply.send(self.kernel.prove_hooks().map_err(words));
            }
        }
    }

    fn number_of(&self, tenant: &Name) -> Result<u32, String> {
        let policy = &self.history.current().policy;
        let found = policy.tenants.get(tenant).map(|tenant| tenant.id);
        found.ok_or_else(|| format!("the policy in force has no tenant {tenant}"))
    }
}
