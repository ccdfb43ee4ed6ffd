//! The other end of a connection: a process that is held on to, and whether it may hope to be somebody.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::identity::attest::Process;

/// How a caller was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reception {
    /// As a workload.
    Known,
    /// As nobody; it may be somebody by its next call.
    Stranger,
    /// As one too many.
    Surplus,
}

/// A caller, as long as its connection lasts.
#[derive(Debug)]
pub(super) struct Caller {
    /// The process; none when it was gone before it could be held.
    pub(super) process: Option<Process>,
    /// How it was received.
    pub(super) reception: Reception,
    used: AtomicBool,
    open: AtomicUsize,
}

impl Caller {
    pub(super) const fn new(process: Option<Process>, reception: Reception) -> Self {
        Self { process, reception, used: AtomicBool::new(true), open: AtomicUsize::new(0) }
    }

    /// Its number, for the log.
    pub(super) fn pid(&self) -> i32 {
        self.process.as_ref().map_or(0, Process::pid)
    }

    /// A call was made.
    pub(super) fn use_it(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// A stream was opened.
    pub(super) fn opened(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream has ended.
    pub(super) fn closed(&self) {
        self.use_it();
        self.open.fetch_sub(1, Ordering::Relaxed);
    }

    /// True when nothing was called since this was last asked, and no stream is open.
    pub(super) fn is_idle(&self) -> bool {
        !self.used.swap(false, Ordering::Relaxed) && self.open.load(Ordering::Relaxed) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_stream_or_a_call_is_use() {
        let caller = Caller::new(None, Reception::Known);
        assert!(!caller.is_idle(), "it has just come");
        assert!(caller.is_idle());
        caller.use_it();
        assert!(!caller.is_idle());
        caller.opened();
        assert!(!caller.is_idle());
        caller.closed();
        assert!(!caller.is_idle());
        assert!(caller.is_idle());
    }
}
