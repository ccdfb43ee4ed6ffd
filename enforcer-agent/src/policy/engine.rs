//! The engine: owns the kernel, the journal and the policy in force, on a thread of its own, one command
//! after the other. A push and a recheck therefore never meet.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use enforcer_core::enforce::{Enforcement, Inspection};
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::UnixNanos;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{mpsc, watch};
use tracing::{error, warn};

use super::history::History;
use super::store::Store;
use super::told::{self, Asked};
use crate::door::policy::{Command, InForce, PolicyDoor, WAITING_MAX};
use crate::door::records::Tell;
use crate::door::survey::Surveyor;

/// The kernel side as the engine uses it.
pub trait Kernel: Enforcement + Inspection + Send {}

impl<T: Enforcement + Inspection + Send> Kernel for T {}

/// Time of day in nanoseconds since the Unix epoch.
pub type Clock = fn() -> UnixNanos;

/// What an engine is made of.
pub struct Parts {
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
    /// Whoever knows the node.
    pub surveyor: Box<dyn Surveyor>,
    /// The journal, opened.
    pub store: Store,
    /// The time of day.
    pub clock: Clock,
    /// Where changes are told.
    pub tell: Tell,
}

/// How well the engine knows what the tables hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Footing {
    /// Exactly what the revision in force compiles to.
    Known,
    /// Something failed half-way: the next plan starts from a read-back.
    Unsure,
    /// The tables were adopted with a policy that no journal explains. They stay until a whole policy comes.
    Orphaned,
}

/// The policy room.
pub struct Engine {
    pub(super) kernel: Box<dyn Kernel>,
    pub(super) surveyor: Box<dyn Surveyor>,
    pub(super) store: Store,
    pub(super) clock: Clock,
    pub(super) tell: Tell,
    pub(super) history: History,
    pub(super) facts: Arc<NodeFacts>,
    pub(super) node_warnings: Vec<String>,
    pub(super) footing: Footing,
    pub(super) sweep_due: bool,
    pub(super) published: watch::Sender<Arc<InForce>>,
}

impl Engine {
    /// Moves the engine to its thread and opens the door to it. The thread ends when every door is gone.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn open(self) -> io::Result<(PolicyDoor, JoinHandle<()>)> {
        let (commands, inbox) = mpsc::channel(WAITING_MAX);
        let door = PolicyDoor::new(commands, self.published.subscribe());
        let thread = Builder::new().name("policy".to_owned()).spawn(move || self.run(inbox))?;
        Ok((door, thread))
    }

    fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let command = match inbox.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.tidy();
                    match inbox.blocking_recv() {
                        Some(command) => command,
                        None => return,
                    }
                }
            };
            self.handle(command);
        }
    }

    /// Answers one command. Who asked may be gone by then; the change stands all the same.
    fn handle(&mut self, command: Command) {
        match command {
            Command::Apply(submission, reply) => {
                let asked = self.asked(&submission.author, submission.source.clone());
                let answer = self.apply(submission);
                (self.tell)(told::answered(&asked, &answer));
                let _gone = reply.send(answer);
            }
            Command::Rollback(rollback, reply) => {
                let asked = self.asked(&rollback.author, format!("rollback to {}", rollback.revision));
                let answer = self.roll_back(rollback);
                (self.tell)(told::answered(&asked, &answer));
                let _gone = reply.send(answer);
            }
            Command::Validate(submission, reply) => {
                let _gone = reply.send(self.validate(&submission));
            }
            Command::Report(reply) => {
                let _gone = reply.send(self.report());
            }
            Command::Losses(reply) => {
                let _gone = reply.send(self.kernel.losses().map_err(|error| error.to_string()));
            }
            Command::Counters(reply) => {
                let _gone = reply.send(self.kernel.counters().map_err(|error| error.to_string()));
            }
            Command::Prove(request, reply) => {
                let _gone = reply.send(self.kernel.prove(&request).map_err(|error| error.to_string()));
            }
            Command::Respond(tenant, response, reply) => {
                let _gone = reply.send(self.respond(&tenant, response.as_ref()));
            }
            Command::Aggregate(tenants, reply) => {
                let _gone = reply.send(self.aggregate(&tenants));
            }
            Command::Devices(asked) => self.devices(asked),
            Command::Recheck => self.recheck(),
        }
    }

    fn asked(&self, author: &str, source: String) -> Asked {
        Asked { author: author.to_owned(), source, before: self.history.current().number }
    }

    /// What can wait until nobody does.
    fn tidy(&mut self) {
        if self.sweep_due {
            match self.kernel.sweep() {
                Ok(()) => self.sweep_due = false,
                Err(error) => warn!(%error, "old generations could not be cleared; tried again later"),
            }
        }
        if let Err(error) = self.compact() {
            error!(%error, "the journal could not be compacted");
        }
    }

    pub(super) fn publish(&self) {
        self.published.send_replace(Arc::new(self.in_force()));
    }

    pub(super) fn in_force(&self) -> InForce {
        InForce {
            current: Arc::clone(self.history.current()),
            facts: Arc::clone(&self.facts),
            history: self.history.kept(),
            ready: self.footing == Footing::Known,
        }
    }
}
