//! The door of the policy room: what is asked of it, what it answers, and the revision in force.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::device::holding::{GateCustody, HandleSweep};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::{Aggregation, CapacityReport, HookReport, Loss, Proof, ProofRequest, Response};
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::change::Change;
use enforcer_core::policy::image::Digest;
use enforcer_core::policy::model::{Name, Policy, UnixNanos};
use enforcer_core::policy::problem::Problem;
use enforcer_proto::v1;
use tokio::sync::{mpsc, oneshot, watch};

/// Commands that wait for the policy room; who finds it full waits in turn.
pub const WAITING_MAX: usize = 64;

/// A change that somebody asks for.
#[derive(Debug)]
pub struct Submission {
    /// What should change.
    pub change: Change,
    /// The revision it builds on, if the sender said so.
    pub base_revision: Option<u64>,
    /// Who asks: a SPIFFE ID, `uid:0`, `file`.
    pub author: String,
    /// How it came: `push`, `apply`, `file`.
    pub source: String,
    /// When it was received.
    pub received: Instant,
}

/// The kernel holds the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// Its revision; the one before when it changed nothing.
    pub revision: u64,
    /// Over what was read back from the kernel.
    pub digest: Digest,
    /// From receipt until the kernel had switched and was read back.
    pub elapsed: Duration,
    /// In force, but perhaps not what was meant.
    pub warnings: Vec<String>,
}

/// Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Every reason.
    pub problems: Vec<Problem>,
    /// What is still in force.
    pub revision_in_force: u64,
}

/// What a change would do.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    /// Objects that change, and how many kernel entries.
    pub diff: v1::Diff,
    /// What the acknowledgement would warn of.
    pub warnings: Vec<String>,
}

/// The kernel, read for this answer.
#[derive(Clone, Debug)]
pub struct Report {
    /// Revision in force.
    pub revision: u64,
    /// Over everything that the tables hold now.
    pub digest: Digest,
    /// What the tables hold and should not, or the other way around; empty when in sync.
    pub drift: Vec<String>,
    /// Every hook.
    pub hooks: Vec<HookReport>,
    /// Every table.
    pub capacities: Vec<CapacityReport>,
    /// What the kernel lost.
    pub losses: Vec<Loss>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// A policy that is or was in force.
#[derive(Clone, Debug)]
pub struct Revision {
    /// Its number; 0 before the first policy.
    pub number: u64,
    /// When it was received.
    pub time: UnixNanos,
    /// Who sent it.
    pub author: String,
    /// How it came.
    pub source: String,
    /// Over what was read back, if that is known.
    pub digest: Option<Digest>,
    /// The policy.
    pub policy: Arc<Policy>,
}

/// The latest truth: published after each commit.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The revision in force.
    pub current: Arc<Revision>,
    /// The node it was compiled for.
    pub facts: Arc<NodeFacts>,
    /// Kept revisions, oldest first; the last is the current one.
    pub history: Vec<Arc<Revision>>,
    /// True once the kernel holds what the agent means it to hold.
    pub ready: bool,
}

/// What the policy room can be asked.
#[derive(Debug)]
pub enum Command {
    /// Put a change in force.
    Apply(Submission, oneshot::Sender<Result<Accepted, Refusal>>),
    /// Put an older revision in force again.
    Rollback(Rollback, oneshot::Sender<Result<Accepted, Refusal>>),
    /// Say what a change would do.
    Validate(Submission, oneshot::Sender<Result<Forecast, Refusal>>),
    /// Read the kernel and compare.
    Report(oneshot::Sender<Result<Report, String>>),
    /// Read what was lost.
    Losses(oneshot::Sender<Result<Vec<Loss>, String>>),
    /// Read the counters.
    Counters(oneshot::Sender<Result<Vec<(CounterKey, CounterValue)>, String>>),
    /// Run a packet through the live programs.
    Prove(ProofRequest, oneshot::Sender<Result<Proof, String>>),
    /// Put a response to an alert in force for a tenant, or end it.
    Respond(Name, Option<Response>, oneshot::Sender<Result<(), String>>),
    /// Tell so much of the sockets of these tenants, and of all others what the node's settings say.
    Aggregate(BTreeMap<Name, Aggregation>, oneshot::Sender<Result<(), String>>),
    /// What the rooms of devices ask of the kernel.
    Devices(DeviceCommand),
    /// Look at the node again: something may have changed.
    Recheck,
}

/// What the rooms of devices ask of the kernel.
#[derive(Debug)]
pub enum DeviceCommand {
    /// Say where a device is between two tenants.
    SetCustody(DeviceNumber, Option<GateCustody>, oneshot::Sender<Result<(), String>>),
    /// Read what the gate holds.
    Custody(oneshot::Sender<Result<BTreeMap<DeviceNumber, GateCustody>, String>>),
    /// Forget which control groups held a device.
    ForgetTouched(DeviceNumber, oneshot::Sender<Result<(), String>>),
    /// Walk over every process.
    Handles(oneshot::Sender<Result<HandleSweep, String>>),
    /// Prove every hook again.
    ProveHooks(oneshot::Sender<Result<Vec<HookReport>, String>>),
}

/// A wish for an older revision.
#[derive(Clone, Debug)]
pub struct Rollback {
    /// Which.
    pub revision: u64,
    /// Who asks.
    pub author: String,
    /// When it was received.
    pub received: Instant,
}

/// The policy room is closed: the agent is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the agent is stopping")]
pub struct Closed;

/// The sending side of the door.
#[derive(Clone, Debug)]
pub struct PolicyDoor {
    commands: mpsc::Sender<Command>,
    in_force: watch::Receiver<Arc<InForce>>,
}

impl PolicyDoor {
    /// A door to a room that reads `commands` and writes what is in force.
    #[must_use]
    pub const fn new(commands: mpsc::Sender<Command>, in_force: watch::Receiver<Arc<InForce>>) -> Self {
        Self { commands, in_force }
    }

    /// Puts a change in force, after everything that was asked before.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn apply(&self, submission: Submission) -> Result<Result<Accepted, Refusal>, Closed> {
        self.ask(|reply| Command::Apply(submission, reply)).await
    }

    /// Puts an older revision in force again.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn rollback(&self, rollback: Rollback) -> Result<Result<Accepted, Refusal>, Closed> {
        self.ask(|reply| Command::Rollback(rollback, reply)).await
    }

    /// Says what a change would do.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn validate(&self, submission: Submission) -> Result<Result<Forecast, Refusal>, Closed> {
        self.ask(|reply| Command::Validate(submission, reply)).await
    }

    /// Reads the kernel and compares.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn report(&self) -> Result<Result<Report, String>, Closed> {
        self.ask(Command::Report).await
    }

    /// Reads what was lost.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn losses(&self) -> Result<Result<Vec<Loss>, String>, Closed> {
        self.ask(Command::Losses).await
    }

    /// Reads the counters.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn counters(&self) -> Result<Result<Vec<(CounterKey, CounterValue)>, String>, Closed> {
        self.ask(Command::Counters).await
    }

    /// Says where a device is between two tenants; with `None` the gate's own default holds.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn set_custody(
        &self,
        device: DeviceNumber,
        custody: Option<GateCustody>,
    ) -> Result<Result<(), String>, Closed> {
        self.ask(|reply| Command::Devices(DeviceCommand::SetCustody(device, custody, reply))).await
    }

    /// Reads what the gate holds of devices between two tenants.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn custody(&self) -> Result<Result<BTreeMap<DeviceNumber, GateCustody>, String>, Closed> {
        self.ask(|reply| Command::Devices(DeviceCommand::Custody(reply))).await
    }

    /// Forgets which control groups held a device.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn forget_touched(&self, device: DeviceNumber) -> Result<Result<(), String>, Closed> {
        self.ask(|reply| Command::Devices(DeviceCommand::ForgetTouched(device, reply))).await
    }

    /// Walks over every process of the node, and reads the account of open files.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn handles(&self) -> Result<Result<HandleSweep, String>, Closed> {
        self.ask(|reply| Command::Devices(DeviceCommand::Handles(reply))).await
    }

    /// Proves every hook again, on canaries.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn prove_hooks(&self) -> Result<Result<Vec<HookReport>, String>, Closed> {
        self.ask(|reply| Command::Devices(DeviceCommand::ProveHooks(reply))).await
    }

    /// Runs a packet through the live programs.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn prove(&self, request: ProofRequest) -> Result<Result<Proof, String>, Closed> {
        self.ask(|reply| Command::Prove(request, reply)).await
    }

    /// Puts a response to an alert in force for a tenant, or ends it. It holds in the kernel until its time is up.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn respond(
        &self,
        tenant: Name,
        response: Option<Response>,
    ) -> Result<Result<(), String>, Closed> {
        self.ask(|reply| Command::Respond(tenant, response, reply)).await
    }

    /// Says how much is told of the sockets of these tenants; of all others it is what the node's settings say.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn aggregate(
        &self,
        tenants: BTreeMap<Name, Aggregation>,
    ) -> Result<Result<(), String>, Closed> {
        self.ask(|reply| Command::Aggregate(tenants, reply)).await
    }

    /// Asks the room to look at the node again. Dropped when it is busy: it looks again soon anyway.
    pub fn recheck(&self) {
        let _full_or_closed = self.commands.try_send(Command::Recheck);
    }

    /// What is in force now.
    #[must_use]
    pub fn in_force(&self) -> Arc<InForce> {
        Arc::clone(&self.in_force.borrow())
    }

    /// What is in force, now and whenever it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<InForce>> {
        self.in_force.clone()
    }

    /// Waits until the room is closed.
    pub async fn closed(&self) {
        self.commands.closed().await;
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}
