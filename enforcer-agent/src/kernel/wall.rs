//! The wall: the loaded programs, their links and their tables. Opening it adopts what an earlier agent
//! pinned; dropping it changes nothing in the kernel.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::{MapData, MapInfo, RingBuf};
use enforcer_core::enforce::{EnforceError, HookState};
use enforcer_core::node::{Capabilities, Capability};
use enforcer_core::policy::image::{Digest, Entries, NodeSum};

use super::KernelConfig;
use super::adopt;
use super::btf::{self, Layouts};
use super::canary;
use super::error::KernelError;
use super::events::EventReader;
use super::hooks;
use super::lsm;
use super::pins::{self, Pins};
use super::read_back::TenantKeys;
use super::tables::Tables;
use super::telling;
use super::walk;

/// The kernel side of a node.
pub struct Wall {
    pub(super) config: KernelConfig,
    pub(super) pins: Pins,
    pub(super) object: Ebpf,
    pub(super) tables: Tables,
    /// Links on the control group root and the tracepoint, by hook name.
    pub(super) links: BTreeMap<&'static str, OwnedFd>,
    /// Why a hook has no link.
    pub(super) absent: BTreeMap<&'static str, String>,
    /// What the canaries said.
    pub(super) proven: BTreeMap<&'static str, HookState>,
    /// What the tables hold, as far as it was written or read by this agent.
    pub(super) held: Held,
    /// An older ABI's pins, to be removed once this wall holds a whole policy.
    pub(super) predecessors: Vec<PathBuf>,
    /// Why the programs do not know where a task keeps what.
    pub(super) tasks_unknown: Option<String>,
    /// Why they do not know where an open file keeps what.
    pub(super) files_unknown: Option<String>,
    /// Why the walks over processes are not there.
    pub(super) walks_absent: Option<String>,
    events: Option<EventReader>,
}

/// What is known of the tables without reading them again.
#[derive(Default)]
pub(super) struct Held {
    /// Digest of each tenant's entries, as read back.
    pub(super) tenants: BTreeMap<u32, Digest>,
    /// Keys of each tenant's entries, and their generation.
    pub(super) keys: BTreeMap<u32, TenantKeys>,
    /// Sum over tenants and addresses, as read back.
    pub(super) sum: NodeSum,
    /// Entries by table, to compare with the capacity.
    pub(super) entries: Entries,
    /// Largest generation in use.
    pub(super) last_generation: u32,
    /// Entries that are not, or no more, in force.
    pub(super) stale: Vec<(u32, TenantKeys)>,
    /// Tenants whose inactive slot differs from their active one.
    pub(super) unsettled: Vec<u32>,
    /// A commit switched since the last sweep.
    pub(super) switched: bool,
}

impl Wall {
    /// Loads the programs beside what is pinned, takes over its tables, swaps the programs behind its links,
    /// and proves each hook by a canary operation. Where an older ABI's wall stands, ours is hung beside it
    /// only after the first commit.
    ///
    /// # Errors
    /// What is wrong with the kernel, the rights, or the pins. What stood before still stands.
    pub fn open(config: &KernelConfig) -> Result<Self, KernelError> {
        let pins = Pins::prepare(&config.pin_root)?;
        let Layouts { tasks, files } = btf::layouts();
        let (mut object, refused) = adopt::load(config, &pins, files.as_ref().ok())?;
        let files_unknown = files.err();
        if let Some(reason) = &files_unknown {
            tracing::warn!(reason, "open devices cannot be recognised");
        }
        let mut tables = Tables::take(&mut object)?;
        adopt::settle_settings(config, &pins, &mut tables)?;
        let tasks_unknown = telling::settle_layout(&mut tables, tasks)?;
        if let Some(reason) = &tasks_unknown {
            tracing::warn!(reason, "processes are told without their arguments, parents and start");
        }
        let walks_absent = walk::load(&mut object).err().map(|error| error.to_string());
        let mut ring = |name| take_ring(&mut object, name);
        let events = EventReader::new(ring("EVENTS")?, ring("PROCESSES")?, ring("SAMPLES")?)?;
        let predecessors = pins.others()?;
        let mut wall = Self {
            config: config.clone(),
            pins,
            object,
            tables,
            links: BTreeMap::new(),
            absent: hooks::absent(&refused),
            proven: BTreeMap::new(),
            held: Held::default(),
            predecessors,
            tasks_unknown,
            files_unknown,
            walks_absent,
            events: Some(events),
        };
        wall.adopt_sizes()?;
        canary::clean(&mut wall)?;
        wall.take_stock()?;
        wall.prune_links()?;
        if wall.predecessors.is_empty() {
            wall.hang()?;
        } else {
            canary::prove(&mut wall)?;
        }
        Ok(wall)
    }

    /// Hangs every program of the node itself, and proves it. A hook that cannot be hung is absent, with its
    /// reason, and what needs it is refused later; it does not take the others down.
    pub(super) fn hang(&mut self) -> Result<(), KernelError> {
        for hook in &hooks::CGROUP_HOOKS {
            let Ok(program) = adopt::program_fd(&self.object, hook.program) else { continue };
            match hooks::hang_on_cgroup(&self.pins, hook, program, &self.config.cgroup_root) {
                Ok(link) => drop(self.links.insert(hook.name, link)),
                Err(error) => drop(self.absent.insert(hook.name, error.to_string())),
            }
        }
        match pins::tracefs().and_then(|()| adopt::hang_tracepoint(&mut self.object, &self.pins)) {
            Ok(link) => drop(self.links.insert(hooks::ATTACH_HOOK, link)),
            Err(error) => drop(self.absent.insert(hooks::ATTACH_HOOK, error.to_string())),
        }
        for hook in &hooks::TASK_HOOKS {
            match adopt::hang_task_hook(&mut self.object, &self.pins, hook) {
                Ok(link) => drop(self.links.insert(hook.name, link)),
                Err(error) => drop(self.absent.insert(hook.name, error.to_string())),
            }
        }
        self.rehang_interfaces()?;
        lsm::hang(self);
        canary::prove(self)?;
        lsm::settle(self)?;
        adopt::settle_deferral(self)
    }

    /// Swaps our programs behind the links of the interfaces that the table names, and hangs those that have
    /// lost theirs.
    fn rehang_interfaces(&mut self) -> Result<(), KernelError> {
        let mut interfaces = Vec::new();
        for index in self.tables.interfaces.keys() {
            interfaces.push(index.map_err(super::error::kernel("read", "INTERFACES"))?);
        }
        for index in interfaces {
            if let Err(error) = self.hang_interface(index) {
                tracing::warn!(interface = index, %error, "an adopted interface cannot be attached");
            }
        }
        Ok(())
    }

    /// Hangs both directions of an interface.
    pub(super) fn hang_interface(&self, interface: u32) -> Result<(), KernelError> {
        for hook in &hooks::INTERFACE_HOOKS {
            let program = adopt::program_fd(&self.object, hook.program)?;
            hooks::hang_on_interface(&self.pins, hook, program, interface)?;
        }
        Ok(())
    }

    /// What a policy may ask for on this node.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let all = |names: &[&'static str]| {
            names.iter().find_map(|name| self.lacking(name)).map_or(Capability::Present, Capability::Absent)
        };
        Capabilities {
            device_handles: all(&lsm::NEEDED),
            mtls_tunnel: all(&[
                "cgroup/connect4",
                "cgroup/connect6",
                "cgroup/sock_ops",
                "cgroup/getsockopt",
                "cgroup/getpeername4",
                "cgroup/getpeername6",
            ]),
            device_gate: all(&["cgroup/device"]),
            socket_hooks: all(&[
                "cgroup/sock_create",
                "cgroup/socket_egress",
                "cgroup/socket_ingress",
                "cgroup/connect4",
                "cgroup/connect6",
                "cgroup/sendmsg4",
                "cgroup/sendmsg6",
            ]),
            interface_hooks: all(&["tcx/from_workload", "tcx/to_workload"]),
        }
    }

    /// Why a hook cannot be relied on. The interface hooks may be declared only: the canary's interface is not
    /// to be had in every container, and each link of a workload is read back.
    fn lacking(&self, name: &'static str) -> Option<String> {
        match self.state(name) {
            HookState::Absent(reason) => Some(format!("{name}: {reason}")),
            HookState::Declared if !name.starts_with("tcx/") => {
                Some(format!("{name} is attached, but its canary operation was not seen to go through it"))
            }
            HookState::Verified | HookState::Declared => None,
        }
    }

    /// How a hook stands.
    pub(super) fn state(&self, name: &'static str) -> HookState {
        if let Some(reason) = self.absent.get(name) {
            return HookState::Absent(reason.clone());
        }
        self.proven.get(name).cloned().unwrap_or(HookState::Declared)
    }

    /// The reader of the ring buffers; `None` after the first call.
    pub fn take_events(&mut self) -> Option<EventReader> {
        self.events.take()
    }

    /// After a commit: where an older ABI's wall stood alone until now, ours is hung beside it, and then the
    /// older one is taken down. Not before there is a policy in ours; and not at the price of the commit, which
    /// stands: it is tried again after the next.
    pub(super) fn succeed(&mut self) {
        if self.predecessors.is_empty() || self.held.tenants.is_empty() {
            return;
        }
        if let Err(error) = self.hang() {
            tracing::error!(%error, "the new wall cannot be hung; the older one stays");
        } else if let Err(error) = self.drop_predecessors() {
            tracing::error!(%error, "the older wall cannot be taken down; both stand");
        }
    }

    /// What the tables can hold: one that was adopted keeps the size it was made with.
    fn adopt_sizes(&mut self) -> Result<(), KernelError> {
        let size = |table: &'static str| {
            let info = MapInfo::from_pin(self.pins.map(table));
            info.map(|info| u64::from(info.max_entries()))
                .map_err(|error| KernelError::Table { table, error })
        };
        self.config.capacity = Entries {
            tenants: size("TENANTS")?,
            pairs: size("PAIRS")?,
            ports: size("PORTS")?,
            cidrs: size("CIDRS")?,
            grants: size("GRANTS")?,
            addresses: size("ADDRESSES")?,
            interfaces: size("INTERFACES")?,
            cgroups: size("CGROUPS")?,
        };
        Ok(())
    }

    /// Takes off the links of interfaces that the table does not name: a crash between two steps left them.
    fn prune_links(&self) -> Result<(), KernelError> {
        let links = self.pins.links();
        for entry in std::fs::read_dir(&links).map_err(KernelError::file("read", &links))? {
            let name = entry.map_err(KernelError::file("read", &links))?.file_name();
            let Some(index) = name.to_str().and_then(hooks::pinned_interface) else { continue };
            if self.tables.interfaces.get(&index, 0).is_err() {
                hooks::take_off_interface(&self.pins, index)?;
            }
        }
        Ok(())
    }

    /// Removes an older ABI's wall, once ours stands.
    fn drop_predecessors(&mut self) -> Result<(), EnforceError> {
        for directory in std::mem::take(&mut self.predecessors) {
            let mut removed = Vec::new();
            pins::remove_tree(&directory, &mut removed)
                .map_err(super::error::kernel("remove", directory.display().to_string()))?;
            tracing::info!(directory = %directory.display(), pins = removed.len(), "removed an older wall");
        }
        Ok(())
    }
}

fn take_ring(object: &mut Ebpf, name: &'static str) -> Result<RingBuf<MapData>, KernelError> {
    let map = object.take_map(name).ok_or(KernelError::Missing(name))?;
    RingBuf::try_from(map).map_err(|error| KernelError::Table { table: name, error })
}
