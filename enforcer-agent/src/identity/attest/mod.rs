//! Who a caller of the workload socket is: a process, its control group, and so the workload of the policy. It
//! must not know what is served. Every answer is the kernel's (E-4), asked anew for each call; nothing is polled. Where
//! threads of one process are in different groups (threaded control groups), the main thread's is the process's.

mod pidfd;
mod process;
mod procfs;
#[cfg(test)]
mod tests;

use std::fmt::{self, Debug};
use std::io;
use std::sync::Arc;

use enforcer_core::policy::model::Name;
use tokio::net::UnixStream;
use tokio::sync::watch;

pub use self::process::Process;
use super::svid::{Member, Places};

/// From a control group's id, or its path as the kernel reports it, to the ids of everything it lies in, itself
/// included; `None` for a group that is gone or elsewhere.
pub type Lineage<Group> = Arc<dyn Fn(&Group) -> Option<Vec<u64>> + Send + Sync>;

/// Why a caller is nobody. For the log: a caller is told none of this.
#[derive(Debug, thiserror::Error)]
pub enum AttestError {
    /// It ended, or its main thread did: the kernel then no longer says where the process is.
    #[error("the process has ended")]
    Gone,
    /// Kernels before 6.5 name the caller by a number, which is another process's by now.
    #[error("process {pid} is younger than the connection that it should have made")]
    Younger {
        /// The number.
        pid: i32,
    },
    /// No group that the process is in is a workload's.
    #[error("process {pid} is in no workload's control group")]
    NoWorkload {
        /// The process.
        pid: i32,
    },
    /// One workload's group lies in another's.
    #[error("process {pid} is in the control groups of two workloads, {one} and {other}")]
    Two {
        /// The process.
        pid: i32,
        /// The inner one.
        one: Name,
        /// The outer one.
        other: Name,
    },
    /// The kernel does not say.
    #[error("cannot {operation}: {error}")]
    Kernel {
        /// What was asked.
        operation: &'static str,
        /// Why not.
        error: io::Error,
    },
}

/// Says who calls.
pub trait Attest: Debug + Send + Sync {
    /// Takes hold of the process that made a connection: once, when the connection is accepted. A socket that
    /// is handed on, or inherited by a child, stays the process's that connected it.
    ///
    /// # Errors
    /// It has ended, or the kernel does not say.
    fn peer(&self, stream: &UnixStream) -> Result<Process, AttestError>;

    /// The workload of that process now. Asked for every call and every message: the process may have ended or
    /// been moved, and the policy may have changed.
    ///
    /// # Errors
    /// It is no workload's.
    fn attest(&self, process: &Process) -> Result<Member, AttestError>;

    /// Changes when an answer may have changed.
    fn places(&self) -> watch::Receiver<Arc<Places>>;
}

/// Says it from the kernel.
#[derive(Clone)]
pub struct Attestor {
    places: watch::Receiver<Arc<Places>>,
    lineage: Lineage<u64>,
    lineage_of_path: Lineage<str>,
    kernel: Kernel,
}

/// What the running kernel can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kernel {
    /// Everything, and if it does not know, what older ones know.
    Any,
    /// What kernels before 6.5 know: forced in tests.
    #[cfg(test)]
    Old,
}

impl Attestor {
    /// For these control groups. The functions answer for ids and for paths, see [`Lineage`].
    #[must_use]
    pub fn new(
        places: watch::Receiver<Arc<Places>>,
        lineage: Lineage<u64>,
        lineage_of_path: Lineage<str>,
    ) -> Self {
        Self { places, lineage, lineage_of_path, kernel: Kernel::Any }
    }

    fn lineage(&self, process: &Process) -> Result<Option<Vec<u64>>, AttestError> {
        if self.kernel == Kernel::Any
            && let Some(group) = process.group()?
        {
            return Ok((self.lineage)(&group));
        }
        let path = process.group_path()?;
        let lineage = (self.lineage_of_path)(&path);
        // Moved meanwhile, the path may be another group's that was made under the same name.
        if process.group_path()? == path {
            Ok(lineage)
        } else {
            Err(AttestError::NoWorkload { pid: process.pid() })
        }
    }
}

impl Attest for Attestor {
    fn peer(&self, stream: &UnixStream) -> Result<Process, AttestError> {
        match self.kernel {
            Kernel::Any => Process::peer(stream),
            #[cfg(test)]
            Kernel::Old => Process::peer_by_number(stream, u64::MAX),
        }
    }

    fn attest(&self, process: &Process) -> Result<Member, AttestError> {
        process.check()?;
        let lineage = self.lineage(process)?.unwrap_or_default();
        let places = Arc::clone(&self.places.borrow());
        let mut found = lineage.iter().filter_map(|group| places.get(group));
        let pid = process.pid();
        let member = found.next().ok_or(AttestError::NoWorkload { pid })?;
        match found.find(|other| *other != member) {
            None => Ok(member.clone()),
            Some(other) => Err(AttestError::Two {
                pid,
                one: Arc::clone(&member.workload),
                other: Arc::clone(&other.workload),
            }),
        }
    }

    fn places(&self) -> watch::Receiver<Arc<Places>> {
        self.places.clone()
    }
}

impl Debug for Attestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attestor").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}
