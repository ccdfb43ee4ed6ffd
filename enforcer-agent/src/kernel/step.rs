//! The steps of a commit, and their undoing.

use enforcer_common::address::Address;
use enforcer_common::maps::{
    AddressValue, CgroupValue, GateKey, GateValue, GrantKey, GrantValue, InterfaceValue, STATE_CGROUPS,
    STATE_EPOCH, STATE_REVISION, TenantSlot, TenantValue,
};
use enforcer_core::enforce::{EnforceError, Prepared};
use enforcer_core::policy::image::Plan;

use super::error::kernel;
use super::hooks;
use super::read_back::{count, with_next};
use super::tables::grant_key;
use super::wall::Wall;

/// A step that was taken, and what was there before.
pub(super) enum Step {
    Address(Address, Option<AddressValue>),
    Interface(u32, Option<InterfaceValue>),
    Cgroup(u64, Option<CgroupValue>),
    Gate(GateKey, Option<GateValue>),
    Grant(GrantKey, Option<GrantValue>),
    Tenant(u32, Option<TenantValue>),
    Cell(u32, u64),
}

/// Puts a value, or its absence, into a table, and answers with what was there.
macro_rules! place {
    ($table:expr, $name:literal, $key:expr, $value:expr) => {{
        let before = match $table.get($key, 0) {
            Ok(value) => Some(value),
            Err(aya::maps::MapError::KeyNotFound) => None,
            Err(error) => return Err(kernel("read", $name)(error)),
        };
        match ($value, before) {
            (Some(value), _) => $table.insert($key, value, 0).map_err(kernel("write", $name))?,
            (None, Some(_)) => $table.remove($key).map_err(kernel("delete from", $name))?,
            (None, None) => {}
        }
        before
    }};
}

pub(super) use place;

impl Wall {
    /// Takes every step of a commit, and answers how many entries went.
    pub(super) fn step_through(
        &mut self,
        prepared: &Prepared,
        plan: &Plan,
        revision: u64,
        steps: &mut Vec<Step>,
    ) -> Result<u64, EnforceError> {
        let epoch = self.tables.state(STATE_EPOCH)?;
        let deleted = self.step_out(plan, steps)?;
        for image in &plan.tenants_write {
            let slot = TenantSlot {
                generation: prepared.generation,
                tier: image.tier,
                flags: image.flags,
                reserved: 0,
            };
            self.step_tenant(image.id, epoch, slot, steps)?;
        }
        for id in &plan.tenants_remove {
            self.step_tenant(*id, epoch, TenantSlot::default(), steps)?;
        }
        self.step_devices(plan, steps)?;
        self.step_cell(STATE_REVISION, revision, steps)?;
        self.step_cell(STATE_EPOCH, epoch.wrapping_add(1), steps)?;
        self.held.switched = true;
        self.step_in(plan, steps)?;
        self.check_node(plan)?;
        self.check_switch(prepared, plan, revision, epoch.wrapping_add(1))?;
        Ok(deleted)
    }

    /// What goes, first: nobody is let in by a holder that has left.
    fn step_out(&mut self, plan: &Plan, steps: &mut Vec<Step>) -> Result<u64, EnforceError> {
        for address in &plan.addresses_remove {
            let before = place!(self.tables.addresses, "ADDRESSES", address, None::<AddressValue>);
            steps.push(Step::Address(*address, before));
        }
        for index in &plan.interfaces_remove {
            let before = place!(self.tables.interfaces, "INTERFACES", index, None::<InterfaceValue>);
            steps.push(Step::Interface(*index, before));
        }
        for id in &plan.cgroups_remove {
            let before = place!(self.tables.cgroups, "CGROUPS", id, None::<CgroupValue>);
            steps.push(Step::Cgroup(*id, before));
        }
        for key in &plan.gates_remove {
            let before = place!(self.tables.gates, "GATES", key, None::<GateValue>);
            steps.push(Step::Gate(*key, before));
        }
        Ok(count(
            plan.addresses_remove.len()
                + plan.interfaces_remove.len()
                + plan.cgroups_remove.len()
                + plan.gates_remove.len(),
        ))
    }

    fn step_tenant(
        &mut self,
        id: u32,
        epoch: u64,
        next: TenantSlot,
        steps: &mut Vec<Step>,
    ) -> Result<(), EnforceError> {
        let held = self.tables.tenants.get(&id, 0).unwrap_or_default();
        let value = Some(with_next(&held, epoch, next));
        let before = place!(self.tables.tenants, "TENANTS", &id, value);
        steps.push(Step::Tenant(id, before));
        Ok(())
    }

    fn step_devices(&mut self, plan: &Plan, steps: &mut Vec<Step>) -> Result<(), EnforceError> {
        for (key, value) in &plan.gates_write {
            let before = place!(self.tables.gates, "GATES", key, Some(*value));
            steps.push(Step::Gate(*key, before));
        }
        for (service, grants) in &plan.services_write {
            let mut gone = Vec::new();
            for key in self.tables.grants.keys() {
                let key = key.map_err(kernel("read", "GRANTS"))?;
                let region = enforcer_core::policy::image::DeviceRegion {
                    kind: key.kind,
                    major: key.major,
                    minor: key.minor,
                };
                if key.owner == *service && !grants.contains_key(&region) {
                    gone.push(key);
                }
            }
            for key in gone {
                let before = place!(self.tables.grants, "GRANTS", &key, None::<GrantValue>);
                steps.push(Step::Grant(key, before));
            }
            for (region, value) in grants {
                let key = grant_key(*service, 0, region);
                let before = place!(self.tables.grants, "GRANTS", &key, Some(*value));
                steps.push(Step::Grant(key, before));
            }
        }
        Ok(())
    }

    fn step_cell(&mut self, cell: u32, value: u64, steps: &mut Vec<Step>) -> Result<(), EnforceError> {
        let before = self.tables.state(cell)?;
        self.tables.set_state(cell, value)?;
        steps.push(Step::Cell(cell, before));
        Ok(())
    }

    /// What comes, last: a newcomer finds its rules in place.
    fn step_in(&mut self, plan: &Plan, steps: &mut Vec<Step>) -> Result<(), EnforceError> {
        for (address, value) in &plan.addresses_write {
            let before = place!(self.tables.addresses, "ADDRESSES", address, Some(*value));
            steps.push(Step::Address(*address, before));
        }
        for (id, value) in &plan.cgroups_write {
            let before = place!(self.tables.cgroups, "CGROUPS", id, Some(*value));
            steps.push(Step::Cgroup(*id, before));
        }
        if !plan.cgroups_write.is_empty() || !plan.cgroups_remove.is_empty() {
            let version = self.tables.state(STATE_CGROUPS)?;
            self.step_cell(STATE_CGROUPS, version.wrapping_add(1) & u64::from(u32::MAX), steps)?;
        }
        for (index, value) in &plan.interfaces_write {
            let before = place!(self.tables.interfaces, "INTERFACES", index, Some(*value));
            steps.push(Step::Interface(*index, before));
            self.hang_interface(*index).map_err(kernel("attach to interface", index.to_string()))?;
        }
        for index in &plan.interfaces_remove {
            hooks::take_off_interface(&self.pins, *index)
                .map_err(kernel("detach from interface", index.to_string()))?;
        }
        Ok(())
    }

    /// Undoes the steps, last first. What cannot be undone is said loudly: status will show the drift.
    pub(super) fn step_back(&mut self, steps: Vec<Step>) {
        for step in steps.into_iter().rev() {
            if let Err(error) = self.undo(step) {
                tracing::error!(%error, "a refused change could not be taken back whole");
            }
        }
    }

    fn undo(&mut self, step: Step) -> Result<(), EnforceError> {
        let tables = &mut self.tables;
        match step {
            Step::Address(key, before) => _ = place!(tables.addresses, "ADDRESSES", &key, before),
            Step::Cgroup(key, before) => _ = place!(tables.cgroups, "CGROUPS", &key, before),
            Step::Gate(key, before) => _ = place!(tables.gates, "GATES", &key, before),
            Step::Grant(key, before) => _ = place!(tables.grants, "GRANTS", &key, before),
            Step::Tenant(key, before) => _ = place!(tables.tenants, "TENANTS", &key, before),
            Step::Cell(STATE_CGROUPS, before) => {
                tables.set_state(STATE_CGROUPS, before.wrapping_add(2) & u64::from(u32::MAX))?;
            }
            Step::Cell(cell, before) => tables.set_state(cell, before)?,
            Step::Interface(key, before) => {
                _ = place!(tables.interfaces, "INTERFACES", &key, before);
                match before {
                    None => hooks::take_off_interface(&self.pins, key),
                    Some(_) => self.hang_interface(key),
                }
                .map_err(kernel("restore the links of interface", key.to_string()))?;
            }
        }
        Ok(())
    }
}
