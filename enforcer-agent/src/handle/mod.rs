//! The room of handles: who holds which device, what is not right about it, whether a device is free, and how it is taken
//! away. What is right is decided in `enforcer_core::device::ledger`; here are the clock, `/proc`, the kubelet's socket and
//! the control groups. It reaches the kernel by the policy room's door only.

mod desk;
mod drill;
mod kubelet;
mod look;
mod process;
mod revoke;
mod room;
mod tell;
#[cfg(test)]
mod tests;
mod vacancy;

use std::path::PathBuf;
use std::time::Duration;

use enforcer_core::policy::model::UnixNanos;

use crate::door::device::{CustodyCommand, Door, DriverIds, DriverProcesses};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stop;

pub use room::open;

/// How the room goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often every process is walked over.
    pub sweep: Duration,
    /// How long nobody may hold what somebody was granted or given, before that is told.
    pub patience: Duration,
    /// The kubelet's socket; `None`: it is not asked.
    pub pod_resources: Option<PathBuf>,
    /// The vendor's way to reset a device: program and arguments, in which `{device}` is its path below `/dev`, `{class}`
    /// its class and `{number}` its number within it.
    pub reset: Option<Vec<String>>,
    /// How long that may take for one device.
    pub reset_within: Duration,
}

/// What the room is made of.
pub struct Parts {
    /// This node's name.
    pub node: String,
    /// How.
    pub settings: Settings,
    /// The root of the control groups.
    pub cgroup_root: PathBuf,
    /// The kernel, and the policy in force.
    pub policy: PolicyDoor,
    /// Who keeps devices closed; without it the room closes the gate itself.
    pub custody: Option<Door<CustodyCommand>>,
    /// The processes that a driver lists.
    pub driver_processes: Option<DriverProcesses>,
    /// The ids under which a driver knows its devices.
    pub driver_ids: Option<DriverIds>,
    /// Where findings and steps go on record.
    pub tell: Tell,
    /// Time of day.
    pub clock: fn() -> UnixNanos,
    /// The word to stop.
    pub stop: Stop,
}
