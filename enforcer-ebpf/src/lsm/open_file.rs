//! What an open file is of.

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE, DeviceRequest, KIND_BLOCK, KIND_CHAR};

use super::Pointer;
use super::offsets::{field, offset};

/// `S_IFMT` and two of its values (`linux/stat.h`).
const FORMAT: u16 = 0o170_000;
const CHARACTER: u16 = 0o020_000;
const BLOCK: u16 = 0o060_000;
/// Bits of a minor number inside the kernel (`linux/kdev_t.h`).
const MINOR_BITS: u32 = 20;
const MINOR_MASK: u32 = (1 << MINOR_BITS) - 1;
/// `FMODE_READ`, `FMODE_WRITE` (`linux/fs.h`).
const MODE_READ: u32 = 1;
const MODE_WRITE: u32 = 2;

/// The device that a file is of, and what it was opened for; `None` for everything that is no device.
#[inline(always)]
pub fn device_of(file: Pointer) -> Option<DeviceRequest> {
    let inode = field!(file, file_inode, Pointer);
    if inode.is_null() {
        return None;
    }
    let kind = kind_of(field!(inode, inode_mode, u16))?;
    let (major, minor) = split(field!(inode, inode_rdev, u32));
    let mode = field!(file, file_mode, u32);
    let read = if mode & MODE_READ != 0 { ACCESS_READ } else { 0 };
    let write = if mode & MODE_WRITE != 0 { ACCESS_WRITE } else { 0 };
    Some(DeviceRequest { kind, major, minor, access: read | write })
}

#[inline(always)]
pub fn kind_of(mode: u16) -> Option<u32> {
    match mode & FORMAT {
        CHARACTER => Some(KIND_CHAR),
        BLOCK => Some(KIND_BLOCK),
        _ => None,
    }
}

/// Major and minor of a number as the kernel has it inside.
#[inline(always)]
pub const fn split(number: u32) -> (u32, u32) {
    (number >> MINOR_BITS, number & MINOR_MASK)
}
