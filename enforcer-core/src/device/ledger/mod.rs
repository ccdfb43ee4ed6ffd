//! The ledger of handles: who holds which gated device, against whom the policy grants it and to whom the kubelet gave
//! it. It is told what was seen and what time it is, and asks nobody.

mod allocation;
mod finding;
mod join;
mod judge;
mod name;
mod select;
mod standing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use enforcer_proto::v1;

use super::holding::HandleSweep;
use crate::node::NodeFacts;
use crate::policy::model::{Name, Policy, UnixNanos};

pub use allocation::{Allocated, Allocations, Pod, Tenancy, tenancy};
pub use finding::{Key, Kind, Observation};
pub use join::handles;
pub use judge::observe;
pub use name::{device_name, title};
pub use select::{Selection, UnknownSelection};
pub use standing::{Change, Standing};

/// What is joined: everything of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// What the kernel holds.
    pub sweep: &'a HandleSweep,
    /// Who may.
    pub policy: &'a Policy,
    /// Where workloads are, which devices there are.
    pub facts: &'a NodeFacts,
    /// To whom the kubelet gave devices; `None` where it was not, or could not be, asked.
    pub allocations: Option<&'a Allocations>,
    /// What is known of the processes that hold something.
    pub processes: &'a BTreeMap<u32, v1::Process>,
    /// In which workload's control group a group lies.
    pub workloads: &'a BTreeMap<u64, Name>,
    /// Time of day when the sweep began.
    pub at: UnixNanos,
}
