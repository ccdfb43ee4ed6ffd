//! A device, by the number that the kernel knows it by.

use std::fmt;

use enforcer_common::maps::CustodyKey;

use super::class::Kind;

/// One device of this node. Its number is the driver's, and may be another's after a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceNumber {
    /// Character or block.
    pub kind: Kind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl DeviceNumber {
    /// As the kernel's tables have it; `None` for a kind that there is not.
    #[must_use]
    pub const fn from_words(kind: u32, major: u32, minor: u32) -> Option<Self> {
        match Kind::from_number(kind) {
            Some(kind) => Some(Self { kind, major, minor }),
            None => None,
        }
    }

    /// Key of its custody.
    #[must_use]
    pub const fn custody_key(self) -> CustodyKey {
        CustodyKey { kind: self.kind.number(), major: self.major, minor: self.minor }
    }
}

impl fmt::Display for DeviceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:{}", self.kind.letter(), self.major, self.minor)
    }
}
