//! The door between the policy pipeline and the kernel: what the one asks and the other answers. The agent's
//! `kernel/` room implements it; unit tests of the pipeline put a fake behind it.

use crate::policy::image::{Digest, Entries, Image, Plan};

/// Why the kernel could not take a plan. Whatever happened, what was in force still is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnforceError {
    /// A table has no room.
    #[error("table {table} holds {used} of {capacity} entries and the change needs {needed} more")]
    Full {
        /// Table name.
        table: &'static str,
        /// Entries now.
        used: u64,
        /// Entries at most.
        capacity: u64,
        /// Entries that would be added before old ones can go.
        needed: u64,
    },
    /// A system call failed.
    #[error("{operation} on {table}: {error}")]
    Kernel {
        /// What was tried.
        operation: &'static str,
        /// On which table or hook.
        table: String,
        /// The error.
        error: String,
    },
    /// The read-back differs from what was written.
    #[error("the kernel holds something else than was written: {difference}")]
    Mismatch {
        /// What differs, first of all differences.
        difference: String,
    },
}

/// What stands in the kernel after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Over what was read back.
    pub digest: Digest,
    /// Entries written to policy tables.
    pub written: u64,
    /// Entries deleted.
    pub deleted: u64,
}

/// The kernel as the policy pipeline uses it. `prepare`, then `commit` or `abort`.
pub trait Enforcement {
    /// Writes the plan's tenants beside what is in force and reads them back. Changes no verdict.
    ///
    /// # Errors
    /// Nothing was left behind.
    fn prepare(&mut self, plan: &Plan) -> Result<Prepared, EnforceError>;

    /// Puts a prepared plan in force under a revision: removals, the one switch, additions, read-back.
    ///
    /// # Errors
    /// What was in force before is in force again.
    fn commit(&mut self, prepared: Prepared, plan: &Plan, revision: u64) -> Result<Committed, EnforceError>;

    /// Takes back what `prepare` wrote.
    fn abort(&mut self, prepared: Prepared);

    /// Clears what the last commit left behind (old generations). Called when nobody waits.
    ///
    /// # Errors
    /// It is tried again at the next commit.
    fn sweep(&mut self) -> Result<(), EnforceError>;

    /// Everything the tables hold now.
    ///
    /// # Errors
    /// A table could not be read.
    fn read_back(&self) -> Result<Image, EnforceError>;

    /// Digest of what was read back last, and the revision the kernel reports.
    fn digest(&self) -> (Digest, u64);

    /// Entries the tables can hold.
    fn capacity(&self) -> Entries;
}

/// A plan that waits in the kernel beside the policy in force.
#[derive(Debug)]
#[must_use = "commit it, or abort it"]
pub struct Prepared {
    /// The generation it is stored under.
    pub generation: u32,
    /// Entries written.
    pub written: u64,
}
