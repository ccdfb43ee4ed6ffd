//! The workload socket: anybody on the node may connect, and the kernel says who it was. Nothing that a caller
//! says of itself is believed (E-1, E-4).

use std::path::Path;
use std::sync::Arc;

use enforcer_proto::v1;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use super::caller::{Caller, Reception};
use super::connection::{Connection, Counted};
use super::gate::Gate;
use super::refusal::rule;
use crate::door::accept::rest_after;
use crate::door::records::Tell;
use crate::door::unix::{SocketError, UnixSocket};
use crate::identity::attest::Process;
use crate::identity::told::Told;

/// The socket, open.
#[derive(Debug)]
pub struct WorkloadDoor(UnixSocket);

impl WorkloadDoor {
    /// Opens it. A socket that nobody answers on is replaced.
    ///
    /// # Errors
    /// Another agent answers there, or the file system refuses.
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        UnixSocket::bind(path, 0o666).map(Self)
    }

    /// Accepts until the receiver is gone.
    pub(super) async fn accept(self, gate: Gate, connections: mpsc::Sender<Connection>, tell: Tell) {
        let hall = Hall::new(gate, tell);
        loop {
            let stream = tokio::select! {
                () = connections.closed() => return,
                accepted = self.0.accept() => match accepted {
                    Ok(stream) => stream,
                    Err(error) => {
                        rest_after(&error).await;
                        continue;
                    }
                },
            };
            // Who finds no place is dropped at once: waiting would cost the others theirs.
            let Some(connection) = hall.receive(stream) else { continue };
            if connections.send(connection).await.is_err() {
                return;
            }
        }
    }
}

/// Where callers are received, each where it belongs.
struct Hall {
    gate: Gate,
    tell: Tell,
    strangers: Arc<Semaphore>,
    surplus: Arc<Semaphore>,
}

impl Hall {
    fn new(gate: Gate, tell: Tell) -> Self {
        let places = gate.budget.limits().connections_refused;
        Self {
            tell,
            gate,
            strangers: Arc::new(Semaphore::new(places)),
            surplus: Arc::new(Semaphore::new(places)),
        }
    }

    fn receive(&self, stream: UnixStream) -> Option<Connection> {
        let idle = self.gate.budget.limits().idle;
        let process = match self.gate.attest.peer(&stream) {
            Ok(process) => process,
            Err(error) => {
                self.gate.quiet.say(rule(&error), |unsaid| {
                    warn!(rule = rule(&error), %error, unsaid, "caller of the workload socket refused");
                    self.denied(None, rule(&error), &error.to_string(), unsaid);
                });
                return self.refuse(stream, None, Reception::Stranger);
            }
        };
        let member = match self.gate.attest.attest(&process) {
            Ok(member) => member,
            Err(error) => {
                // Said in the log when it calls.
                self.gate.quiet.say("stranger", |unsaid| {
                    self.denied(u32::try_from(process.pid()).ok(), rule(&error), &error.to_string(), unsaid);
                });
                return self.refuse(stream, Some(process), Reception::Stranger);
            }
        };
        match self.gate.budget.connection(&member) {
            Ok(place) => {
                debug!(pid = process.pid(), workload = %member.workload, "workload connected");
                let caller = Caller::new(Some(process), Reception::Known);
                Some(Connection::new(stream, caller, idle, Counted::Workload(place)))
            }
            Err(over) => {
                self.gate.quiet.say("connections", |unsaid| {
                    warn!(tenant = %member.tenant, workload = %member.workload, %over, unsaid, "connection refused");
                });
                self.refuse(stream, Some(process), Reception::Surplus)
            }
        }
    }

    /// Tells that somebody is no workload, with who it was, as far as that is known.
    fn denied(&self, pid: Option<u32>, rule: &'static str, message: &str, unsaid: u64) {
        let told = Told {
            event: "denied",
            subject: "attestation".to_owned(),
            message,
            fields: vec![("rule", rule.to_owned()), ("unsaid", unsaid.to_string())],
            ..Told::default()
        };
        let process = pid.map(|pid| v1::Process { pid, ..v1::Process::default() });
        (self.tell)(v1::Record { process, ..told.record() });
    }

    /// To be told no; or dropped when too many are being told.
    fn refuse(
        &self,
        stream: UnixStream,
        process: Option<Process>,
        reception: Reception,
    ) -> Option<Connection> {
        let places = match reception {
            Reception::Known => return None,
            Reception::Stranger => &self.strangers,
            Reception::Surplus => &self.surplus,
        };
        let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
            self.gate.quiet.say("dropped", |unsaid| {
                warn!(?reception, unsaid, "connection dropped: too many of them are being refused");
            });
            return None;
        };
        let idle = self.gate.budget.limits().idle;
        Some(Connection::new(stream, Caller::new(process, reception), idle, Counted::Refused(permit)))
    }
}
