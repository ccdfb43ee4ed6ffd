//! What a process runs, from one exec to the next.

use std::sync::Arc;

use enforcer_common::event::{
    PROCESS_ARGUMENTS_ABSENT, PROCESS_ARGUMENTS_BYTES, PROCESS_ARGUMENTS_CUT, PROCESS_EXECUTABLE_CUT,
    ProcessEvent,
};

use crate::event::names::shown;

/// An executable and its arguments: a child shares its parent's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Path, as it was executed; empty when it is not known.
    pub executable: Box<str>,
    /// True when the path is longer.
    pub is_executable_cut: bool,
    /// Arguments, one behind the other.
    arguments: Box<str>,
    /// Where each ends.
    ends: Box<[u16]>,
    /// True when there are more, or longer ones.
    pub is_arguments_cut: bool,
    /// True when they could not be read.
    pub is_arguments_absent: bool,
}

impl Program {
    /// Of an exec.
    #[must_use]
    pub fn of(event: &ProcessEvent) -> Self {
        Self {
            is_executable_cut: event.flags & PROCESS_EXECUTABLE_CUT != 0,
            is_arguments_cut: event.flags & PROCESS_ARGUMENTS_CUT != 0,
            is_arguments_absent: event.flags & PROCESS_ARGUMENTS_ABSENT != 0,
            ..Self::new(event.path(), event.argument_bytes())
        }
    }

    /// From a path and arguments with a NUL behind each, as `/proc/PID/cmdline` has them; what is longer than the kernel
    /// side would tell is cut.
    #[must_use]
    pub fn new(path: &[u8], arguments: &[u8]) -> Self {
        let is_arguments_cut = arguments.len() > PROCESS_ARGUMENTS_BYTES;
        let kept = arguments.get(..PROCESS_ARGUMENTS_BYTES).unwrap_or(arguments);
        let kept = kept.strip_suffix(b"\0").unwrap_or(kept);
        let mut text = String::new();
        let mut ends = Vec::new();
        if !kept.is_empty() || !arguments.is_empty() {
            for argument in kept.split(|byte| *byte == 0) {
                text.push_str(&shown(argument));
                ends.push(u16::try_from(text.len()).unwrap_or(u16::MAX));
            }
        }
        Self {
            executable: shown(path).into(),
            arguments: text.into(),
            ends: ends.into(),
            is_arguments_cut,
            ..Self::default()
        }
    }

    /// The arguments, the name that it was called by first.
    pub fn arguments(&self) -> impl ExactSizeIterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let end = usize::from(*end);
            let argument = self.arguments.get(start..end).unwrap_or_default();
            start = end;
            argument
        })
    }

    /// Memory that it takes, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.executable.len() + self.arguments.len() + size_of_val(&*self.ends)
    }
}

/// A program in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Since when, `CLOCK_BOOTTIME` nanoseconds.
    pub since_ns: u64,
    /// What it runs.
    pub program: Arc<Program>,
    /// In which control group it was then.
    pub cgroup: u64,
    /// Tenant, host service, or the host, by that group.
    pub identity: u32,
    /// User id in the initial namespace.
    pub uid: u32,
    /// Process name, NUL-padded.
    pub command: [u8; 16],
}

impl Image {
    pub(super) fn of(event: &ProcessEvent, program: Arc<Program>) -> Self {
        Self {
            since_ns: event.header.boot_ns,
            program,
            cgroup: event.cgroup,
            identity: event.identity,
            uid: event.uid,
            command: event.command,
        }
    }
}
