//! What is checked about a plan: that there is room for it, and that the kernel holds it.

use enforcer_common::address::Address;
use enforcer_common::maps::{STATE_EPOCH, STATE_REVISION, TenantSlot};
use enforcer_core::enforce::{EnforceError, Prepared};
use enforcer_core::policy::image::{Entries, Plan};

use super::read_back::{active, count};
use super::wall::Wall;

impl Wall {
    pub(super) fn check_room(&self, plan: &Plan) -> Result<(), EnforceError> {
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

    /// Reads back what is not part of a generation.
    pub(super) fn check_node(&self, plan: &Plan) -> Result<(), EnforceError> {
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
    pub(super) fn check_switch(
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
}
