//! What is known of the tables without reading them: kept up to date with every commit, and swept after it.

use std::collections::BTreeMap;
use std::time::Duration;

use enforcer_common::maps::{STATE_EPOCH, TenantSlot, TenantValue};
use enforcer_core::enforce::{EnforceError, Prepared};
use enforcer_core::policy::image::{Digest, Plan};

use super::error::kernel;
use super::read_back::{TenantKeys, active, count};
use super::step::{Step, place};
use super::sys;
use super::wall::Wall;

/// How long a program that read the old epoch may still look at the old generation, where the kernel cannot say:
/// programs run for microseconds.
const GRACE: Duration = Duration::from_millis(100);

impl Wall {
    /// Notes what the tables hold after a commit, and what is to be swept.
    pub(super) fn settle_accounts(&mut self, prepared: &Prepared, plan: &Plan, steps: &[Step]) -> Digest {
        self.count_node(steps);
        let held = &mut self.held;
        held.stale.retain(|(_, keys)| keys.generation != prepared.generation);
        for image in &plan.tenants_write {
            let digest = image.digest();
            held.sum.add_tenant(&digest);
            if let Some(old) = held.tenants.insert(image.id, digest) {
                held.sum.subtract_tenant(&old);
            }
            let keys = TenantKeys::of(image, prepared.generation);
            match held.keys.insert(image.id, keys) {
                Some(old) => held.stale.push((image.id, old)),
                None => held.entries.tenants += 1,
            }
            held.unsettled.push(image.id);
        }
        for id in &plan.tenants_remove {
            if let Some(old) = held.tenants.remove(id) {
                held.sum.subtract_tenant(&old);
            }
            if let Some(old) = held.keys.remove(id) {
                held.stale.push((*id, old));
            }
            held.unsettled.push(*id);
        }
        held.sum.digest()
    }

    /// Counts addresses, interfaces and cgroups by what the steps found before and what is there now.
    fn count_node(&mut self, steps: &[Step]) {
        let mut addresses = BTreeMap::new();
        let (mut interfaces, mut cgroups, mut grants) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for step in steps {
            match step {
                Step::Address(key, before) => drop(addresses.entry(*key).or_insert(*before)),
                Step::Interface(key, before) => drop(interfaces.entry(*key).or_insert(before.is_some())),
                Step::Cgroup(key, before) => drop(cgroups.entry(*key).or_insert(before.is_some())),
                Step::Grant(key, before) => drop(grants.entry(*key).or_insert(before.is_some())),
                Step::Gate(..) | Step::Tenant(..) | Step::Cell(..) => {}
            }
        }
        let held = &mut self.held;
        for (address, before) in addresses {
            let now = self.tables.addresses.get(&address, 0).ok();
            if let Some(value) = before {
                held.sum.subtract_address(&address, &value);
            }
            if let Some(value) = now {
                held.sum.add_address(&address, &value);
            }
            recount(&mut held.entries.addresses, before.is_some(), now.is_some());
        }
        for (key, before) in interfaces {
            recount(&mut held.entries.interfaces, before, self.tables.interfaces.get(&key, 0).is_ok());
        }
        for (key, before) in cgroups {
            recount(&mut held.entries.cgroups, before, self.tables.cgroups.get(&key, 0).is_ok());
        }
        for (key, before) in grants {
            recount(&mut held.entries.grants, before, self.tables.grants.get(&key, 0).is_ok());
        }
    }

    /// Deletes entries of generations that are not in force, and makes both slots of each tenant alike.
    pub(super) fn sweep_now(&mut self) -> Result<(), EnforceError> {
        if std::mem::take(&mut self.held.switched) && !sys::grace_period() {
            std::thread::sleep(GRACE);
        }
        let epoch = self.tables.state(STATE_EPOCH)?;
        while let Some(id) = self.held.unsettled.last().copied() {
            let value = self.tables.tenants.get(&id, 0).unwrap_or_default();
            let slot = active(&value, epoch);
            if slot == TenantSlot::default() {
                _ = place!(self.tables.tenants, "TENANTS", &id, None::<TenantValue>);
                self.held.entries.tenants = self.held.entries.tenants.saturating_sub(1);
            } else {
                let value = Some(TenantValue { slots: [slot, slot] });
                _ = place!(self.tables.tenants, "TENANTS", &id, value);
            }
            self.held.unsettled.pop();
        }
        while let Some((owner, keys)) = self.held.stale.last() {
            self.tables.delete_tenant(*owner, keys)?;
            let entries = &mut self.held.entries;
            entries.pairs = entries.pairs.saturating_sub(count(keys.peers.len()));
            entries.ports = entries.ports.saturating_sub(count(keys.ports.len()));
            entries.cidrs = entries.cidrs.saturating_sub(count(keys.cidrs.len()));
            entries.grants = entries.grants.saturating_sub(count(keys.grants.len()));
            self.held.stale.pop();
        }
        Ok(())
    }
}

fn recount(entries: &mut u64, before: bool, now: bool) {
    *entries = entries.saturating_add(u64::from(now)).saturating_sub(u64::from(before));
}
