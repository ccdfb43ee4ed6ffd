//! What can be done with an open device.

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};

use enforcer_lab::verdict::Verdict;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// `BLKGETSIZE64` of linux/fs.h.
const BLOCK_SIZE: libc::c_ulong = 0x8008_1272;
/// `_IO('E', 0)`: the GPU of these tests answers it with success.
const GPU_HELLO: libc::c_ulong = 0x4500;
/// One page.
const MAPPED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Reads the first bytes.
pub(crate) fn read(device: &File) -> Verdict {
    Verdict::from(device.read_at(&mut [0; 512], 0))
}

/// Writes the first bytes as they are.
pub(crate) fn write(device: &File) -> Verdict {
    Verdict::from(device.write_at(&[0x5a; 512], 0))
}

/// Asks the driver something.
pub(crate) fn ioctl(device: &File) -> io::Result<()> {
    let request = if device.metadata()?.file_type().is_block_device() { BLOCK_SIZE } else { GPU_HELLO };
    let mut answer = 0_u64;
    // SAFETY: the answer is at most eight bytes long and outlives the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), request, &raw mut answer) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A page of the device in this process's memory.
pub(crate) struct Mapping(std::ptr::NonNull<libc::c_void>);

impl Mapping {
    pub(crate) fn of(device: impl AsFd) -> io::Result<Self> {
        // SAFETY: a new mapping, at an address that the kernel chooses.
        let mapped = unsafe { mmap(None, MAPPED, ProtFlags::PROT_READ, MapFlags::MAP_SHARED, device, 0) };
        mapped.map(Self).map_err(io::Error::from)
    }

    pub(crate) fn first_byte(&self) -> u8 {
        // SAFETY: the page is mapped for as long as `self` lives, and a byte has no alignment.
        unsafe { self.0.cast::<u8>().as_ptr().read_volatile() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: nothing refers to the page any more.
        let _gone = unsafe { munmap(self.0, MAPPED.get()) };
    }
}

/// Maps a page and looks at it.
pub(crate) fn map(device: &File) -> Verdict {
    Verdict::from(Mapping::of(device).map(|mapping| mapping.first_byte()))
}
