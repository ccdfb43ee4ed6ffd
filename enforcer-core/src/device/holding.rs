//! Who holds a gated device, as the kernel tells it: open files, descriptors, mappings.

use enforcer_common::identity;
use enforcer_common::maps::{CUSTODY_CLOSED, CUSTODY_OPEN, CustodyValue};

use super::number::DeviceNumber;

/// One look at every process of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HandleSweep {
    /// `CLOCK_BOOTTIME` nanoseconds when it began.
    pub boot_ns: u64,
    /// Descriptors and mappings of processes, found by walking over all of them: the same on every kernel, and also what
    /// is older than the agent.
    pub holdings: Vec<Holding>,
    /// Open files that something still refers to, whatever it is.
    pub files: Files,
    /// Control groups that ever held one of the devices: an open or a receipt was let through. Of devices that were not
    /// forgotten since.
    pub touched: Vec<Touched>,
    /// Why the walk saw less than everything; `None` when it saw all.
    pub lacking: Option<String>,
}

/// What the kernel's own account of open files says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// Every open and every last release since the hooks were attached was seen.
    Known {
        /// `CLOCK_BOOTTIME` nanoseconds from which on the account is whole: what was opened before is not in it.
        since_ns: u64,
        /// What is open now.
        open: Vec<OpenFile>,
        /// Files that found the account full, since it was made: where this is not 0, the account proves nothing.
        lost: u64,
    },
    /// There is no such account here, for this reason.
    Absent(String),
}

impl Default for Files {
    fn default() -> Self {
        Self::Absent("not looked at".to_owned())
    }
}

/// An open file of a gated device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// The address of the kernel's `struct file`: equal numbers are the same open file, and nothing else is to be read from
    /// it. Shown to nobody.
    pub file: u64,
    /// Which device.
    pub device: DeviceNumber,
    /// `CLOCK_BOOTTIME` nanoseconds of its open.
    pub opened_ns: u64,
    /// Control group of the process that opened it.
    pub cgroup: u64,
    /// Tenant or host service of that process.
    pub identity: u32,
    /// That process (thread group).
    pub process: u32,
    /// `enforcer_common::device::ACCESS_*` bits.
    pub access: u32,
    /// How often another process received it.
    pub receipts: u32,
}

/// By what a process holds a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// A descriptor of this number.
    Descriptor(u32),
    /// A mapping that begins at this address.
    Mapping(u64),
}

/// A process that holds a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Which device.
    pub device: DeviceNumber,
    /// The open file behind it.
    pub file: u64,
    /// By what.
    pub via: Via,
    /// The process (thread group), in the initial namespace.
    pub process: u32,
    /// Its control group.
    pub cgroup: u64,
    /// Tenant or host service by that group, now; `enforcer_common::identity::HOST` by none.
    pub identity: u32,
    /// `enforcer_common::device::ACCESS_*` bits of the open file.
    pub access: u32,
}

/// A control group that was let through to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    /// Its id.
    pub cgroup: u64,
    /// Which device.
    pub device: DeviceNumber,
    /// `CLOCK_BOOTTIME` nanoseconds of the first time.
    pub first_ns: u64,
    /// Tenant or host service at that time.
    pub identity: u32,
}

/// Where a device is between two tenants, as the gate in the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateCustody {
    /// Closed to every tenant.
    Closed,
    /// Open to this tenant's number.
    Owner(u32),
    /// Open to every tenant that was granted it.
    Granted,
}

impl GateCustody {
    /// What the kernel's table has: every state that is not known is closed.
    #[must_use]
    pub const fn from_value(value: CustodyValue) -> Self {
        match (value.state, value.owner) {
            (CUSTODY_OPEN, identity::UNKNOWN) => Self::Granted,
            (CUSTODY_OPEN, owner) => Self::Owner(owner),
            _ => Self::Closed,
        }
    }

    /// As the kernel's table has it.
    #[must_use]
    pub const fn value(self) -> CustodyValue {
        match self {
            Self::Closed => CustodyValue { state: CUSTODY_CLOSED, owner: identity::UNKNOWN },
            Self::Owner(owner) => CustodyValue { state: CUSTODY_OPEN, owner },
            Self::Granted => CustodyValue { state: CUSTODY_OPEN, owner: identity::UNKNOWN },
        }
    }
}

/// Whether anybody still has a device: what the proof rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacancy {
    /// Control groups that ever held it and have processes.
    pub populated: Vec<u64>,
    /// Processes with a descriptor or a mapping.
    pub holders: Vec<u32>,
    /// Open files that something refers to, in the account of the kernel's hooks; `None` where there is no whole account.
    pub files: Option<usize>,
    /// Processes that the driver itself lists; `None` where there is no driver to ask.
    pub driver: Option<Vec<u32>>,
    /// What could not be looked at, in sentences: with any of these nothing is proven.
    pub lacking: Vec<String>,
}

impl Vacancy {
    /// Every source says that nobody has it, and no source failed. A source that this node cannot have (`None`) does not
    /// stand in the way: the control groups' being empty is proof by itself, unless the file went to another group
    /// unseen, which is what only the account of open files would show.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.populated.is_empty()
            && self.holders.is_empty()
            && self.files.unwrap_or(0) == 0
            && self.driver.as_ref().is_none_or(Vec::is_empty)
            && self.lacking.is_empty()
    }
}
