//! The doors of the rooms that mind devices: who holds them, where they are between two tenants, what isolation rests on.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_core::device::holding::Vacancy;
use enforcer_core::device::number::DeviceNumber;
use enforcer_proto::v1;
use tokio::sync::{mpsc, oneshot};

use super::policy::Closed;

/// Commands that wait for a room.
pub const WAITING_MAX: usize = 64;
/// Steps that wait for who follows a revocation or a handover.
pub const STEPS_MAX: usize = 64;

/// Where an answer goes; a refusal is a sentence for an operator.
pub type Reply<T> = oneshot::Sender<Result<T, String>>;

/// What the room of handles can be asked.
#[derive(Debug)]
pub enum HandleCommand {
    /// Who holds what, now.
    Handles(v1::HandlesRequest, Reply<v1::HandlesResponse>),
    /// Whether anybody still has a device.
    Vacancy(DeviceNumber, Reply<Vacancy>),
    /// Take something away, step by step. What is asked was not looked at yet.
    Revoke(Revocation, mpsc::Sender<v1::RevokeStep>, Reply<()>),
    /// Prove the verbs of containment on a canary's group.
    Drill(Reply<Vec<v1::Verb>>),
}

/// An operator's wish to take devices away.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// What and how far.
    pub request: v1::RevokeRequest,
    /// Who asks.
    pub actor: String,
}

/// What the room of custody can be asked.
#[derive(Debug)]
pub enum CustodyCommand {
    /// Close the gate of a device to every tenant, whatever was in force, and keep it closed: it is in quarantine.
    Quarantine(Quarantine, Reply<()>),
    /// Where each device is.
    List(Reply<v1::CustodyResponse>),
    /// A person's word: drain, scrub, release.
    Handover(Handover, mpsc::Sender<v1::HandoverStep>, Reply<()>),
    /// Receipts, newest first.
    Receipts(v1::ReceiptsRequest, Reply<v1::ReceiptsResponse>),
}

/// A device is to be closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// Which.
    pub device: DeviceNumber,
    /// Why, for the record.
    pub reason: String,
    /// Who says so.
    pub actor: String,
}

/// A person's word about a device.
#[derive(Clone, Debug)]
pub struct Handover {
    /// Which, and what.
    pub request: v1::HandoverRequest,
    /// Who says so.
    pub actor: String,
}

/// What the room of posture can be asked.
#[derive(Debug)]
pub enum PostureCommand {
    /// Read every setting now.
    Read(Reply<v1::PostureResponse>),
}

/// Asks a driver for the processes that it knows to use a device; `Ok(None)` where it has no such list.
pub type DriverProcesses = Arc<dyn Fn(DeviceNumber) -> Result<Option<Vec<u32>>, String> + Send + Sync>;

/// Asks a driver under which ids (UUIDs, of devices and of their parts) it knows its devices.
pub type DriverIds = Arc<dyn Fn() -> Result<BTreeMap<String, DeviceNumber>, String> + Send + Sync>;

/// The sending side of a door.
#[derive(Debug)]
pub struct Door<C> {
    commands: mpsc::Sender<C>,
}

impl<C> Clone for Door<C> {
    fn clone(&self) -> Self {
        Self { commands: self.commands.clone() }
    }
}

impl<C> Door<C> {
    /// A door to a room that reads `commands`.
    #[must_use]
    pub const fn new(commands: mpsc::Sender<C>) -> Self {
        Self { commands }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> C) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}

/// The doors of the rooms that are open.
#[derive(Clone, Debug, Default)]
pub struct DeviceDoors {
    /// Who holds what.
    pub handles: Option<Door<HandleCommand>>,
    /// Where devices are between two tenants.
    pub custody: Option<Door<CustodyCommand>>,
    /// What isolation rests on.
    pub posture: Option<Door<PostureCommand>>,
}
