//! A block device of ours with memory that keeps what was written: a loop device over a file that has no name any more.
//! It stands for an accelerator where a machine cannot make a character device, and can be mapped, which those of CUSE
//! cannot.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The major number of loop devices.
pub const MAJOR: u32 = 7;
/// `LOOP_CTL_GET_FREE`
const GET_FREE: libc::c_ulong = 0x4c82;
/// `LOOP_CONFIGURE`. Since 5.8.
const CONFIGURE: libc::c_ulong = 0x4c0a;
/// `LO_FLAGS_AUTOCLEAR`: it goes with the last that has it open.
const AUTOCLEAR: u32 = 4;
/// How often another process may be faster in taking the free one.
const TRIES: u32 = 16;

/// `struct loop_config`, as 32-bit words.
#[repr(C, align(8))]
struct Configuration([u32; 76]);

/// The word of `loop_config.fd`.
const WORD_FILE: usize = 0;
/// The word of `loop_config.info.lo_flags`.
const WORD_FLAGS: usize = 15;

/// A device, for as long as this lives.
#[derive(Debug)]
pub struct Disk {
    minor: u32,
    _open: File,
}

impl Disk {
    /// A device of this size, all zero.
    ///
    /// # Errors
    /// This machine has no loop devices, or none left.
    pub fn new(bytes: u64) -> Result<Self> {
        let file = backing(bytes).context("the disk's file")?;
        let control = File::options().read(true).write(true).open("/dev/loop-control");
        let control = control.context("/dev/loop-control")?;
        let mut last = None;
        for _ in 0..TRIES {
            // SAFETY: the request takes no argument.
            let minor = u32::try_from(unsafe { libc::ioctl(control.as_raw_fd(), GET_FREE) })
                .map_err(|_| io::Error::last_os_error())
                .context("a free loop device")?;
            match attach(minor, &file) {
                Ok(open) => return Ok(Self { minor, _open: open }),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("none was free"))).context("a loop device")
    }

    /// Its minor number.
    #[must_use]
    pub const fn minor(&self) -> u32 {
        self.minor
    }
}

fn backing(bytes: u64) -> io::Result<File> {
    let path = PathBuf::from(format!("/dev/shm/enforcer-disk-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    file.set_len(bytes)?;
    Ok(file)
}

fn attach(minor: u32, file: &File) -> io::Result<File> {
    let device = File::options().read(true).write(true).open(format!("/dev/loop{minor}"))?;
    let mut configuration = Configuration([0; 76]);
    configuration.0[WORD_FILE] = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    configuration.0[WORD_FLAGS] = AUTOCLEAR;
    // SAFETY: the structure has the size that the request asks for, and outlives the call.
    match unsafe { libc::ioctl(device.as_raw_fd(), CONFIGURE, &raw const configuration) } {
        0 => Ok(device),
        _ => Err(io::Error::last_os_error()),
    }
}
