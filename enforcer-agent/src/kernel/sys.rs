//! `bpf(2)` where aya has no words for it: links made, updated and pinned the same way for every hook.
//! All unsafe code of the kernel room is here and in `probe`.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_ITER_CREATE: libc::c_long = 33;
/// `BPF_TRACE_ITER`.
const TRACE_ITER: u32 = 28;

/// Where a link attaches.
pub(super) enum Target<'a> {
    /// A control group directory.
    Cgroup(BorrowedFd<'a>),
    /// A network interface, by index.
    Interface(u32),
}

#[repr(C)]
#[derive(Default)]
struct LinkCreate {
    prog_fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    rest: [u64; 6],
}

#[repr(C)]
#[derive(Default)]
struct LinkUpdate {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

#[repr(C)]
#[derive(Default)]
struct ObjectPath {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoByFd {
    fd: u32,
    len: u32,
    info: u64,
}

/// What the kernel says of a link: `struct bpf_link_info` up to the fields used here.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LinkInfo {
    pub(super) kind: u32,
    pub(super) id: u32,
    pub(super) program: u32,
    reserved: u32,
    /// For a cgroup link its cgroup id; 0 once the cgroup is gone. For tcx the interface index, in the low
    /// half; 0 once the interface is gone.
    pub(super) target: u64,
    rest: [u64; 6],
}

impl LinkInfo {
    /// True when the link hangs on this very target; false when that is gone, or is another.
    pub(super) fn hangs_on(&self, target: &Target<'_>) -> io::Result<bool> {
        Ok(match target {
            Target::Interface(index) => self.target & u64::from(u32::MAX) == u64::from(*index),
            Target::Cgroup(fd) => {
                let directory = std::fs::File::from(fd.try_clone_to_owned()?);
                self.target == directory.metadata()?.ino()
            }
        })
    }
}

/// First among the programs of an interface: one before ours could end the list and hide ours.
const BPF_F_BEFORE: u32 = 1 << 3;

/// Attaches a program by a link; on an interface, before those of others.
pub(super) fn link_create(
    program: BorrowedFd<'_>,
    target: &Target<'_>,
    attach_type: u32,
) -> io::Result<OwnedFd> {
    let (target, flags) = match target {
        Target::Cgroup(fd) => (raw(*fd)?, 0),
        Target::Interface(index) => (*index, BPF_F_BEFORE),
    };
    let mut attributes =
        LinkCreate { prog_fd: raw(program)?, target, attach_type, flags, ..LinkCreate::default() };
    let fd = bpf(BPF_LINK_CREATE, &mut attributes)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A file that a walking program writes into while it is read.
pub(super) fn walk(program: BorrowedFd<'_>) -> io::Result<File> {
    let mut attributes =
        LinkCreate { prog_fd: raw(program)?, attach_type: TRACE_ITER, ..LinkCreate::default() };
    let link = bpf(BPF_LINK_CREATE, &mut attributes)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    let link = unsafe { OwnedFd::from_raw_fd(i32::try_from(link).map_err(io::Error::other)?) };
    let mut attributes = [raw(link.as_fd())?, 0];
    let file = bpf(BPF_ITER_CREATE, &mut attributes)?;
    // SAFETY: as above.
    Ok(unsafe { File::from_raw_fd(i32::try_from(file).map_err(io::Error::other)?) })
}

/// Puts another program behind a link, in one step.
pub(super) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes =
        LinkUpdate { link_fd: raw(link)?, new_prog_fd: raw(program)?, ..LinkUpdate::default() };
    bpf(BPF_LINK_UPDATE, &mut attributes).map(drop)
}

/// Pins a link, program or map.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let name = c_path(path)?;
    let mut attributes =
        ObjectPath { pathname: address(name.as_ptr()), bpf_fd: raw(object)?, ..ObjectPath::default() };
    bpf(BPF_OBJ_PIN, &mut attributes).map(drop)
}

/// Opens what is pinned.
pub(super) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let name = c_path(path)?;
    let mut attributes = ObjectPath { pathname: address(name.as_ptr()), ..ObjectPath::default() };
    let fd = bpf(BPF_OBJ_GET, &mut attributes)?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel just gave us this descriptor, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of a link.
pub(super) fn link_info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    let mut info = LinkInfo::default();
    let len = u32::try_from(size_of::<LinkInfo>()).map_err(io::Error::other)?;
    let mut attributes = InfoByFd { fd: raw(link)?, len, info: address(std::ptr::from_mut(&mut info)) };
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok(info)
}

/// Looks a key up in a map of any kind: aya has no socket storage for reading.
pub(super) fn map_lookup<K, V: Default>(map: i32, key: &K) -> io::Result<V> {
    #[repr(C)]
    struct Element {
        map_fd: u64,
        key: u64,
        value: u64,
        flags: u64,
    }
    let mut value = V::default();
    let mut attributes = Element {
        map_fd: u64::try_from(map).map_err(io::Error::other)?,
        key: address(std::ptr::from_ref(key)),
        value: address(std::ptr::from_mut(&mut value)),
        flags: 0,
    };
    bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes)?;
    Ok(value)
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: `attributes` is a `repr(C)` prefix of `union bpf_attr` for this command; its size is passed,
    // and every pointer inside outlives the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

fn raw(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

fn address<T>(pointer: *const T) -> u64 {
    u64::try_from(pointer.addr()).unwrap_or(0)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// Waits until every program that runs now has ended (`MEMBARRIER_CMD_GLOBAL`: an RCU grace period). False where
/// the kernel does not offer it.
pub(super) fn grace_period() -> bool {
    const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;
    // SAFETY: the call takes no pointer.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}
