//! What the kernel side says of itself: hooks, room, counters, losses.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::maps::{MapData, PerCpuValues};
use enforcer_common::identity;
use enforcer_common::maps::{CounterKey, CounterValue, LOST_CELLS};
use enforcer_core::device::holding::{GateCustody, HandleSweep};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::{
    CapacityReport, EnforceError, HookReport, HookState, Inspection, Loss, Proof, ProofRequest,
};

use super::error::kernel;
use super::hooks::{
    ATTACH_HOOK, ATTACH_PROGRAM, CGROUP_HOOKS, CgroupHook, INTERFACE_HOOKS, TASK_HOOKS, interface_pin,
};
use super::lsm::LSM_HOOKS;
use super::read_back::count;
use super::sys::{self, Target};
use super::tables::PINNED;
use super::wall::Wall;
use super::{adopt, canary, custody, handles, prove};

impl Inspection for Wall {
    fn custody(&self) -> Result<BTreeMap<DeviceNumber, GateCustody>, EnforceError> {
        custody::held(&self.tables)
    }

    fn handles(&self) -> Result<HandleSweep, EnforceError> {
        handles::sweep(self)
    }

    fn prove_hooks(&mut self) -> Result<Vec<HookReport>, EnforceError> {
        canary::prove(self).map_err(kernel("prove", "the hooks"))?;
        Ok(self.hooks())
    }

    fn hooks(&self) -> Vec<HookReport> {
        let cgroup = self.config.cgroup_root.display().to_string();
        let mut reports = Vec::new();
        for hook in &CGROUP_HOOKS {
            reports.push(self.report(hook.name, hook.program, vec![cgroup.clone()], self.cgroup_link(hook)));
        }
        for hook in &INTERFACE_HOOKS {
            let interfaces: Vec<u32> = self.tables.interfaces.keys().filter_map(Result::ok).collect();
            let lost = interfaces.iter().find(|index| !self.hangs_on_interface(hook, **index));
            let lost = lost.map(|index| format!("interface {index} of a workload has no link"));
            let names = interfaces.iter().map(ToString::to_string).collect();
            reports.push(self.report(hook.name, hook.program, names, lost));
        }
        let link = sys::open_pin(&self.pins.link(ATTACH_PROGRAM));
        let lost = link.err().map(|error| format!("its link: {error}"));
        let tracepoint = vec!["cgroup:cgroup_attach_task".to_owned()];
        reports.push(self.report(ATTACH_HOOK, ATTACH_PROGRAM, tracepoint, lost));
        for hook in &TASK_HOOKS {
            let link = sys::open_pin(&self.pins.link(hook.program));
            let lost = link.err().map(|error| format!("its link: {error}"));
            let lost = lost.or_else(|| self.tasks_unknown.clone());
            reports.push(self.report(hook.name, hook.program, vec![hook.tracepoint.to_owned()], lost));
        }
        for hook in &LSM_HOOKS {
            let lost = sys::open_pin(&self.pins.link(hook.program)).err();
            let lost = lost.map(|error| format!("its link: {error}"));
            let lost = lost.or_else(|| self.files_unknown.clone());
            reports.push(self.report(hook.name, hook.program, vec![hook.hook.to_owned()], lost));
        }
        reports
    }

    fn capacities(&self) -> Result<Vec<CapacityReport>, EnforceError> {
        let held = &self.held.entries;
        let known = BTreeMap::from([
            ("TENANTS", held.tenants),
            ("ADDRESSES", held.addresses),
            ("PAIRS", held.pairs),
            ("PORTS", held.ports),
            ("CIDRS", held.cidrs),
            ("INTERFACES", held.interfaces),
            ("CGROUPS", held.cgroups),
            ("GRANTS", held.grants),
            ("GATES", count(self.tables.gates.keys().count())),
            ("COUNTERS", count(self.tables.counters.keys().count())),
        ]);
        let mut reports = Vec::new();
        for table in PINNED {
            let Some(used) = known.get(table) else { continue };
            let path = self.pins.map(table);
            let map = MapData::from_pin(&path).map_err(kernel("open", table))?;
            let info = map.info().map_err(kernel("read", table))?;
            reports.push(CapacityReport {
                table,
                used: *used,
                capacity: u64::from(info.max_entries()),
                memory_bytes: memory_of(map.fd().as_fd().as_raw_fd()),
            });
        }
        Ok(reports)
    }

    fn counters(&self) -> Result<Vec<(CounterKey, CounterValue)>, EnforceError> {
        let mut counters = Vec::new();
        for entry in self.tables.counters.iter() {
            let (key, values) = entry.map_err(kernel("read", "COUNTERS"))?;
            let mut sum = CounterValue::default();
            for value in values.iter() {
                sum.packets = sum.packets.wrapping_add(value.packets);
                sum.bytes = sum.bytes.wrapping_add(value.bytes);
            }
            counters.push((key, sum));
        }
        counters.sort_by_key(|(key, _)| *key);
        Ok(counters)
    }

    fn losses(&self) -> Result<Vec<Loss>, EnforceError> {
        let mut totals = BTreeMap::new();
        for entry in self.tables.losses.iter() {
            let (key, values) = entry.map_err(kernel("read", "LOSSES"))?;
            totals.insert((key.source, key.cause), sum(&values));
        }
        for cause in 0..LOST_CELLS {
            let values = self.tables.lost.get(&cause, 0).map_err(kernel("read", "LOST"))?;
            let total = totals.entry((identity::UNKNOWN, cause)).or_insert(0);
            *total = total.wrapping_add(sum(&values));
        }
        let loss = |((source, cause), count)| Loss { source, cause, count };
        Ok(totals.into_iter().filter(|(_, count)| *count != 0).map(loss).collect())
    }

    fn prove(&self, request: &ProofRequest) -> Result<Proof, EnforceError> {
        prove::prove(self, request)
    }
}

impl Wall {
    /// Why the link of a hook on the control group does not do what it says, asked of the kernel now.
    fn cgroup_link(&self, hook: &CgroupHook) -> Option<String> {
        let found = File::open(&self.config.cgroup_root).and_then(|directory| {
            let link = sys::open_pin(&self.pins.link(hook.program))?;
            sys::link_info(link.as_fd())?.hangs_on(&Target::Cgroup(directory.as_fd()))
        });
        match found {
            Ok(true) => None,
            Ok(false) => Some("its link does not hang on the control group any more".to_owned()),
            Err(error) => Some(format!("its link: {error}")),
        }
    }

    fn hangs_on_interface(&self, hook: &CgroupHook, interface: u32) -> bool {
        sys::open_pin(&self.pins.link(&interface_pin(hook, interface)))
            .and_then(|link| sys::link_info(link.as_fd())?.hangs_on(&Target::Interface(interface)))
            .unwrap_or(false)
    }

    fn report(
        &self,
        name: &'static str,
        program: &'static str,
        attached_to: Vec<String>,
        lost: Option<String>,
    ) -> HookReport {
        let state = match (self.state(name), lost) {
            (HookState::Absent(reason), _) | (_, Some(reason)) => HookState::Absent(reason),
            (state, None) => state,
        };
        let absent = matches!(state, HookState::Absent(_));
        let info = adopt::program_info(&self.object, program).filter(|_| !absent);
        HookReport {
            name,
            state,
            program_id: info.as_ref().map_or(0, |info| info.id()),
            program_tag: info.map_or_else(String::new, |info| format!("{:016x}", info.tag().swap_bytes())),
            attached_to: if absent { Vec::new() } else { attached_to },
        }
    }
}

fn sum(values: &PerCpuValues<u64>) -> u64 {
    values.iter().fold(0, |sum: u64, value| sum.wrapping_add(*value))
}

/// Bytes of kernel memory of a map, as `/proc` tells.
fn memory_of(fd: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("memlock:"))
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}
