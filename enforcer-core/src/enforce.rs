//! The door between the policy pipeline and the kernel: what the one asks and the other answers. The agent's
//! `kernel/` room implements it; unit tests of the pipeline put a fake behind it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::device::holding::{GateCustody, HandleSweep};
use crate::device::number::DeviceNumber;
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

    /// Puts a response in the place of a tenant's earlier one, or ends it. It holds from now on, with or without an
    /// agent, until its time is up.
    ///
    /// # Errors
    /// The table could not be written; an earlier response stands.
    fn set_response(&mut self, tenant: u32, response: Option<&Response>) -> Result<(), EnforceError>;

    /// How much is told of the sockets of these tenants, and of all others what the node's settings say.
    ///
    /// # Errors
    /// The table could not be written; some tenants may have their new level.
    fn set_aggregation(&mut self, tenants: &BTreeMap<u32, Aggregation>) -> Result<(), EnforceError>;

    /// Says where a device is between two tenants; with `None` nothing is said of it any more, and the gate's own default
    /// holds. It holds from now on, with or without an agent.
    ///
    /// # Errors
    /// The table could not be written; what stood there still stands.
    fn set_custody(&mut self, device: DeviceNumber, custody: Option<GateCustody>)
    -> Result<(), EnforceError>;

    /// Forgets which control groups held a device, once nobody does.
    ///
    /// # Errors
    /// The table could not be written; some may be forgotten.
    fn forget_touched(&mut self, device: DeviceNumber) -> Result<(), EnforceError>;
}

/// What the kernel does to the new flows of a tenant for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// What.
    pub mode: ResponseMode,
    /// For how long, from when it is set.
    pub lasts: Duration,
}

/// How strict a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseMode {
    /// No new flow.
    DenyNew,
    /// So many a second.
    Limit {
        /// New flows a second, and as many at once.
        flows_per_second: NonZeroU32,
    },
}

/// How much is told of a tenant's sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aggregation {
    /// Nothing beside the first packet of each flow.
    None,
    /// And the end of each connection, with what it moved.
    Connections,
    /// And each change of a connection's state.
    States,
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

/// Whether a hook does what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookState {
    /// Attached, and a canary operation was seen to go through it.
    Verified,
    /// Attached, not proven.
    Declared,
    /// Not there, for this reason.
    Absent(String),
}

/// One hook of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookReport {
    /// `tcx/from_workload`, `cgroup/connect4`, `cgroup/device`, ...
    pub name: &'static str,
    /// Whether it does what it says.
    pub state: HookState,
    /// Kernel program id; 0 when absent.
    pub program_id: u32,
    /// Kernel program tag, hexadecimal; empty when absent.
    pub program_tag: String,
    /// Interfaces, cgroup paths or tracepoints.
    pub attached_to: Vec<String>,
}

/// How full a table is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapacityReport {
    /// Table name.
    pub table: &'static str,
    /// Entries now.
    pub used: u64,
    /// Entries at most.
    pub capacity: u64,
    /// Kernel memory in bytes.
    pub memory_bytes: u64,
}

/// What the kernel side says of itself, beside the policy.
pub trait Inspection {
    /// Every hook, attached or not.
    fn hooks(&self) -> Vec<HookReport>;

    /// Every table.
    ///
    /// # Errors
    /// A table could not be read.
    fn capacities(&self) -> Result<Vec<CapacityReport>, EnforceError>;

    /// Verdict counters, summed over processors.
    ///
    /// # Errors
    /// The table could not be read.
    fn counters(
        &self,
    ) -> Result<Vec<(enforcer_common::maps::CounterKey, enforcer_common::maps::CounterValue)>, EnforceError>;

    /// What was lost, summed over processors, in the order of source and cause.
    ///
    /// # Errors
    /// The table could not be read.
    fn losses(&self) -> Result<Vec<Loss>, EnforceError>;

    /// What the gate holds of devices between two tenants.
    ///
    /// # Errors
    /// The table could not be read.
    fn custody(&self) -> Result<BTreeMap<DeviceNumber, GateCustody>, EnforceError>;

    /// Walks over every process of the node, and reads the account of open files.
    ///
    /// # Errors
    /// Neither could be done.
    fn handles(&self) -> Result<HandleSweep, EnforceError>;

    /// Proves every hook again, on canaries of its own.
    ///
    /// # Errors
    /// The canaries could not be set up. What was known of the hooks stands.
    fn prove_hooks(&mut self) -> Result<Vec<HookReport>, EnforceError>;

    /// Runs the live `from_workload` and `to_workload` code on an Ethernet frame, with tables of its own for
    /// flows, counters and events, so that nothing is recorded. Answers with the verdict's action
    /// (`enforcer_common::verdict`) of the first program that refuses, else of the last.
    ///
    /// # Errors
    /// Why it cannot be run.
    fn prove(&self, request: &ProofRequest) -> Result<Proof, EnforceError>;
}

/// A total of what the kernel could not tell or remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// Identity of the source; `identity::UNKNOWN` too for what was lost when the table of losses was full.
    pub source: u32,
    /// `enforcer_common::maps::LOST_*`.
    pub cause: u32,
    /// How often, since the programs were loaded.
    pub count: u64,
}

/// A packet to try on the live programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofRequest {
    /// Index of the sender's host-side interface, when it is a workload of this node.
    pub from_interface: Option<u32>,
    /// Index of the receiver's host-side interface, when it is a workload of this node.
    pub to_interface: Option<u32>,
    /// An Ethernet frame.
    pub frame: Vec<u8>,
}

/// What the live programs answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// True when every program let the packet pass.
    pub passed: bool,
    /// How many programs were asked.
    pub programs: u32,
}
