//! Putting a plan in force: the new generation beside the old, one cell to switch, old generations swept
//! later. Every step is remembered until the end, so that a failure leaves what was in force before.

use std::collections::BTreeMap;
use std::time::Duration;

use enforcer_common::address::Address;
use enforcer_common::maps::{
    AddressValue, CgroupValue, GateKey, GateValue, GrantKey, GrantValue, InterfaceValue, PairKey,
    STATE_CGROUPS, STATE_EPOCH, STATE_REVISION, TenantSlot, TenantValue,
};
use enforcer_core::enforce::{Committed, EnforceError, Enforcement, Prepared};
use enforcer_core::policy::image::{Digest, Entries, Image, Plan, TenantImage};

use super::error::kernel;
use super::hooks;
use super::read_back::{TenantKeys, active, count, with_next};
use super::sys;
use super::tables::{Tables, cidr_key, grant_key, port_key};
use super::wall::Wall;

/// How long a program that read the old epoch may still look at the old generation, where the kernel cannot say:
/// programs run for microseconds.
const GRACE: Duration = Duration::from_millis(100);

/// A step that was taken, and what was there before.
enum Step {
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
}

impl Wall {
    fn check_room(&self, plan: &Plan) -> Result<(), EnforceError> {
        let held = &self.held.entries;
        let capacity = &self.config.capacity;
        let mut more = Entries {
            addresses: count(plan.addresses_write.len()),
            interfaces: count(
                plan.interfaces_write
                    .iter()
                    .filter(|(index, _)| self.tables.interfaces.get(index, 0).is_err())
                    .count(),
            ),
            cgroups: count(
                plan.cgroups_write.iter().filter(|(id, _)| self.tables.cgroups.get(id, 0).is_err()).count(),
            ),
            ..Entries::default()
        };
        for image in &plan.tenants_write {
            let entries = image.entries();
            more.tenants += u64::from(!self.held.tenants.contains_key(&image.id));
            more.pairs += entries.pairs;
            more.ports += entries.ports;
            more.cidrs += entries.cidrs;
            more.grants += entries.grants;
        }
        let fresh = |address: &Address| self.tables.addresses.get(address, 0).is_err();
        if held.addresses + more.addresses > capacity.addresses {
            more.addresses = count(plan.addresses_write.iter().filter(|(address, _)| fresh(address)).count());
        }
        let checks = [
            ("TENANTS", held.tenants, capacity.tenants, more.tenants),
            ("PAIRS", held.pairs, capacity.pairs, more.pairs),
            ("PORTS", held.ports, capacity.ports, more.ports),
            ("CIDRS", held.cidrs, capacity.cidrs, more.cidrs),
            ("GRANTS", held.grants, capacity.grants, more.grants),
            ("ADDRESSES", held.addresses, capacity.addresses, more.addresses),
            ("INTERFACES", held.interfaces, capacity.interfaces, more.interfaces),
            ("CGROUPS", held.cgroups, capacity.cgroups, more.cgroups),
        ];
        for (table, used, capacity, needed) in checks {
            if used + needed > capacity {
                return Err(EnforceError::Full { table, used, capacity, needed });
            }
        }
        Ok(())
    }

    /// Takes every step of a commit, and answers how many entries went.
    fn step_through(
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

    /// Reads back what is not part of a generation.
    fn check_node(&self, plan: &Plan) -> Result<(), EnforceError> {
        let differs = |what: String| Err(EnforceError::Mismatch { difference: what });
        for (address, value) in &plan.addresses_write {
            if self.tables.addresses.get(address, 0).ok() != Some(*value) {
                return differs(format!("address {}", std::net::Ipv6Addr::from(*address)));
            }
        }
        for (index, value) in &plan.interfaces_write {
            if self.tables.interfaces.get(index, 0).ok() != Some(*value) {
                return differs(format!("interface {index}"));
            }
        }
        for (id, value) in &plan.cgroups_write {
            if self.tables.cgroups.get(id, 0).ok() != Some(*value) {
                return differs(format!("cgroup {id}"));
            }
        }
        for (key, value) in &plan.gates_write {
            if self.tables.gates.get(key, 0).ok() != Some(*value) {
                return differs(format!("gate of device {}:{}", key.major, key.minor));
            }
        }
        Ok(())
    }

    /// Reads back the switch itself: each tenant's slot, the two cells, and that what goes is gone.
    fn check_switch(
        &self,
        prepared: &Prepared,
        plan: &Plan,
        revision: u64,
        epoch: u64,
    ) -> Result<(), EnforceError> {
        let differs = |what: String| Err(EnforceError::Mismatch { difference: what });
        if self.tables.state(STATE_EPOCH)? != epoch || self.tables.state(STATE_REVISION)? != revision {
            return differs("the epoch or the revision".to_owned());
        }
        let slot = |id: &u32| active(&self.tables.tenants.get(id, 0).unwrap_or_default(), epoch);
        for image in &plan.tenants_write {
            let held = slot(&image.id);
            let wanted = (prepared.generation, image.tier, image.flags);
            if (held.generation, held.tier, held.flags) != wanted {
                return differs(format!("the slot of tenant {}", image.id));
            }
        }
        if let Some(id) = plan.tenants_remove.iter().find(|id| slot(id) != TenantSlot::default()) {
            return differs(format!("tenant {id}, which should be gone"));
        }
        let still_there = |address: &&Address| {
            let written = plan.addresses_write.iter().any(|(written, _)| written == *address);
            !written && self.tables.addresses.get(address, 0).is_ok()
        };
        match plan.addresses_remove.iter().find(still_there) {
            Some(address) => {
                differs(format!("address {}, which should be gone", std::net::Ipv6Addr::from(*address)))
            }
            None => Ok(()),
        }
    }

    /// Undoes the steps, last first. What cannot be undone is said loudly: status will show the drift.
    fn step_back(&mut self, steps: Vec<Step>) {
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

    /// Notes what the tables hold after a commit, and what is to be swept.
    fn settle_accounts(&mut self, prepared: &Prepared, plan: &Plan, steps: &[Step]) -> Digest {
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

impl Tables {
    fn write_tenant(&mut self, image: &TenantImage, generation: u32) -> Result<u64, EnforceError> {
        let id = image.id;
        for (peer, value) in &image.pairs {
            let key = PairKey { owner: id, generation, peer: *peer };
            self.pairs.insert(key, value, 0).map_err(kernel("write", "PAIRS"))?;
        }
        for (region, value) in &image.ports {
            self.ports
                .insert(port_key(id, generation, region), value, 0)
                .map_err(kernel("write", "PORTS"))?;
        }
        for (region, value) in &image.cidrs {
            self.cidrs
                .insert(&cidr_key(id, generation, region), value, 0)
                .map_err(kernel("write", "CIDRS"))?;
        }
        for (region, value) in &image.grants {
            self.grants
                .insert(grant_key(id, generation, region), value, 0)
                .map_err(kernel("write", "GRANTS"))?;
        }
        Ok(count(image.pairs.len() + image.ports.len() + image.cidrs.len() + image.grants.len()))
    }

    fn check_tenant(&self, image: &TenantImage, generation: u32) -> Result<(), EnforceError> {
        if self.read_tenant(image, generation) == *image {
            return Ok(());
        }
        Err(EnforceError::Mismatch { difference: format!("rules of tenant {}", image.id) })
    }

    /// Deletes a generation of a tenant; what is not there needs no deleting.
    fn delete_tenant(&mut self, owner: u32, keys: &TenantKeys) -> Result<(), EnforceError> {
        let generation = keys.generation;
        for peer in &keys.peers {
            gone(self.pairs.remove(&PairKey { owner, generation, peer: *peer }), "PAIRS")?;
        }
        for region in &keys.ports {
            gone(self.ports.remove(&port_key(owner, generation, region)), "PORTS")?;
        }
        for region in &keys.cidrs {
            gone(self.cidrs.remove(&cidr_key(owner, generation, region)), "CIDRS")?;
        }
        for region in &keys.grants {
            gone(self.grants.remove(&grant_key(owner, generation, region)), "GRANTS")?;
        }
        Ok(())
    }
}

/// A deletion after which the entry is not there, also when it was not there before.
fn gone(outcome: Result<(), aya::maps::MapError>, table: &'static str) -> Result<(), EnforceError> {
    match outcome {
        Ok(()) | Err(aya::maps::MapError::KeyNotFound) => Ok(()),
        Err(aya::maps::MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(())
        }
        Err(error) => Err(kernel("delete from", table)(error)),
    }
}
