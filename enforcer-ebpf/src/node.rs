//! The device behind an open file, by the number in its inode.

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE, DeviceRequest, KIND_BLOCK, KIND_CHAR};
use enforcer_common::layout::FileLayout;

use crate::peek;

/// `S_IFMT`, `S_IFCHR`, `S_IFBLK`.
const TYPE_MASK: u16 = 0o170_000;
const TYPE_CHAR: u16 = 0o020_000;
const TYPE_BLOCK: u16 = 0o060_000;
/// Bits of a minor in the kernel's own device numbers (`MINORBITS`).
const MINOR_BITS: u32 = 20;
/// `FMODE_READ` and `FMODE_WRITE`.
const MODE_READ: u32 = 1;
const MODE_WRITE: u32 = 2;

/// The kind of a file of this mode; `None` for what is no device.
#[inline(always)]
pub const fn kind_of(mode: u16) -> Option<u32> {
    match mode & TYPE_MASK {
        TYPE_CHAR => Some(KIND_CHAR),
        TYPE_BLOCK => Some(KIND_BLOCK),
        _ => None,
    }
}

/// What is asked for with a device number of the kernel's.
#[inline(always)]
pub const fn request(kind: u32, number: u32, access: u32) -> DeviceRequest {
    DeviceRequest { kind, major: number >> MINOR_BITS, minor: number & ((1 << MINOR_BITS) - 1), access }
}

/// What is asked for by using an open file as it was opened; `None` for what is no device.
#[inline(always)]
pub fn of_file(file: u64, layout: &FileLayout) -> Option<DeviceRequest> {
    let inode = peek::at::<u64>(file, layout.file_inode)?;
    let kind = kind_of(peek::at::<u16>(inode, layout.inode_mode)?)?;
    let number = peek::at::<u32>(inode, layout.inode_rdev)?;
    let mode = peek::at::<u32>(file, layout.file_mode)?;
    let mut access = 0;
    if mode & MODE_READ != 0 {
        access |= ACCESS_READ;
    }
    if mode & MODE_WRITE != 0 {
        access |= ACCESS_WRITE;
    }
    Some(request(kind, number, access))
}
