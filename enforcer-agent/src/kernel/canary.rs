//! Proof that the hooks run: a canary process becomes a tenant that no policy has, and everything it then
//! tries must be refused by the hook in question, and must have gone through before.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use enforcer_common::device::KIND_CHAR;
use enforcer_common::event::{
    HOOK_CGROUP_ATTACH, HOOK_DEVICE, HOOK_FROM_WORKLOAD, HOOK_SOCKET_INGRESS, HOOK_TO_WORKLOAD,
};
use enforcer_common::identity::{CANARY, CANARY_SERVICE};
use enforcer_common::maps::{
    CGROUP_HOST_NETWORK, CgroupValue, GateKey, GateValue, InterfaceValue, STATE_CGROUPS,
};
use enforcer_core::enforce::HookState;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::adopt::program_fd;
use super::child;
use super::detour;
use super::error::{KernelError, kernel};
use super::hooks::{ATTACH_HOOK, CGROUP_HOOKS, INTERFACE_HOOKS, TASK_HOOKS};
use super::probe::{self, Attempts, Job};
use super::sys::{self, Target};
use super::tap::Tap;
use super::wall::Wall;

/// A character device number that no driver has: the largest major but one.
const DEVICE_MAJOR: u32 = 4094;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_millis(500);

/// Proves every hook that is attached. What cannot be tried stays declared, with a warning.
pub(super) fn prove(wall: &mut Wall) -> Result<(), KernelError> {
    match try_sockets(wall) {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "the node's hooks could not be proven"),
    }
    clean(wall)?;
    match try_interface(wall) {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "the interface hooks could not be proven"),
    }
    clean(wall)?;
    match super::lsm::prove(wall) {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "the LSM hooks could not be proven"),
    }
    clean(wall)
}

/// The control groups and the device node of one proof. Dropping them removes them.
struct Stage {
    group: PathBuf,
    service: PathBuf,
    tunnel: PathBuf,
    device: PathBuf,
}

impl Stage {
    fn set(cgroup_root: &Path) -> io::Result<Self> {
        let pid = std::process::id();
        let stage = Self {
            group: cgroup_root.join(format!("enforcer-canary-{pid}")),
            service: cgroup_root.join(format!("enforcer-canary-service-{pid}")),
            tunnel: cgroup_root.join(format!("enforcer-canary-tunnel-{pid}")),
            device: Path::new("/dev").join(format!(".enforcer-canary-{pid}")),
        };
        fs::create_dir(&stage.group)?;
        fs::create_dir(&stage.service)?;
        fs::create_dir(&stage.tunnel)?;
        mknod(&stage.device, SFlag::S_IFCHR, Mode::S_IRUSR, makedev(u64::from(DEVICE_MAJOR), 0))?;
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
        let _ = fs::remove_dir(&self.service);
        let _ = fs::remove_dir(&self.tunnel);
        let _ = fs::remove_file(&self.device);
    }
}

fn try_sockets(wall: &mut Wall) -> Result<(), KernelError> {
    let root = wall.config.cgroup_root.clone();
    let stage = Stage::set(&root).map_err(KernelError::file("set up the canary below", &root))?;
    let _temporary = hang_for_now(wall, &stage)?;
    let storage = wall.storage()?;
    let job = Job {
        procs: c_path(&stage.group.join("cgroup.procs"))?,
        device: c_path(&stage.device)?,
        storage: storage.as_raw_fd(),
    };
    let failed = || KernelError::file("run the canary in", stage.group.clone());
    let (probe, before) = probe::start(&job).map_err(failed())?;
    register(wall, &stage)?;
    let after = probe.again().map_err(failed())?;
    judge_attempts(wall, &before, &after);
    if wall.config.device_audit {
        // It lets the canary pass: what it counts is the proof.
        settle(wall, "cgroup/device", HOOK_DEVICE, CANARY)?;
    }
    let sender = UdpSocket::bind(("127.0.0.1", 0)).map_err(failed())?;
    let port = u16::try_from(before.port).unwrap_or(0);
    let _ = sender.send_to(b"c", ("127.0.0.1", port));
    settle(wall, "cgroup/socket_ingress", HOOK_SOCKET_INGRESS, CANARY)?;
    let procs = stage.service.join("cgroup.procs");
    let moved = File::options()
        .write(true)
        .open(&procs)
        .and_then(|mut file| file.write_all(probe.pid().to_string().as_bytes()));
    moved.map_err(KernelError::file("move the canary into", procs))?;
    settle(wall, ATTACH_HOOK, HOOK_CGROUP_ATTACH, CANARY_SERVICE)?;
    drop(probe);
    try_processes(wall, &stage)?;
    try_detour(wall, &stage)
}

/// The canary runs a shell, which makes a process that ends. A node without a shell proves nothing of these hooks.
fn try_processes(wall: &mut Wall, stage: &Stage) -> Result<(), KernelError> {
    let procs = stage.group.join("cgroup.procs");
    let join = c_path(&procs)?;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "(:); :"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec it makes system calls only.
    unsafe { shell.pre_exec(move || child::join(&join)) };
    if let Err(error) = shell.status() {
        tracing::warn!(%error, "no shell in the canary's group: the hooks of processes could not be proven");
        return Ok(());
    }
    for hook in &TASK_HOOKS {
        if wall.links.contains_key(hook.name) {
            settle(wall, hook.name, hook.number, CANARY)?;
        }
    }
    Ok(())
}

/// The canary as a tenant whose own traffic must take the tunnel: its connections end at the agent's listener, which is
/// told where they were going.
fn try_detour(wall: &mut Wall, stage: &Stage) -> Result<(), KernelError> {
    let failed = || KernelError::file("run the canary in", stage.tunnel.clone());
    let (child, _) = detour::start(&c_path(&stage.tunnel.join("cgroup.procs"))?).map_err(failed())?;
    let id = fs::metadata(&stage.tunnel).map_err(failed())?.ino();
    detour::register(&mut wall.tables, id)?;
    bump_cgroups(wall)?;
    let seen = child.again().map_err(failed())?;
    for (hook, proven) in seen.proofs() {
        note(wall, hook, proven);
    }
    Ok(())
}

/// Where the node's hooks are not hung yet, since an older wall stands, the programs hang on the canary's group for
/// as long as it lives: what is proven is that they would run.
fn hang_for_now(wall: &mut Wall, stage: &Stage) -> Result<Vec<OwnedFd>, KernelError> {
    let mut links = Vec::new();
    if !wall.links.is_empty() {
        return Ok(links);
    }
    for group in [&stage.group, &stage.service, &stage.tunnel] {
        let directory = File::open(group).map_err(KernelError::file("open control group", group))?;
        for hook in &CGROUP_HOOKS {
            let Ok(program) = program_fd(&wall.object, hook.program) else { continue };
            let target = Target::Cgroup(directory.as_fd());
            match sys::link_create(program, &target, hook.attach_type) {
                Ok(link) => links.push(link),
                Err(error) => drop(wall.absent.insert(hook.name, format!("cannot attach: {error}"))),
            }
        }
    }
    Ok(links)
}

/// Makes the canary's group a tenant's, its second group a service's, and its device a gated one.
fn register(wall: &mut Wall, stage: &Stage) -> Result<(), KernelError> {
    let id =
        |path: &Path| fs::metadata(path).map(|found| found.ino()).map_err(KernelError::file("read", path));
    let group = CgroupValue { identity: CANARY, flags: CGROUP_HOST_NETWORK, ..CgroupValue::default() };
    let service = CgroupValue { identity: CANARY_SERVICE, ..CgroupValue::default() };
    wall.tables.cgroups.insert(id(&stage.group)?, group, 0).map_err(kernel("write", "CGROUPS"))?;
    wall.tables.cgroups.insert(id(&stage.service)?, service, 0).map_err(kernel("write", "CGROUPS"))?;
    wall.tables.gates.insert(gate(), GateValue::default(), 0).map_err(kernel("write", "GATES"))?;
    bump_cgroups(wall)
}

pub(super) fn bump_cgroups(wall: &mut Wall) -> Result<(), KernelError> {
    let version = wall.tables.state(STATE_CGROUPS)?;
    Ok(wall.tables.set_state(STATE_CGROUPS, version.wrapping_add(1) & u64::from(u32::MAX))?)
}

fn gate() -> GateKey {
    GateKey { kind: KIND_CHAR, major: DEVICE_MAJOR, minor: 0 }
}

/// A hook is proven when what went through before, or failed for another reason, is now refused.
fn judge_attempts(wall: &mut Wall, before: &Attempts, after: &Attempts) {
    let [made, bound4, bound6] = after.tags;
    let refused = |before: i32, after: i32| before != libc::EPERM && after == libc::EPERM;
    let proofs = [
        ("cgroup/connect4", refused(before.connect4, after.connect4)),
        ("cgroup/connect6", refused(before.connect6, after.connect6)),
        ("cgroup/sendmsg4", refused(before.sendmsg4, after.sendmsg4)),
        ("cgroup/sendmsg6", refused(before.sendmsg6, after.sendmsg6)),
        ("cgroup/socket_egress", refused(before.egress, after.egress)),
        ("cgroup/sock_create", made == CANARY),
        ("cgroup/post_bind4", bound4 == CANARY),
        ("cgroup/post_bind6", bound6 == CANARY),
    ];
    for (hook, proven) in proofs {
        note(wall, hook, proven);
    }
    if !wall.config.device_audit {
        note(wall, "cgroup/device", refused(before.device, after.device));
    }
}

/// Writes down whether a hook was seen to run.
pub(super) fn note(wall: &mut Wall, hook: &'static str, proven: bool) {
    if wall.absent.contains_key(hook) {
        return;
    }
    if proven {
        wall.proven.insert(hook, HookState::Verified);
    } else {
        tracing::warn!(hook, "attached, but the canary did not see it run");
        wall.proven.insert(hook, HookState::Declared);
    }
}

/// Waits until a counter shows that the hook met the canary.
fn settle(wall: &mut Wall, hook: &'static str, number: u8, who: u32) -> Result<(), KernelError> {
    let deadline = Instant::now() + PATIENCE;
    let mut seen = false;
    while !seen && Instant::now() < deadline {
        for key in wall.tables.counters.keys() {
            let key = key.map_err(kernel("read", "COUNTERS"))?;
            seen |= key.hook == number && (key.source == who || key.destination == who);
        }
        if !seen {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    note(wall, hook, seen);
    Ok(())
}

/// An interface of our own stands for a workload's: one frame in, one frame out.
fn try_interface(wall: &mut Wall) -> Result<(), KernelError> {
    let fail = || KernelError::file("try the interface hooks on", "/dev/net/tun");
    let tap = Tap::create().map_err(fail())?;
    let value = InterfaceValue { tenant: CANARY, ..InterfaceValue::default() };
    wall.tables.interfaces.insert(tap.index(), value, 0).map_err(kernel("write", "INTERFACES"))?;
    let mut links = Vec::new();
    for hook in &INTERFACE_HOOKS {
        let Ok(program) = program_fd(&wall.object, hook.program) else { continue };
        match sys::link_create(program, &Target::Interface(tap.index()), hook.attach_type) {
            Ok(link) => links.push(link),
            Err(error) => drop(wall.absent.insert(hook.name, format!("cannot attach: {error}"))),
        }
    }
    let outcome = tap.receive().and_then(|()| tap.send()).map_err(fail());
    if outcome.is_ok() {
        settle(wall, "tcx/from_workload", HOOK_FROM_WORKLOAD, CANARY)?;
        settle(wall, "tcx/to_workload", HOOK_TO_WORKLOAD, CANARY)?;
    }
    drop(links);
    wall.tables.interfaces.remove(&tap.index()).map_err(kernel("delete from", "INTERFACES"))?;
    outcome
}

/// Takes every trace of the canary out of the tables, also one that an agent left which died over it.
pub(super) fn clean(wall: &mut Wall) -> Result<(), KernelError> {
    let mut groups = Vec::new();
    for entry in wall.tables.cgroups.iter() {
        let (id, value) = entry.map_err(kernel("read", "CGROUPS"))?;
        if value.identity == CANARY || value.identity == CANARY_SERVICE {
            groups.push(id);
        }
    }
    for id in &groups {
        wall.tables.cgroups.remove(id).map_err(kernel("delete from", "CGROUPS"))?;
    }
    if !groups.is_empty() {
        bump_cgroups(wall)?;
    }
    if wall.tables.gates.get(&gate(), 0).is_ok() {
        wall.tables.gates.remove(&gate()).map_err(kernel("delete from", "GATES"))?;
    }
    detour::clean(&mut wall.tables)?;
    let mut counters = Vec::new();
    for key in wall.tables.counters.keys() {
        let key = key.map_err(kernel("read", "COUNTERS"))?;
        if [key.source, key.destination].iter().any(|who| *who == CANARY || *who == CANARY_SERVICE) {
            counters.push(key);
        }
    }
    for key in &counters {
        wall.tables.counters.remove(key).map_err(kernel("delete from", "COUNTERS"))?;
    }
    Ok(())
}

pub(super) fn c_path(path: &Path) -> Result<CString, KernelError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(io::Error::other)
        .map_err(KernelError::file("name", path))
}

impl Wall {
    /// A descriptor of the socket storage table.
    fn storage(&self) -> Result<std::os::fd::OwnedFd, KernelError> {
        let path = self.pins.map("SOCKETS");
        let pinned = sys::open_pin(&path).map_err(KernelError::file("open", &path))?;
        pinned.as_fd().try_clone_to_owned().map_err(KernelError::file("open", &path))
    }
}
