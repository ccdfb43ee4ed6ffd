//! Where a drill takes place: network and mount namespaces of its own, file systems in memory, and control groups
//! that are taken away whatever happens. What is mounted here goes with the last process that sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::canary::Side;
use super::trouble::{Trouble, errno};

/// Where drills keep their sockets and states.
const RUN: &str = "/run";
/// The name of whatever belongs to a drill, before its process id.
const PREFIX: &str = "enforcer-drill-";
/// Room for the agent's state.
const STATE_KIB: u32 = 8 << 10;
/// Major numbers for local and experimental use (Documentation/admin-guide/devices.txt of the kernel).
const MAJORS: [std::ops::RangeInclusive<u64>; 2] = [60..=63, 120..=127];
/// How long killed processes may take to leave their group.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// A place that is ours alone. Dropped, its groups and directories are gone.
#[derive(Debug)]
pub(super) struct Place {
    /// Sockets, configuration, log, device nodes.
    pub(super) base: PathBuf,
    /// The scratch wall's root.
    pub(super) cgroup: PathBuf,
    /// Major number that no driver has.
    pub(super) major: u64,
}

impl Place {
    /// Makes it. From here on this process sees another network and its own mounts.
    pub(super) fn make(cgroup_root: &Path) -> Result<Self, Trouble> {
        let major = free_major(&fs::read_to_string("/proc/devices").map_err(Trouble::on("/proc/devices"))?)
            .ok_or_else(|| {
            Trouble::Absent("a driver has every major number for experiments".to_owned())
        })?;
        sweep(cgroup_root);
        let name = format!("{PREFIX}{}", std::process::id());
        let place = Self { base: Path::new(RUN).join(&name), cgroup: cgroup_root.join(&name), major };
        for group in ["", "agent", "a", "b"] {
            let group = place.cgroup.join(group);
            fs::create_dir_all(&group).map_err(Trouble::at(&group))?;
        }
        fs::create_dir_all(&place.base).map_err(Trouble::at(&place.base))?;
        place.furnish()?;
        Ok(place)
    }

    fn furnish(&self) -> Result<(), Trouble> {
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).map_err(errno("namespaces"))?;
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .map_err(errno("private mounts"))?;
        loopback().map_err(errno("the loopback interface"))?;
        self.mount("tmpfs", "", "mode=0700")?;
        self.mount("tmpfs", "state", &format!("mode=0700,size={STATE_KIB}k"))?;
        self.mount("bpf", "bpf", "mode=0700")?;
        for side in Side::BOTH {
            let (path, mode) = (self.base.join(side.node()), Mode::from_bits_truncate(0o600));
            let made = mknod(&path, SFlag::S_IFCHR, mode, makedev(self.major, side.minor()));
            made.map_err(errno(&format!("{}", path.display())))?;
        }
        Ok(())
    }

    fn mount(&self, kind: &str, below: &str, options: &str) -> Result<(), Trouble> {
        let path = self.base.join(below);
        fs::create_dir_all(&path).map_err(Trouble::at(&path))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(Some(kind), &path, Some(kind), flags, Some(options))
            .map_err(errno(&format!("{kind} at {below:?}")))
    }

    /// Where the agent keeps what it must not lose.
    pub(super) fn state(&self) -> PathBuf {
        self.base.join("state")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        remove(&self.cgroup);
        let _mounted = nix::mount::umount2(&self.base.join("bpf"), nix::mount::MntFlags::MNT_DETACH);
        let _mounted = nix::mount::umount2(&self.base.join("state"), nix::mount::MntFlags::MNT_DETACH);
        let _mounted = nix::mount::umount2(&self.base, nix::mount::MntFlags::MNT_DETACH);
        let _gone = fs::remove_dir(&self.base);
    }
}

/// Takes away what drills left behind whose process is gone.
fn sweep(cgroup_root: &Path) {
    for group in stale(cgroup_root) {
        remove(&group);
    }
    for directory in stale(Path::new(RUN)) {
        let _mounted = fs::remove_dir(directory);
    }
}

fn stale(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.filter(|path| owner(path).is_some_and(|pid| !is_drill(pid))).collect()
}

/// The process that a drill's group or directory is named after.
fn owner(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

/// Numbers of processes are given again: only one of our program is a drill.
fn is_drill(pid: u32) -> bool {
    let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe")).ok();
    let theirs = program(&pid.to_string());
    theirs.is_some()
        && (theirs == program("self") || theirs.is_some_and(|path| path.ends_with("enforcerctl")))
}

/// Kills whatever is in a drill's group, and removes it and those below it.
fn remove(group: &Path) {
    let _gone = fs::write(group.join("cgroup.kill"), "1");
    let deadline = Instant::now() + EMPTY_LIMIT;
    while !removed(group) && Instant::now() < deadline {
        sleep(Duration::from_millis(10));
    }
}

fn removed(group: &Path) -> bool {
    let children = fs::read_dir(group).into_iter().flatten().flatten();
    for child in children.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        removed(&child.path());
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}

/// The first major number for experiments that no driver of characters has.
fn free_major(devices: &str) -> Option<u64> {
    let characters = devices.lines().take_while(|line| !line.starts_with("Block"));
    let taken: Vec<u64> =
        characters.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    MAJORS.into_iter().flatten().find(|major| !taken.contains(major))
}

/// Where the cgroup2 hierarchy is mounted (`proc_pid_mountinfo(5)`).
pub(super) fn cgroup_mount() -> Result<PathBuf, Trouble> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").map_err(Trouble::on("/proc/self/mountinfo"))?;
    let mount = mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let is_cgroup2 = kind.split(' ').next() == Some("cgroup2");
        is_cgroup2.then(|| fields.split(' ').nth(4).map(PathBuf::from)).flatten()
    });
    mount.ok_or_else(|| Trouble::Absent("there is no cgroup2 mount".to_owned()))
}

/// Turns the loopback interface on: `RTM_NEWLINK` with `IFF_UP` (rtnetlink(7)). A new namespace has it turned off.
fn loopback() -> nix::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const IFF_UP: u32 = 1;
    const LOOPBACK: i32 = 1;
    const BYTES: u32 = 32;
    let mut message = Vec::new();
    // struct nlmsghdr: length, type, flags, sequence, port.
    message.extend(BYTES.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // struct ifinfomsg: family and padding, type, index, flags, which of them change.
    message.extend([0; 4]);
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let route = SockProtocol::NetlinkRoute;
    let netlink = socket::socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, route)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&netlink);
    socket::sendto(fd, &message, &NetlinkAddr::new(0, 0), MsgFlags::empty()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_driver_of_characters_has_the_major() {
        assert_eq!(
            free_major("Character devices:\n  1 mem\n 60 x\n 62 y\n\nBlock devices:\n 61 z\n"),
            Some(61)
        );
        let all: String = MAJORS.into_iter().flatten().map(|major| format!("{major} x\n")).collect();
        assert_eq!(free_major(&all), None);
        let first: String = (60..=63).map(|major| format!("{major} x\n")).collect();
        assert_eq!(free_major(&first), Some(120));
    }

    #[test]
    fn only_what_a_dead_drill_left_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join(format!("{PREFIX}{}", std::process::id()));
        let dead = dir.path().join(format!("{PREFIX}{}", u32::MAX));
        // Init lives, and is no drill.
        let reused = dir.path().join(format!("{PREFIX}1"));
        for path in [&own, &dead, &reused, &dir.path().join("enforcer-drill-x"), &dir.path().join("other")] {
            fs::create_dir(path).unwrap();
        }
        let mut found = stale(dir.path());
        found.sort();
        assert_eq!(found, [reused, dead]);
    }
}
