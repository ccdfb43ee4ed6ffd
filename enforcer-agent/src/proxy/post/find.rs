//! The network namespace behind an interface of the node, and namespaces in which nobody lives any more. That an
//! interface's other end is in a namespace is never concluded from names: the kernel says it, while the namespace is held.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::netlink::link::Link;
use crate::netlink::{Netlink, NetlinkError};

use super::namespace::{Namespace, NamespaceError, NamespaceId};

/// Namespaces below `/run/netns` and elsewhere that are looked at.
const MOUNTS_MAX: usize = 16_384;
/// Groups below a workload's that are looked into, and processes in all of them.
const GROUPS_MAX: usize = 256;
const PROCESSES_MAX: usize = 1024;

/// An interface of the node whose other end's namespace is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its index.
    pub interface: u32,
    /// Directory of the control group in which the workload's processes are.
    pub group: Option<PathBuf>,
}

/// Why a namespace is not found.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The kernel cannot be asked about interfaces.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// There is no such interface.
    #[error("interface {0} is gone")]
    NoInterface(u32),
    /// It is no veth, or both its ends are here.
    #[error("interface {0} leads to no other network namespace")]
    NoPeer(u32),
    /// The namespace is neither mounted where this agent sees it, nor has the workload a process in it.
    #[error(
        "the network namespace behind interface {0} is mounted nowhere, and the workload has no process in it"
    )]
    Hidden(u32),
    /// The workload has processes, and this agent may not see in which namespace they are.
    #[error(
        "the network namespace behind interface {0} is mounted nowhere, and looking for it at the workload's processes \
         needs CAP_SYS_PTRACE"
    )]
    Denied(u32),
    /// It was found and cannot be used.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

/// Finds the namespaces behind some interfaces, at one look: mounted ones first, then those of the workloads' processes.
///
/// # Errors
/// The kernel cannot be asked. What is wrong with a single one is in its place in the answer.
pub fn find(wanted: &[Wanted]) -> Result<Vec<Result<Namespace, FindError>>, NetlinkError> {
    let mut here = Netlink::open()?;
    let before = here.links()?;
    let numbers = wanted.iter().filter_map(|wanted| number(&before, wanted.interface).ok()).collect();
    let mounted = mounted(&mut here, &numbers);
    let found: Vec<_> = wanted.iter().map(|wanted| one(wanted, &before, &mounted, &mut here)).collect();
    // While a namespace is held its number stays its own: an interface that still leads to the number leads there.
    let after = here.links()?;
    let unchanged = |wanted: &Wanted| before.get(&wanted.interface) == after.get(&wanted.interface);
    let checked = wanted.iter().zip(found).map(|(wanted, found)| {
        if unchanged(wanted) { found } else { Err(FindError::NoInterface(wanted.interface)) }
    });
    Ok(checked.collect())
}

fn one(
    wanted: &Wanted,
    links: &BTreeMap<u32, Link>,
    mounted: &BTreeMap<i32, (File, PathBuf)>,
    here: &mut Netlink,
) -> Result<Namespace, FindError> {
    let number = number(links, wanted.interface)?;
    if let Some((file, path)) = mounted.get(&number) {
        let file = file.try_clone().map_err(|error| NamespaceError::System {
            operation: "hold",
            name: path.display().to_string(),
            error,
        })?;
        return Ok(Namespace::of(file, path.display().to_string())?);
    }
    let own = fs::metadata("/proc/thread-self/ns/net").ok().map(|data| data.ino());
    let mut seen: BTreeSet<u64> = own.into_iter().collect();
    let mut is_denied = false;
    for process in wanted.group.iter().flat_map(|group| processes(group)) {
        let path = Path::new("/proc").join(process).join("ns/net");
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) => {
                is_denied |= error.kind() == io::ErrorKind::PermissionDenied;
                continue;
            }
        };
        let is_new = file.metadata().is_ok_and(|data| seen.insert(data.ino()));
        if is_new && here.namespace_id(&file).ok().flatten() == Some(number) {
            return Ok(Namespace::of(file, path.display().to_string())?);
        }
    }
    Err(if is_denied { FindError::Denied(wanted.interface) } else { FindError::Hidden(wanted.interface) })
}

/// The node's number for the namespace behind an interface.
fn number(links: &BTreeMap<u32, Link>, interface: u32) -> Result<i32, FindError> {
    let link = links.get(&interface).ok_or(FindError::NoInterface(interface))?;
    link.peer_namespace.filter(|_| link.kind == "veth").ok_or(FindError::NoPeer(interface))
}

/// The mounted namespaces that have one of these numbers.
fn mounted(here: &mut Netlink, numbers: &BTreeSet<i32>) -> BTreeMap<i32, (File, PathBuf)> {
    let mut found = BTreeMap::new();
    // Without the list of mounts there are still the processes.
    for path in mounts().unwrap_or_default().into_values().take(MOUNTS_MAX) {
        if found.len() == numbers.len() {
            break;
        }
        // Without blocking: another mount may lie over it by now.
        let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path) else {
            continue;
        };
        let Ok(Some(number)) = here.namespace_id(&file) else { continue };
        if numbers.contains(&number) {
            found.entry(number).or_insert((file, path));
        }
    }
    found
}

/// Inode and place of each network namespace that is mounted where this process sees it; each once.
fn mounts() -> io::Result<BTreeMap<u64, PathBuf>> {
    let table = fs::read("/proc/thread-self/mountinfo")?;
    Ok(table.split(|byte| *byte == b'\n').filter_map(mount).collect())
}

/// A line of proc_pid_mountinfo(5): `ID PARENT MAJOR:MINOR net:[INODE] PLACE ... - nsfs nsfs rw`.
fn mount(line: &[u8]) -> Option<(u64, PathBuf)> {
    let mut fields = line.split(|byte| *byte == b' ').skip(3);
    let root = std::str::from_utf8(fields.next()?).ok()?;
    let inode = root.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()?;
    let place = unescaped(fields.next()?);
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (kind == b"nsfs").then(|| (inode, PathBuf::from(OsString::from_vec(place))))
}

/// Spaces, tabs, newlines and backslashes are written as three octal digits.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, others)) = rest.split_first() {
        let octal = others.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = others.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = others;
            }
        }
    }
    plain
}

/// Numbers of the processes in a group and in those below it.
fn processes(group: &Path) -> Vec<String> {
    let mut waiting = vec![group.to_owned()];
    let mut found = Vec::new();
    for _ in 0..GROUPS_MAX {
        let Some(group) = waiting.pop() else { break };
        let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        // Zero is a process that this agent cannot see.
        found.extend(listed.lines().filter(|pid| *pid != "0").map(str::to_owned));
        let below = fs::read_dir(&group).into_iter().flatten().flatten();
        waiting.extend(
            below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()),
        );
        if found.len() >= PROCESSES_MAX {
            break;
        }
    }
    found.truncate(PROCESSES_MAX);
    found
}

/// Those of these namespaces that exist only because the agent holds them: they are mounted nowhere that it sees, and
/// no process lives there. Their posts must be closed, or the interfaces never go. With each comes the directory of its
/// workload's control group, if it has one: then its processes are counted; else all of `/proc` is looked through.
///
/// # Errors
/// `/proc` cannot be read; then nobody knows.
pub fn abandoned<'a>(
    held: impl IntoIterator<Item = (&'a Namespace, Option<&'a Path>)>,
) -> io::Result<BTreeSet<NamespaceId>> {
    let mounted = mounts()?;
    let (mut empty, mut unsure) = (BTreeSet::new(), BTreeMap::new());
    for (namespace, group) in held.into_iter().filter(|(held, _)| !mounted.contains_key(&held.id().inode)) {
        match group {
            Some(group) if processes(group).is_empty() => _ = empty.insert(namespace.id()),
            Some(_) => {}
            None => _ = unsure.insert(namespace.id().inode, namespace.id()),
        }
    }
    empty.extend(without_process(unsure)?);
    Ok(empty)
}

/// Those in which no process is; none of them if a process does not show where it is.
fn without_process(mut namespaces: BTreeMap<u64, NamespaceId>) -> io::Result<Vec<NamespaceId>> {
    if namespaces.is_empty() {
        return Ok(Vec::new());
    }
    for entry in fs::read_dir("/proc")? {
        let process = entry?;
        // The node's first process lives in the node's own namespace, and shows it to few.
        if process.file_name() == "1" {
            continue;
        }
        match fs::metadata(process.path().join("ns/net")) {
            Ok(data) => _ = namespaces.remove(&data.ino()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(Vec::new()),
            // Ended meanwhile, or no process.
            Err(_) => {}
        }
    }
    Ok(namespaces.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_namespace_is_read_from_its_line() {
        let line = br"412 29 0:4 net:[4026532561] /run/netns/a\040b rw shared:5 - nsfs nsfs rw";
        assert_eq!(mount(line), Some((4_026_532_561, PathBuf::from("/run/netns/a b"))));
        let other = b"29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw";
        assert_eq!(mount(other), None);
        let pretender = b"29 1 8:1 net:[1] /x rw,relatime - ext4 /dev/sda1 rw";
        assert_eq!(mount(pretender), None);
        for length in 0..line.len() {
            assert!(mount(&line[..length]).is_none_or(|(inode, _)| inode == 4_026_532_561));
        }
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescaped(br"a\134b\0"), br"a\b\0");
        assert_eq!(unescaped(br"\999"), br"\999");
    }
}
