//! Answers what is asked of the traces. Questions are answered side by side; orders go to the thread that owns the store.

use std::path::PathBuf;
use std::sync::Arc;

use enforcer_core::policy::model::Name;
use enforcer_proto::v1;
use enforcer_trace::keys::{KeyError, Keys};
use enforcer_trace::split::NODE;
use enforcer_trace::store::TenantStatus;
use enforcer_trace::summary::{What, summary};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::keeper::{Keeper, Order};
use super::keys::VaultKeys;
use super::read::Reading;
use super::records::Teller;
use super::shared::Shared;
use super::ship::Shipping;
use super::stream::Streams;
use crate::door::records::{Scope, Subscribe};
use crate::door::stop::Stop;
use crate::door::trace::{Command, Refused, Tells, Told, TraceDoor, Unwrap, WAITING_MAX};

/// Questions that are worked on at once; more wait.
const WORK_MAX: usize = 64;

/// What the desk is given.
pub struct DeskParts {
    /// Where the store is.
    pub directory: PathBuf,
    /// The keys.
    pub keys: Arc<VaultKeys>,
    /// Where it tells that a key was handed out.
    pub teller: Teller,
    /// The records that memory holds, and those to come.
    pub subscribe: Subscribe,
}

/// The desk.
pub struct Desk {
    commands: mpsc::Receiver<Command>,
    work: Arc<Work>,
}

impl Desk {
    /// A desk before a running thread, and the door to it.
    #[must_use]
    pub fn open(parts: DeskParts, keeper: &Keeper) -> (Self, TraceDoor) {
        let DeskParts { directory, keys, teller, subscribe } = parts;
        let (sender, commands) = mpsc::channel(WAITING_MAX);
        let shared = Arc::clone(&keeper.shared);
        let durable = shared.durable();
        let reading = Reading::new(directory.clone(), Arc::clone(&keys) as Arc<dyn Keys>);
        let streams = Streams { reading: reading.clone(), subscribe, durable: durable.clone() };
        let orders = keeper.orders.clone();
        let work = Arc::new(Work { directory, keys, teller, shared, reading, streams, orders });
        let seen = Arc::clone(&work.shared);
        let told: Tells = Arc::new(move || Told { losses: seen.losses(), problems: seen.problems() });
        (Self { commands, work }, TraceDoor::new(sender, durable, told))
    }

    /// Copies the store until the agent stops; what goes wrong stands in the status.
    pub fn ship(&self, shipping: Shipping, stop: Stop) -> impl Future<Output = ()> + Send + use<> {
        shipping.run(Arc::clone(&self.work.shared), stop)
    }

    /// Answers until the agent stops.
    pub async fn run(mut self, mut stop: Stop) {
        let mut work = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.wait() => return,
                Some(_) = work.join_next(), if !work.is_empty() => {}
                command = self.commands.recv(), if work.len() < WORK_MAX => {
                    let Some(command) = command else { return };
                    work.spawn(Arc::clone(&self.work).answer(command));
                }
            }
        }
    }
}

struct Work {
    directory: PathBuf,
    keys: Arc<VaultKeys>,
    teller: Teller,
    shared: Arc<Shared>,
    reading: Reading,
    streams: Streams,
    orders: mpsc::Sender<Order>,
}

impl Work {
    async fn answer(self: Arc<Self>, command: Command) {
        match command {
            Command::Query(request, scope, reply) => {
                let found = match self.reading.turn(&scope) {
                    Ok(turn) => self.reading.query(&request, &scope, turn).await,
                    Err(refused) => Err(refused),
                };
                let _gone = reply.send(found);
            }
            Command::Summary(request, scope, mut reply) => {
                let summed = tokio::select! {
                    summed = self.sum(&request, &scope) => summed,
                    () = reply.closed() => return,
                };
                let _gone = reply.send(summed);
            }
            Command::Stream(request, scope, reply) => {
                let found = self.streams.open(*request, scope).await;
                let _gone = reply.send(found);
            }
            Command::Status(scope, reply) => {
                let status = tokio::task::spawn_blocking(move || self.status(&scope)).await;
                let _gone = reply.send(status.map_err(|_| stopped()));
            }
            Command::Unwrap(unwrap, reply) => {
                let key = tokio::task::spawn_blocking(move || self.unwrap(&unwrap)).await;
                let _gone = reply.send(key.unwrap_or_else(|_| Err(stopped())));
            }
            Command::Seal(reply) => self.order(Order::Seal(reply)).await,
            Command::Destroy(destroy, reply) => self.order(Order::Destroy(destroy, reply)).await,
        }
    }

    /// Who asks hears that nobody answers when the thread is gone: its reply is dropped.
    async fn order(&self, order: Order) {
        let _gone = self.orders.send(order).await;
    }

    async fn sum(&self, request: &v1::SummaryRequest, scope: &Scope) -> Result<v1::SummaryResponse, Refused> {
        let unknown = || Refused::Senseless(format!("{:?} is none of talks, devices", request.what));
        let what = What::from_name(&request.what).ok_or_else(unknown)?;
        let query = request.query.clone().unwrap_or_default();
        let turn = self.reading.turn(scope)?;
        let summed = self.reading.fold(&query, scope, turn, move |records| summary(records, what)).await?;
        Ok(summed.response)
    }

    fn status(&self, scope: &Scope) -> v1::TraceStatusResponse {
        let view = self.shared.view().clone();
        let durable_sequence = *self.shared.durable().borrow();
        let tenant = |status: &TenantStatus| self.tenant(status);
        match scope {
            Scope::Everything => v1::TraceStatusResponse {
                directory: self.directory.display().to_string(),
                durable_sequence,
                tenants: view.status.tenants.iter().map(tenant).collect(),
                problems: self.shared.problems(),
                signer: view.status.signer.clone(),
                checkpoint: view.status.checkpoint.clone(),
            },
            // A checkpoint names every tenant, and a problem may.
            Scope::Tenant(own) => v1::TraceStatusResponse {
                durable_sequence,
                tenants: vec![self.own(own, &view.status.tenants)],
                signer: view.status.signer.clone(),
                ..v1::TraceStatusResponse::default()
            },
        }
    }

    /// What is sealed of a reader's own tenant, though it be nothing.
    fn own(&self, own: &Name, tenants: &[TenantStatus]) -> v1::TenantTrace {
        let nothing = TenantStatus { tenant: own.to_string(), ..TenantStatus::default() };
        self.tenant(tenants.iter().find(|status| status.tenant == **own).unwrap_or(&nothing))
    }

    fn tenant(&self, status: &TenantStatus) -> v1::TenantTrace {
        let TenantStatus { tenant, files, bytes, records, oldest_ns, newest_ns, removed } = status;
        let time = |ns: u64| (ns != 0).then(|| timestamp(ns));
        v1::TenantTrace {
            tenant: tenant.clone(),
            files: *files,
            bytes: *bytes,
            records: *records,
            oldest: time(*oldest_ns),
            newest: time(*newest_ns),
            removed: *removed,
            key: if self.keys.has(tenant) { "present" } else { "destroyed" }.to_owned(),
        }
    }

    fn unwrap(&self, unwrap: &Unwrap) -> Result<Zeroizing<Vec<u8>>, Refused> {
        let Unwrap { master_key_id, wrapped_key, actor } = unwrap;
        let key = self.keys.existing(master_key_id).map_err(of_key)?;
        let data = key.unwrap(wrapped_key).map_err(of_key)?;
        let tenant = master_key_id.split_once('/').map_or(NODE, |(tenant, _)| tenant);
        self.teller.unwrapped(tenant, master_key_id, actor);
        Ok(Zeroizing::new(data.expose().to_vec()))
    }
}

fn stopped() -> Refused {
    Refused::Away("the agent is stopping".to_owned())
}

fn timestamp(ns: u64) -> prost_types::Timestamp {
    (std::time::UNIX_EPOCH + std::time::Duration::from_nanos(ns)).into()
}

fn of_key(error: KeyError) -> Refused {
    let text = error.to_string();
    match error {
        KeyError::Destroyed(_) => Refused::Gone(text),
        KeyError::Unknown(_) => Refused::Unknown(text),
        KeyError::Wrong(_) | KeyError::Id(_) | KeyError::Material(_) => Refused::Senseless(text),
        KeyError::Unavailable { .. } | KeyError::Cipher(_) => Refused::Away(text),
    }
}
