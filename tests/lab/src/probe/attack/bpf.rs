//! The few calls of bpf(2) that attacks make, by hand: the lab must not depend on a loader.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use super::pass::owned;

const MAP_CREATE: libc::c_long = 0;
const PROG_LOAD: libc::c_long = 5;
const OBJ_PIN: libc::c_long = 6;
const OBJ_GET: libc::c_long = 7;
const PROG_ATTACH: libc::c_long = 8;
const PROG_DETACH: libc::c_long = 9;
const MAP_GET_NEXT_ID: libc::c_long = 12;
const MAP_GET_FD_BY_ID: libc::c_long = 14;
const RAW_TRACEPOINT_OPEN: libc::c_long = 17;

/// `BPF_PROG_TYPE_CGROUP_DEVICE`
const TYPE_DEVICE: u32 = 15;
/// `BPF_PROG_TYPE_LSM`
const TYPE_LSM: u32 = 29;
/// `BPF_LSM_MAC`
const ATTACH_LSM: u32 = 27;
/// `BPF_MAP_TYPE_ARRAY`
const TYPE_ARRAY: u32 = 2;
/// `BPF_CGROUP_DEVICE`
const ATTACH_DEVICE: u32 = 6;
/// `BPF_F_ALLOW_MULTI`
const ALLOW_MULTI: u32 = 2;
/// `BPF_F_REPLACE`
const REPLACE: u32 = 4;

/// `r0 = 0; exit`: each eight bytes. At a security hook: no objection.
static NO_OBJECTION: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];
/// `r0 = 1; exit`
static ALLOW: [u64; 2] = [0x0000_0001_0000_00b7, 0x0000_0000_0000_0095];

/// `union bpf_attr`, as 32-bit words: no member that is used here lies beyond.
#[derive(Default)]
#[repr(C, align(8))]
struct Words([u32; 32]);

impl Words {
    fn with(mut self, at: usize, word: u32) -> Self {
        if let Some(place) = self.0.get_mut(at) {
            *place = word;
        }
        self
    }

    fn with_pointer<T: ?Sized>(self, at: usize, pointer: *const T) -> Self {
        let address = u64::try_from(pointer.addr()).unwrap_or_default().to_ne_bytes();
        let [a, b, c, d, e, f, g, h] = address;
        self.with(at, u32::from_ne_bytes([a, b, c, d])).with(at + 1, u32::from_ne_bytes([e, f, g, h]))
    }

    fn with_descriptor(self, at: usize, descriptor: RawFd) -> Self {
        self.with(at, u32::try_from(descriptor).unwrap_or(u32::MAX))
    }

    fn call(&mut self, command: libc::c_long) -> io::Result<libc::c_long> {
        // SAFETY: the words, and what they point to, outlive the call; the size is theirs.
        match unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut self.0, size_of::<Self>()) } {
            -1 => Err(io::Error::last_os_error()),
            result => Ok(result),
        }
    }
}

/// A device program that lets everything pass, as container runtimes attach to privileged containers.
pub(super) fn allow_all_devices() -> io::Result<OwnedFd> {
    let words = Words::default().with(0, TYPE_DEVICE).with(1, 2);
    owned(words.with_pointer(2, ALLOW.as_ptr()).with_pointer(4, c"GPL".as_ptr()).call(PROG_LOAD)?)
}

/// Hangs a program that objects to nothing on a security hook, and takes it down again.
pub(crate) fn lsm_program(function: u32) -> io::Result<()> {
    let words = Words::default().with(0, TYPE_LSM).with(1, 2).with(17, ATTACH_LSM).with(27, function);
    let mut words = words.with_pointer(2, NO_OBJECTION.as_ptr()).with_pointer(4, c"GPL".as_ptr());
    let program = owned(words.call(PROG_LOAD)?)?;
    let mut words = Words::default().with_descriptor(2, program.as_raw_fd());
    owned(words.call(RAW_TRACEPOINT_OPEN)?).map(drop)
}

/// Beside what is there, or in the place of one that was attached so.
pub(super) fn attach(group: &File, program: &OwnedFd, instead: Option<&OwnedFd>) -> io::Result<()> {
    let words = Words::default()
        .with_descriptor(0, group.as_raw_fd())
        .with_descriptor(1, program.as_raw_fd())
        .with(2, ATTACH_DEVICE);
    let mut words = match instead {
        None => words.with(3, ALLOW_MULTI),
        Some(old) => words.with(3, ALLOW_MULTI | REPLACE).with_descriptor(4, old.as_raw_fd()),
    };
    words.call(PROG_ATTACH).map(drop)
}

pub(super) fn detach(group: &File, program: &OwnedFd) -> io::Result<()> {
    let words = Words::default()
        .with_descriptor(0, group.as_raw_fd())
        .with_descriptor(1, program.as_raw_fd())
        .with(2, ATTACH_DEVICE);
    let mut words = words;
    words.call(PROG_DETACH).map(drop)
}

/// A map of one number.
pub(super) fn make_map() -> io::Result<OwnedFd> {
    let words = Words::default().with(0, TYPE_ARRAY).with(1, 4).with(2, 8).with(3, 1);
    let mut words = words;
    owned(words.call(MAP_CREATE)?)
}

/// Gives a program a name.
pub(super) fn pin(program: &OwnedFd, path: &CStr) -> io::Result<()> {
    let words = Words::default().with_pointer(0, path.as_ptr());
    words.with_descriptor(2, program.as_raw_fd()).call(OBJ_PIN).map(drop)
}

/// The first map of the machine that there is.
pub(super) fn some_map() -> io::Result<OwnedFd> {
    let mut next = Words::default();
    next.call(MAP_GET_NEXT_ID)?;
    let [_, id, ..] = next.0;
    owned(Words::default().with(0, id).call(MAP_GET_FD_BY_ID)?)
}

pub(super) fn open_pin(path: &CStr) -> io::Result<OwnedFd> {
    owned(Words::default().with_pointer(0, path.as_ptr()).call(OBJ_GET)?)
}
