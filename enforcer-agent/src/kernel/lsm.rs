//! The hooks of BPF LSM: loaded where the kernel takes them, kept where a canary saw them refuse, and otherwise taken off
//! again. Without `bpf` in the kernel's list of security modules they load, attach and are never called.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use aya::programs::links::FdLink;
use aya::programs::{Lsm, ProgramError};
use aya::{Btf, BtfError};
use enforcer_common::event::{
    HOOK_BPF, HOOK_FILE_FREE, HOOK_FILE_IOCTL, HOOK_FILE_OPEN, HOOK_FILE_PERMISSION, HOOK_FILE_RECEIVE,
    HOOK_INODE_MKNOD, HOOK_MMAP_FILE, HOOK_MOUNT, HOOK_PTRACE, HOOK_TASK_KILL, HOOK_UNLINK, HOOK_URING_CMD,
};
use enforcer_common::identity::CANARY;
use enforcer_common::maps::{
    CGROUP_HOST_NETWORK, CgroupValue, SETTING_CANARY, STATE_ACCOUNT, STATE_AGENT, STATE_SCOPE,
};
use enforcer_core::enforce::HookState;

use super::adopt::{pin_over, refusal};
use super::canary::{bump_cgroups, c_path, note};
use super::error::{KernelError, kernel};
use super::handles::boot_ns;
use super::lsm_probe::{self, Attempts, Job};
use super::pins;
use super::wall::Wall;

/// A hook of BPF LSM.
pub(super) struct LsmHook {
    /// As people read it.
    pub(super) name: &'static str,
    pub(super) program: &'static str,
    /// As the kernel knows it.
    pub(super) hook: &'static str,
    /// `enforcer_common::event::HOOK_*` under which it counts the canary.
    number: u8,
}

const fn hook(name: &'static str, program: &'static str, hook: &'static str, number: u8) -> LsmHook {
    LsmHook { name, program, hook, number }
}

/// Every one, in the order in which they are hung: what takes a file out of the account before what puts it in, so that
/// nothing enters that cannot leave.
pub(super) const LSM_HOOKS: [LsmHook; 18] = [
    hook("lsm/file_free_security", "file_free", "file_free_security", HOOK_FILE_FREE),
    hook("lsm/file_open", "file_open", "file_open", HOOK_FILE_OPEN),
    hook("lsm/file_receive", "file_receive", "file_receive", HOOK_FILE_RECEIVE),
    hook("lsm/file_permission", "file_permission", "file_permission", HOOK_FILE_PERMISSION),
    hook("lsm/file_ioctl", "file_ioctl", "file_ioctl", HOOK_FILE_IOCTL),
    hook("lsm/file_ioctl_compat", "file_ioctl_compat", "file_ioctl_compat", HOOK_FILE_IOCTL),
    hook("lsm/mmap_file", "mmap_file", "mmap_file", HOOK_MMAP_FILE),
    hook("lsm/uring_cmd", "uring_cmd", "uring_cmd", HOOK_URING_CMD),
    hook("lsm/inode_mknod", "inode_mknod", "inode_mknod", HOOK_INODE_MKNOD),
    hook("lsm/ptrace_access_check", "ptrace_access", "ptrace_access_check", HOOK_PTRACE),
    hook("lsm/task_kill", "task_kill", "task_kill", HOOK_TASK_KILL),
    hook("lsm/bpf", "guard_bpf", "bpf", HOOK_BPF),
    hook("lsm/inode_unlink", "guard_unlink", "inode_unlink", HOOK_UNLINK),
    hook("lsm/inode_rmdir", "guard_rmdir", "inode_rmdir", HOOK_UNLINK),
    hook("lsm/inode_rename", "guard_rename", "inode_rename", HOOK_UNLINK),
    hook("lsm/sb_mount", "guard_mount", "sb_mount", HOOK_MOUNT),
    hook("lsm/move_mount", "guard_move_mount", "move_mount", HOOK_MOUNT),
    hook("lsm/sb_umount", "guard_umount", "sb_umount", HOOK_MOUNT),
];

/// Without these, what is held and passed is not refused.
pub(super) const NEEDED: [&str; 5] =
    ["lsm/file_open", "lsm/file_receive", "lsm/file_permission", "lsm/file_ioctl", "lsm/mmap_file"];
/// Without these, the account of open files is not whole.
const ACCOUNT: [&str; 3] = ["lsm/file_open", "lsm/file_receive", "lsm/file_free_security"];
/// Nothing on every node can be done that goes through these: they stay declared. Each stands beside one that is proven.
const UNPROVABLE: [&str; 4] = ["lsm/file_ioctl_compat", "lsm/uring_cmd", "lsm/move_mount", "lsm/sb_umount"];

const LIST: &str = "/sys/kernel/security/lsm";
const NEVER_CALLED: &str = "it loads and attaches, but was never called";

/// Hangs every hook that this kernel takes. One that it does not take is absent, with the reason.
pub(super) fn hang(wall: &mut Wall) {
    let btf = listed()
        .and_then(|()| wall.files_unknown.clone().map_or(Ok(()), Err))
        .and_then(|()| Btf::from_sys_fs().map_err(|error| error.to_string()));
    for hook in &LSM_HOOKS {
        let hung = btf.as_ref().map_err(String::clone).and_then(|btf| hang_one(wall, hook, btf));
        match hung {
            Ok(link) => {
                wall.absent.remove(hook.name);
                wall.links.insert(hook.name, link);
            }
            Err(reason) => {
                take_down(wall, hook);
                wall.absent.insert(hook.name, reason);
            }
        }
    }
    if let Err(error) = wall.set_scope() {
        tracing::error!(%error, "the LSM hooks judge nobody");
    }
}

/// Takes the link of a hook off that is reported absent, also one that an older agent left.
fn take_down(wall: &Wall, hook: &LsmHook) {
    let path = wall.pins.link(hook.program);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::error!(path = %path.display(), %error, "the link of an absent hook stays");
        }
        _ => {}
    }
}

/// Whether the kernel calls BPF programs at its security hooks.
fn listed() -> Result<(), String> {
    pins::securityfs().map_err(|error| format!("which security modules run cannot be read: {error}"))?;
    let list = fs::read_to_string(LIST).map_err(|error| format!("{LIST}: {error}"))?;
    if list.trim().split(',').any(|module| module == "bpf") {
        return Ok(());
    }
    let list = list.trim();
    Err(format!("bpf is not among the kernel's security modules ({list}); add it to lsm= at boot"))
}

fn hang_one(wall: &mut Wall, hook: &LsmHook, btf: &Btf) -> Result<std::os::fd::OwnedFd, String> {
    let words = |error: ProgramError| match error {
        ProgramError::Btf(BtfError::UnknownBtfTypeName { .. }) => "this kernel has no such hook".to_owned(),
        error => format!("the kernel does not take it: {}", refusal(&error)),
    };
    let program = wall.object.program_mut(hook.program).ok_or("the kernel object has no such program")?;
    let program: &mut Lsm = program.try_into().map_err(words)?;
    if program.fd().is_err() {
        program.load(hook.hook, btf).map_err(words)?;
    }
    let id = program.attach().map_err(words)?;
    let link = FdLink::from(program.take_link(id).map_err(words)?);
    pin_over(link, &wall.pins, hook.program).map_err(|error| error.to_string())
}

/// The control group of the canary, and names on the BPF file system that it tries to change.
struct Stage {
    group: PathBuf,
    directory: PathBuf,
    renamed: PathBuf,
    name: PathBuf,
    node: PathBuf,
}

impl Stage {
    fn set(wall: &Wall) -> io::Result<Self> {
        let pid = std::process::id();
        let pinned = |what: &str| wall.pins.links().with_file_name(format!("canary-{what}-{pid}"));
        let stage = Self {
            group: wall.config.cgroup_root.join(format!("enforcer-canary-lsm-{pid}")),
            directory: pinned("directory"),
            renamed: pinned("renamed"),
            name: pinned("name"),
            node: Path::new("/dev").join(format!(".enforcer-canary-lsm-{pid}")),
        };
        fs::create_dir(&stage.group)?;
        fs::create_dir(&stage.directory)?;
        std::os::unix::fs::symlink("nowhere", &stage.name)?;
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.group);
        let _ = fs::remove_dir(&self.directory);
        let _ = fs::remove_dir(&self.renamed);
        let _ = fs::remove_file(&self.name);
        let _ = fs::remove_file(&self.node);
    }
}

/// Proves the hooks that hang: a canary uses the null device, which is then a gated one to it and to nobody else, and becomes a
/// tenant that was granted nothing.
pub(super) fn prove(wall: &mut Wall) -> Result<(), KernelError> {
    if !LSM_HOOKS.iter().any(|hook| wall.links.contains_key(hook.name)) {
        return Ok(());
    }
    let root = wall.config.cgroup_root.clone();
    let stage = Stage::set(wall).map_err(KernelError::file("set up the canary below", &root))?;
    let job = Job {
        procs: c_path(&stage.group.join("cgroup.procs"))?,
        directory: c_path(&stage.directory)?,
        renamed: c_path(&stage.renamed)?,
        name: c_path(&stage.name)?,
        node: c_path(&stage.node)?,
        parent: c_path(Path::new(&format!("/proc/{}/exe", std::process::id())))?,
        parent_pid: i32::try_from(std::process::id()).unwrap_or(-1),
    };
    let failed = || KernelError::file("run the canary in", stage.group.clone());
    let (child, before) = lsm_probe::start(&job).map_err(failed())?;
    wall.count_canary(true)?;
    register(wall, &stage)?;
    let after = child.again().map_err(failed());
    drop(child);
    // Its descriptors are given back a little after it ended.
    std::thread::sleep(Duration::from_millis(20));
    wall.count_canary(false)?;
    judge(wall, &before, &after?)
}

fn register(wall: &mut Wall, stage: &Stage) -> Result<(), KernelError> {
    let id = fs::metadata(&stage.group).map_err(KernelError::file("read", &stage.group))?.ino();
    let group = CgroupValue { identity: CANARY, flags: CGROUP_HOST_NETWORK, ..CgroupValue::default() };
    wall.tables.cgroups.insert(id, group, 0).map_err(kernel("write", "CGROUPS"))?;
    bump_cgroups(wall)
}

/// A hook is proven when what went through before, or failed for another reason, is now refused; one whose refusal the canary
/// cannot tell from another's, when it counted the canary. The canary is refused in audit mode too.
fn judge(wall: &mut Wall, before: &Attempts, after: &Attempts) -> Result<(), KernelError> {
    let mut counted = Vec::new();
    for key in wall.tables.counters.keys() {
        let key = key.map_err(kernel("read", "COUNTERS"))?;
        if key.source == CANARY {
            counted.push(key.hook);
        }
    }
    for hook in LSM_HOOKS.iter().filter(|hook| !UNPROVABLE.contains(&hook.name)) {
        let seen = counted.contains(&hook.number);
        let proven = match lsm_probe::refused(hook.hook, before, after) {
            Some(refused) => refused,
            None => seen,
        };
        if wall.links.contains_key(hook.name) {
            note(wall, hook.name, proven);
        }
    }
    Ok(())
}

/// Takes off what hangs and was seen to do nothing at all, and settles whether the account of open files is whole.
pub(super) fn settle(wall: &mut Wall) -> Result<(), KernelError> {
    let verified = |wall: &Wall, name| wall.state(name) == HookState::Verified;
    let hangs = LSM_HOOKS.iter().any(|hook| wall.links.contains_key(hook.name));
    if hangs && !LSM_HOOKS.iter().any(|hook| verified(wall, hook.name)) {
        for hook in &LSM_HOOKS {
            if wall.links.remove(hook.name).is_some() {
                take_down(wall, hook);
                wall.absent.insert(hook.name, NEVER_CALLED.to_owned());
            }
        }
    }
    let since = wall.tables.state(STATE_ACCOUNT)?;
    match (ACCOUNT.iter().all(|name| verified(wall, name)), since) {
        (true, 0) => {
            wall.tables.set_state(STATE_ACCOUNT, boot_ns()?)?;
        }
        (false, 1..) => wall.tables.set_state(STATE_ACCOUNT, 0)?,
        _ => {}
    }
    Ok(())
}

impl Wall {
    /// Has the hooks count the canary, or not.
    fn count_canary(&mut self, on: bool) -> Result<(), KernelError> {
        let mut settings = self.tables.settings.get(&0, 0).map_err(kernel("read", "SETTINGS"))?;
        settings.flags &= !SETTING_CANARY;
        if on {
            settings.flags |= SETTING_CANARY;
        }
        Ok(self.tables.settings.set(0, settings, 0).map_err(kernel("write", "SETTINGS"))?)
    }

    /// Names this process as the agent, whom no tenant may signal, and the control group below which the hooks judge.
    fn set_scope(&mut self) -> Result<(), KernelError> {
        let root = &self.config.cgroup_root;
        let scope = fs::metadata(root).map_err(KernelError::file("read", root))?.ino();
        self.tables.set_state(STATE_AGENT, u64::from(std::process::id()))?;
        Ok(self.tables.set_state(STATE_SCOPE, scope)?)
    }

    /// Since when the account of open files is whole, or why there is none.
    pub(super) fn account(&self) -> Result<u64, String> {
        for name in ACCOUNT {
            match self.state(name) {
                HookState::Verified => {}
                HookState::Declared => return Err(format!("{name} was not proven")),
                HookState::Absent(reason) => return Err(format!("{name}: {reason}")),
            }
        }
        match self.tables.state(STATE_ACCOUNT) {
            Ok(0) => Err("it was just begun".to_owned()),
            Ok(since) => Ok(since),
            Err(error) => Err(error.to_string()),
        }
    }
}
