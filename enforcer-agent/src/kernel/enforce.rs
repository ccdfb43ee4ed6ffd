//! Putting a plan in force: the new generation beside the old, one cell to switch, old generations swept
//! later. Every step is remembered until the end, so that a failure leaves what was in force before.

use std::collections::BTreeMap;

use enforcer_common::maps::STATE_REVISION;
use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::{Aggregation, Committed, EnforceError, Enforcement, Prepared, Response};
use enforcer_core::policy::image::{Digest, Entries, Image, Plan};

use super::read_back::{TenantKeys, count};
use super::wall::Wall;
use super::{custody, telling};

impl Enforcement for Wall {
    fn prepare(&mut self, plan: &Plan) -> Result<Prepared, EnforceError> {
        self.sweep_now()?;
        self.check_room(plan)?;
        let generation = self.held.last_generation.wrapping_add(1).max(1);
        self.held.last_generation = generation;
        let mut written = 0;
        for image in &plan.tenants_write {
            self.held.stale.push((image.id, TenantKeys::of(image, generation)));
            self.held.add_entries(&Entries { tenants: 0, ..image.entries() });
            if let Err(error) = self.tables.write_tenant(image, generation).and_then(|entries| {
                written += entries;
                self.tables.check_tenant(image, generation)
            }) {
                if let Err(later) = self.sweep_now() {
                    tracing::warn!(%later, "entries of a refused change are left for the next sweep");
                }
                return Err(error);
            }
        }
        Ok(Prepared { generation, written })
    }

    fn commit(&mut self, prepared: Prepared, plan: &Plan, revision: u64) -> Result<Committed, EnforceError> {
        let mut steps = Vec::new();
        match self.step_through(&prepared, plan, revision, &mut steps) {
            Ok(deleted) => {
                let digest = self.settle_accounts(&prepared, plan, &steps);
                self.succeed();
                Ok(Committed { digest, written: prepared.written + written_by(plan), deleted })
            }
            Err(error) => {
                self.step_back(steps);
                self.abort(prepared);
                Err(error)
            }
        }
    }

    fn abort(&mut self, prepared: Prepared) {
        if let Err(error) = self.sweep_now() {
            tracing::warn!(generation = prepared.generation, %error, "entries of a refused change are left for the next sweep");
        }
    }

    fn sweep(&mut self) -> Result<(), EnforceError> {
        self.sweep_now()
    }

    fn read_back(&self) -> Result<Image, EnforceError> {
        Ok(self.tables.stock()?.image)
    }

    fn digest(&self) -> (Digest, u64) {
        let revision = self.tables.state(STATE_REVISION).unwrap_or(0);
        (self.held.sum.digest(), revision)
    }

    fn capacity(&self) -> Entries {
        self.config.capacity
    }

    fn set_response(&mut self, tenant: u32, response: Option<&Response>) -> Result<(), EnforceError> {
        telling::set_response(&mut self.tables, tenant, response)
    }

    fn set_aggregation(&mut self, tenants: &BTreeMap<u32, Aggregation>) -> Result<(), EnforceError> {
        telling::set_aggregation(&mut self.tables, tenants)
    }

    fn set_custody(
        &mut self,
        device: DeviceNumber,
        custody: Option<GateCustody>,
    ) -> Result<(), EnforceError> {
        custody::set(&mut self.tables, device, custody)
    }

    fn forget_touched(&mut self, device: DeviceNumber) -> Result<(), EnforceError> {
        custody::forget_touched(&mut self.tables, device)
    }
}

/// Entries that a commit writes beside the generation.
fn written_by(plan: &Plan) -> u64 {
    count(
        plan.tenants_write.len()
            + plan.addresses_write.len()
            + plan.interfaces_write.len()
            + plan.cgroups_write.len()
            + plan.gates_write.len(),
    )
}
