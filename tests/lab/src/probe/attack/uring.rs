//! The smallest io_uring that can open, read and command a file: one entry at a time.

use std::ffi::CStr;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result, bail};
use enforcer_lab::verdict::Verdict;
use nix::sys::mman::{MapFlags, ProtFlags, mmap};

use super::pass::owned;

const ENTRIES: u32 = 4;
/// Enough for a ring of this size: `sq_off.array` and `cq_off.cqes` lie well below.
const RING_BYTES: NonZeroUsize = NonZeroUsize::new(4096).unwrap();
/// `IORING_OFF_SQES`
const ENTRIES_AT: i64 = 0x1000_0000;
/// `IORING_FEAT_SINGLE_MMAP`
const SINGLE_MAP: u32 = 1;
/// `IORING_ENTER_GETEVENTS`
const GET_EVENTS: u32 = 1;
/// `IORING_REGISTER_FILES`
const REGISTER_FILES: u32 = 2;
/// `IOSQE_FIXED_FILE`
const FIXED_FILE: u8 = 1;

const OP_OPENAT: u8 = 18;
const OP_READ: u8 = 22;
const OP_COMMAND: u8 = 46;
/// `BLOCK_URING_CMD_DISCARD`, `_IO(0x12, 0)`. Since 6.12.
const DISCARD: u64 = 0x1200;

/// `struct io_sqring_offsets` and `struct io_cqring_offsets`, as far as both agree in size.
#[repr(C)]
#[derive(Default)]
struct Offsets([u32; 10]);

/// `struct io_uring_params`
#[repr(C)]
#[derive(Default)]
struct Parameters {
    entries: [u32; 2],
    flags: u32,
    thread: [u32; 2],
    features: u32,
    reserved: [u32; 4],
    submission: Offsets,
    completion: Offsets,
}

/// `struct io_uring_sqe`
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    priority: u16,
    descriptor: i32,
    offset: u64,
    address: u64,
    length: u32,
    operation_flags: u32,
    user: u64,
    rest: [u64; 3],
}

/// A ring. Forked processes share it, as they do its memory.
pub(crate) struct Ring {
    descriptor: OwnedFd,
    rings: NonNull<u8>,
    entries: NonNull<Entry>,
    parameters: Parameters,
}

impl Ring {
    /// `None` where the kernel has no io_uring, or keeps it from us.
    pub(crate) fn new() -> Result<Option<Self>> {
        let mut parameters = Parameters::default();
        // SAFETY: the parameters outlive the call; the kernel makes the descriptor that it answers with.
        let made = owned(unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut parameters) });
        let descriptor = match made {
            Ok(descriptor) => descriptor,
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                return Ok(None);
            }
            Err(error) => return Err(error).context("io_uring_setup"),
        };
        if parameters.features & SINGLE_MAP == 0 {
            bail!("this kernel maps the two rings of io_uring apart");
        }
        let (rings, entries) = (map(&descriptor, 0)?.cast(), map(&descriptor, ENTRIES_AT)?.cast());
        Ok(Some(Self { descriptor, rings, entries, parameters }))
    }

    pub(crate) fn absent() -> Verdict {
        Verdict::Absent("io_uring is off on this machine".to_owned())
    }

    /// `openat()`, for reading and writing.
    pub(super) fn open(&mut self, path: &CStr) -> Result<io::Result<OwnedFd>> {
        let flags = u32::try_from(libc::O_RDWR)?;
        let entry = Entry {
            opcode: OP_OPENAT,
            descriptor: libc::AT_FDCWD,
            address: address_of(path.as_ptr())?,
            operation_flags: flags,
            ..Entry::default()
        };
        Ok(self.submit(entry)?.and_then(|number| owned(number.into())))
    }

    /// Reads the first bytes of a file.
    pub(super) fn read(&mut self, file: BorrowedFd<'_>) -> Result<io::Result<i32>> {
        self.read_from(file.as_raw_fd(), 0)
    }

    /// Lets the ring itself refer to a file.
    pub(crate) fn register(&mut self, file: BorrowedFd<'_>) -> Result<()> {
        let files = [file.as_raw_fd()];
        let ring = self.descriptor.as_raw_fd();
        // SAFETY: the one number outlives the call.
        let done = unsafe {
            libc::syscall(libc::SYS_io_uring_register, ring, REGISTER_FILES, files.as_ptr(), 1_u32)
        };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("io_uring_register") }
    }

    /// Reads the first bytes of the registered file.
    pub(crate) fn read_registered(&mut self) -> Result<io::Result<i32>> {
        self.read_from(0, FIXED_FILE)
    }

    /// Has the driver drop the last sector of the first page.
    pub(super) fn discard(&mut self, file: BorrowedFd<'_>) -> Result<io::Result<i32>> {
        let entry = Entry {
            opcode: OP_COMMAND,
            descriptor: file.as_raw_fd(),
            offset: DISCARD,
            address: 4096 - 512,
            rest: [0, 512, 0],
            ..Entry::default()
        };
        self.submit(entry)
    }

    fn read_from(&mut self, descriptor: i32, flags: u8) -> Result<io::Result<i32>> {
        let mut bytes = [0_u8; 512];
        let entry = Entry {
            opcode: OP_READ,
            flags,
            descriptor,
            address: address_of(bytes.as_mut_ptr())?,
            length: 512,
            ..Entry::default()
        };
        self.submit(entry)
    }

    /// Puts one entry in, and waits for what came of it.
    fn submit(&mut self, entry: Entry) -> Result<io::Result<i32>> {
        let [_, tail, mask, _, _, _, array, ..] = self.parameters.submission.0;
        let at = self.word(tail)?.load(Ordering::Acquire);
        let index = at & self.word(mask)?.load(Ordering::Relaxed);
        // SAFETY: the index is below the number of entries, all of which are mapped; the kernel looks at this one after
        // the tail has moved.
        unsafe { self.entries.add(usize::try_from(index)?).write(entry) };
        self.word(array + 4 * index)?.store(index, Ordering::Relaxed);
        self.word(tail)?.store(at.wrapping_add(1), Ordering::Release);
        let nothing = std::ptr::null::<libc::c_void>();
        let ring = self.descriptor.as_raw_fd();
        // SAFETY: integers, and no signal mask.
        let taken = unsafe {
            libc::syscall(libc::SYS_io_uring_enter, ring, 1_u32, 1_u32, GET_EVENTS, nothing, 0_usize)
        };
        if taken != 1 {
            return Err(io::Error::last_os_error()).context("io_uring_enter");
        }
        self.complete()
    }

    fn complete(&mut self) -> Result<io::Result<i32>> {
        let [head, tail, mask, _, _, completions, ..] = self.parameters.completion.0;
        let at = self.word(head)?.load(Ordering::Acquire);
        if at == self.word(tail)?.load(Ordering::Acquire) {
            bail!("nothing came back from io_uring");
        }
        // A completion is 16 bytes, the result after the first eight.
        let index = at & self.word(mask)?.load(Ordering::Relaxed);
        let word = self.word(completions + 16 * index + 8)?.load(Ordering::Relaxed);
        self.word(head)?.store(at.wrapping_add(1), Ordering::Release);
        let result = i32::from_ne_bytes(word.to_ne_bytes());
        Ok(if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) })
    }

    /// A word of the rings, which the kernel reads and writes too.
    fn word(&self, offset: u32) -> Result<&AtomicU32> {
        let offset = usize::try_from(offset)?;
        if offset % 4 != 0 || offset + 4 > RING_BYTES.get() {
            bail!("io_uring keeps a word at {offset}, beyond what is mapped");
        }
        // SAFETY: the word lies inside the mapping, which lives as long as the ring, and is aligned.
        Ok(unsafe { self.rings.add(offset).cast::<AtomicU32>().as_ref() })
    }
}

fn map(ring: &OwnedFd, offset: i64) -> Result<NonNull<libc::c_void>> {
    let (protection, flags) = (ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED);
    // SAFETY: a new mapping, at an address that the kernel chooses. It stays until the process ends: rings are few.
    unsafe { mmap(None, RING_BYTES, protection, flags, ring.as_fd(), offset) }.context("map io_uring")
}

fn address_of<T>(pointer: *const T) -> Result<u64> {
    Ok(u64::try_from(pointer.addr())?)
}
