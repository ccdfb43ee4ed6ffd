//! A process that begins, runs something else, or ends.

use core::mem::offset_of;

use super::Header;

/// Bytes of an executable's path that are kept.
pub const PROCESS_EXECUTABLE_BYTES: usize = 128;
/// Bytes of arguments that are kept.
pub const PROCESS_ARGUMENTS_BYTES: usize = 256;

/// The path of the executable is longer than what is kept.
pub const PROCESS_EXECUTABLE_CUT: u32 = 1 << 0;
/// The arguments are longer than what is kept.
pub const PROCESS_ARGUMENTS_CUT: u32 = 1 << 1;
/// The arguments could not be read.
pub const PROCESS_ARGUMENTS_ABSENT: u32 = 1 << 2;
/// The start time is not known here: the kernel does not say where it is.
pub const PROCESS_START_ABSENT: u32 = 1 << 3;
/// The parent is not known here, for the same reason.
pub const PROCESS_PARENT_ABSENT: u32 = 1 << 4;

/// What is written of a process that forks or ends: all before its executable.
pub const PROCESS_SHORT_BYTES: usize = offset_of!(ProcessEvent, executable);

/// One event of a process: whole for an exec, [`PROCESS_SHORT_BYTES`] long for a fork and an exit.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessEvent {
    /// When, where, what.
    pub header: Header,
    /// The control group of the process.
    pub cgroup: u64,
    /// When it was made, `CLOCK_BOOTTIME` nanoseconds: with its id, its name for ever.
    pub start_ns: u64,
    /// The same of its parent.
    pub parent_start_ns: u64,
    /// Process id (thread group) in the initial namespace.
    pub process: u32,
    /// Its parent's.
    pub parent: u32,
    /// User id in the initial namespace.
    pub uid: u32,
    /// Tenant, host service, or [`crate::identity::HOST`].
    pub identity: u32,
    /// As `wait()` tells it: `status << 8 | signal`.
    pub exit_code: u32,
    /// `PROCESS_*` bits.
    pub flags: u32,
    /// Bytes of `executable` that are its.
    pub executable_length: u16,
    /// Bytes of `arguments` that are its.
    pub arguments_length: u16,
    /// Always zero.
    pub reserved: u32,
    /// Process name, NUL-padded; a label for people, never an identity.
    pub command: [u8; 16],
    /// The path that was executed.
    pub executable: [u8; PROCESS_EXECUTABLE_BYTES],
    /// The arguments, each with a NUL behind it.
    pub arguments: [u8; PROCESS_ARGUMENTS_BYTES],
}

impl Default for ProcessEvent {
    fn default() -> Self {
        Self {
            header: Header::default(),
            cgroup: 0,
            start_ns: 0,
            parent_start_ns: 0,
            process: 0,
            parent: 0,
            uid: 0,
            identity: 0,
            exit_code: 0,
            flags: 0,
            executable_length: 0,
            arguments_length: 0,
            reserved: 0,
            command: [0; 16],
            executable: [0; PROCESS_EXECUTABLE_BYTES],
            arguments: [0; PROCESS_ARGUMENTS_BYTES],
        }
    }
}

impl ProcessEvent {
    /// What is known of the path that was executed.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        let length = usize::from(self.executable_length);
        self.executable.get(..length).unwrap_or(&self.executable)
    }

    /// What is known of the arguments.
    #[must_use]
    pub fn argument_bytes(&self) -> &[u8] {
        let length = usize::from(self.arguments_length);
        self.arguments.get(..length).unwrap_or(&self.arguments)
    }
}
