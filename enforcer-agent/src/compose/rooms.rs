//! Opening the rooms: the kernel first, then the last good policy in force, then everything that talks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use enforcer_core::device::class::{Kind, Role};
use enforcer_core::device::table::ExtraClass;
use enforcer_core::enforce::Enforcement as _;
use enforcer_core::node::{Capabilities, Capability, TunnelEnd};
use enforcer_core::policy::model::Name;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::Logs;
use super::clock::{self, MonotonicOffset};
use super::surveyor::NodeSurveyor;
use super::tunnel::Inherited;
use crate::admin::{Admin, NodeIdentity};
use crate::config::Settings;
use crate::config::settings::{ClassRole, DeviceKind, GateMode};
use crate::device::{CgroupLookup, DeviceConfig, Discover, Discovery, ServiceConfig};
use crate::door::policy::PolicyDoor;
use crate::door::records::Observe;
use crate::door::tunnel::Ends;
use crate::forensics::Forensics;
use crate::identity::custody::Vault;
use crate::kernel::{EventReader, KernelConfig, Wall};
use crate::policy::store::{Loaded, Store, StoreError};
use crate::policy::{Engine, Parts};
use crate::workload::{CgroupTree, Resolution, Resolver, WatchConfig};

/// How often drivers are looked for.
const DEVICES_POLL: Duration = Duration::from_secs(2);
/// How long a predecessor that has handed over may take to let go of the journal.
const PREDECESSOR_ENDS: Duration = Duration::from_secs(45);
/// How often the policy room looks again though nobody saw a change: what failed is tried again.
const RECHECK: Duration = Duration::from_secs(5);

/// The policy room, open, and what else is to be started.
pub(super) struct Rooms {
    pub(super) door: PolicyDoor,
    pub(super) engine: JoinHandle<()>,
    pub(super) outfit: Outfit,
}

/// What the runtime is given.
pub(super) struct Outfit {
    /// Where the tunnel's listeners stand is told here.
    pub(super) ends: watch::Sender<Arc<BTreeMap<Name, TunnelEnd>>>,
    pub(super) admin: Admin,
    pub(super) events: Option<EventReader>,
    pub(super) logs: Logs,
    pub(super) forensics: Forensics,
    pub(super) cgroups: CgroupTree,
    pub(super) watchers: Watchers,
    pub(super) vault: Option<Arc<Vault>>,
}

/// Opens the rooms. When it returns, the last good policy is in force.
pub(super) fn open(settings: &Settings, inherited: &Inherited, logs: Logs) -> anyhow::Result<Rooms> {
    let started = SystemTime::now();
    // First of all: without its key the agent does not start, and touches nothing.
    let vault = super::identity::vault(settings)?;
    let (store, loaded) = journal(settings, inherited.from_predecessor)?;
    let cgroups = CgroupTree::new(&settings.cgroup_root).context("the control groups")?;
    let mut wall = Wall::open(&kernel_config(settings)).context("the kernel")?;
    let events = wall.take_events();
    super::custody::prepare(settings).context("the control group of scrubbers")?;
    let discover = discover(settings, &cgroups);
    let ends = watch::Sender::new(Arc::new(BTreeMap::new()));
    let surveyor = NodeSurveyor {
        name: settings.node_name.clone(),
        resolver: Resolver::new(settings.node_name.clone(), cgroups.clone()),
        discover: discover.clone(),
        capabilities: capabilities(settings, &wall),
        ends: ends.subscribe(),
        inherited: inherited.addresses.clone(),
        capacity: wall.capacity(),
        tag_limit: settings.tag.limit(),
        clock: MonotonicOffset::default(),
    };
    let parts = Parts {
        kernel: Box::new(wall),
        surveyor: Box::new(surveyor),
        store,
        clock: clock::now,
        tell: logs.maker.teller(),
    };
    let engine = Engine::start(parts, loaded).context("the last good policy")?;
    let (door, engine) = engine.open().context("cannot start the policy thread")?;
    let forensics = Forensics::new(settings.node_name.clone(), settings.records);
    let admin = Admin {
        policy: door.clone(),
        observe: observe(&forensics),
        identity: None,
        authority: None,
        tunnel: None,
        trace: None,
        detect: None,
        device: crate::door::device::DeviceDoors::default(),
        node: Arc::new(identity(settings, started)),
        clock: clock::now,
    };
    let resolver = Resolver::new(settings.node_name.clone(), cgroups.clone());
    let watchers = Watchers { resolver, discover, ends: ends.subscribe() };
    Ok(Rooms {
        door,
        engine,
        outfit: Outfit { ends, admin, events, logs, forensics, cgroups, watchers, vault },
    })
}

/// The journal. A predecessor that has handed over lets go of it as soon as its doors are closed.
fn journal(settings: &Settings, wait: bool) -> anyhow::Result<(Store, Loaded)> {
    let deadline = Instant::now() + PREDECESSOR_ENDS;
    loop {
        match Store::open(&settings.state_directory) {
            Err(StoreError::Locked(_)) if wait && Instant::now() < deadline => {
                sleep(Duration::from_millis(20))
            }
            opened => return opened.context("the policy journal"),
        }
    }
}

/// What the kernel can do, as far as it was not turned off.
fn capabilities(settings: &Settings, wall: &Wall) -> Capabilities {
    let mut capabilities = wall.capabilities();
    if settings.tunnel.is_none() {
        let off = "the tunnel is turned off: tunnel.enabled or identity.enabled is false";
        capabilities.mtls_tunnel = Capability::Absent(off.to_owned());
    }
    capabilities
}

fn kernel_config(settings: &Settings) -> KernelConfig {
    KernelConfig {
        pin_root: settings.pin_directory.clone(),
        cgroup_root: settings.cgroup_root.clone(),
        device_audit: settings.device_gate.mode == GateMode::Audit,
        tag_mask: settings.tag.mask,
        tag_shift: settings.tag.shift,
        capacity: settings.capacity,
        flows: settings.flows,
        telling: super::telling::telling(&settings.recording),
    }
}

fn discover(settings: &Settings, cgroups: &CgroupTree) -> Discover {
    let gate = &settings.device_gate;
    let extra = gate.extra_classes.iter().map(|class| ExtraClass {
        name: class.name.clone(),
        kind: match class.kind {
            DeviceKind::Char => Kind::Char,
            DeviceKind::Block => Kind::Block,
        },
        major: class.major,
        role: match class.role {
            ClassRole::Accelerator => Role::Accelerator,
            ClassRole::Control => Role::Control,
            ClassRole::Never => Role::Never,
        },
    });
    let services = gate.host_services.iter().map(|service| ServiceConfig {
        name: service.name.clone(),
        cgroup: service.cgroup.clone(),
        classes: service.classes.clone(),
    });
    let services = services.chain(super::custody::service(settings));
    let cgroups = cgroups.clone();
    let lookup: CgroupLookup = Arc::new(move |path| cgroups.id_of(path).map_err(|error| error.to_string()));
    let config = DeviceConfig::new(extra.collect(), services.collect());
    Discover::new(DeviceConfig { custody: gate.custody.classes(), ..config }, lookup)
}

fn observe(forensics: &Forensics) -> Observe {
    let forensics = forensics.clone();
    Arc::new(move |request, scope| {
        forensics.observe(&request, scope).map_err(|errors| {
            let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
            words.join("; ")
        })
    })
}

fn identity(settings: &Settings, started: SystemTime) -> NodeIdentity {
    let kernel = nix::sys::utsname::uname()
        .map(|name| name.release().to_string_lossy().into_owned())
        .unwrap_or_default();
    NodeIdentity {
        name: settings.node_name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel,
        device_gate_mode: match settings.device_gate.mode {
            GateMode::Enforce => "enforce".to_owned(),
            GateMode::Audit => "audit".to_owned(),
        },
        started,
    }
}

/// Who notices that the node changed.
pub(super) struct Watchers {
    resolver: Resolver,
    discover: Discover,
    ends: Ends,
}

impl Watchers {
    /// Starts them: each change has the policy room look again.
    pub(super) fn join(self, tasks: &mut JoinSet<()>, door: &PolicyDoor) {
        let (workloads, mut workloads_changed) = watch::channel(Arc::new(Resolution::default()));
        let (devices, mut devices_changed) = watch::channel(Arc::new(Discovery::default()));
        let policy = watch::Sender::new(Arc::clone(&door.in_force().current.policy));
        tasks.spawn(crate::workload::run(
            self.resolver,
            WatchConfig::default(),
            policy.subscribe(),
            workloads,
        ));
        // Nobody asks for a look at the devices out of turn: a push does its own.
        let ask = Arc::new(Notify::new());
        tasks.spawn(crate::device::run(self.discover, DEVICES_POLL, ask, devices));
        let mut ends_changed = self.ends;
        let mut in_force = door.watch();
        let door = door.clone();
        tasks.spawn(async move {
            let mut poll = interval(RECHECK);
            poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    changed = in_force.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        let latest = Arc::clone(&in_force.borrow_and_update().current.policy);
                        policy.send_if_modified(|known| {
                            let news = !Arc::ptr_eq(known, &latest);
                            *known = latest;
                            news
                        });
                        continue;
                    }
                    Ok(()) = workloads_changed.changed() => {}
                    Ok(()) = devices_changed.changed() => {}
                    Ok(()) = ends_changed.changed() => {}
                    _ = poll.tick() => {}
                }
                door.recheck();
            }
        });
    }
}
