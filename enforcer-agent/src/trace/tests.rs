//! The room as a whole: records in, records out, over a real store and keys in memory.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_core::event::record::{FLOW, LOSS};
use enforcer_proto::v1;
use enforcer_trace::keys::{FileKey, Keys as _};
use enforcer_trace::{Limits, VerifyOptions, verify};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::memory::Memory;
use super::records::tests::teller;
use super::*;
use crate::door::records::{Scope, Start, Subscribe};
use crate::door::stop::Stopper;
use crate::door::trace::{Command, Destroy, Found, Refused, TraceDoor, Unwrap};

const PATIENCE: Duration = Duration::from_secs(30);
/// Records that the memory of these tests holds.
const HELD: usize = 20;

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_nanos()).unwrap()
}

/// The records so far, of which readers get the latest only.
#[derive(Clone)]
struct Held(watch::Sender<Vec<v1::Record>>);

impl Held {
    fn subscribe(&self) -> Subscribe {
        let held = self.0.clone();
        Arc::new(move |scope, start, follow| {
            assert!(follow && scope == Scope::Everything);
            let Start::After(mut after) = start else { panic!("{start:?}") };
            let (out, records) = mpsc::channel(1);
            let mut held = held.subscribe();
            tokio::spawn(async move {
                loop {
                    let all = held.borrow_and_update().clone();
                    let window = &all[all.len().saturating_sub(HELD)..];
                    let oldest = window.first().map_or(u64::MAX, |record| record.sequence);
                    let mut next: Vec<v1::Record> = Vec::new();
                    if oldest != u64::MAX && oldest > after + 1 {
                        let (kind, reason) = (LOSS.to_owned(), "observer_slow".to_owned());
                        next.push(v1::Record { r#type: kind, reason, ..v1::Record::default() });
                    }
                    next.extend(window.iter().filter(|record| record.sequence > after).cloned());
                    for record in next {
                        after = after.max(record.sequence);
                        if out.send(record).await.is_err() {
                            return;
                        }
                    }
                    if held.changed().await.is_err() {
                        return;
                    }
                }
            });
            Box::pin(ReceiverStream::new(records))
        })
    }
}

/// A room that is fed by hand.
struct Room {
    keep: mpsc::Sender<Vec<Arc<v1::Record>>>,
    held: Held,
    keeper: Keeper,
    keys: Arc<VaultKeys>,
    door: TraceDoor,
    told: Arc<Mutex<Vec<v1::Record>>>,
    next: u64,
    _stopper: Stopper,
}

async fn open(directory: &Path, safe: &Arc<Memory>) -> Room {
    let (teller, told) = teller();
    let keys = Arc::new(VaultKeys::open(Arc::clone(safe) as Arc<_>, teller.clone()).unwrap());
    let (keep, records) = mpsc::channel(BATCHES_MAX);
    let parts = Parts {
        directory: directory.to_owned(),
        limits: Limits { free_bytes: 0, ..Limits::default() },
        keys: Arc::clone(&keys),
        node: "n1".to_owned(),
        teller: teller.clone(),
        clock: now,
        predecessor_ends: Duration::ZERO,
    };
    let start = move || Keeper::start(parts, records).unwrap();
    let keeper = tokio::task::spawn_blocking(start).await.unwrap();
    let held = Held(watch::Sender::new(Vec::new()));
    let parts = DeskParts {
        directory: directory.to_owned(),
        keys: Arc::clone(&keys),
        teller,
        subscribe: held.subscribe(),
    };
    let (desk, door) = Desk::open(parts, &keeper);
    let stopper = Stopper::default();
    tokio::spawn(desk.run(stopper.listener()));
    let next = keeper.first;
    Room { keep, held, keeper, keys, door, told, next, _stopper: stopper }
}

impl Room {
    /// Records of flows within a tenant, into memory and to the store; the last one's number.
    async fn record(&mut self, tenant: &str, count: u64) -> u64 {
        let end = || Some(v1::Endpoint { identity: tenant.to_owned(), ..v1::Endpoint::default() });
        let record = |sequence| v1::Record {
            sequence,
            time: Some(std::time::SystemTime::now().into()),
            r#type: FLOW.to_owned(),
            verdict: "deny".to_owned(),
            source: end(),
            destination: end(),
            ..v1::Record::default()
        };
        let records: Vec<v1::Record> = (self.next..self.next + count).map(record).collect();
        self.next += count;
        self.keep.send(records.iter().cloned().map(Arc::new).collect()).await.unwrap();
        self.held.0.send_modify(|held| held.extend(records));
        self.next - 1
    }

    async fn durable(&self, sequence: u64) {
        let mut durable = self.door.durable();
        let reached = durable.wait_for(|durable| *durable >= sequence);
        timeout(PATIENCE, reached).await.expect("on disk in time").unwrap();
    }

    async fn query(&self, scope: Scope) -> Vec<v1::Record> {
        let request = Box::default();
        let found = self.door.ask(|reply| Command::Query(request, scope, reply)).await.unwrap().unwrap();
        all(found).await
    }

    async fn stream(&self, after: u64) -> Found {
        let request =
            v1::ObserveRequest { after: Some(after), follow: true, ..v1::ObserveRequest::default() };
        let ask = |reply| Command::Stream(Box::new(request), Scope::Everything, reply);
        self.door.ask(ask).await.unwrap().unwrap()
    }

    async fn end(self) {
        drop(self.keep);
        let keeper = self.keeper;
        tokio::task::spawn_blocking(move || keeper.join(PATIENCE)).await.unwrap();
    }
}

async fn all(mut found: Found) -> Vec<v1::Record> {
    let mut all = Vec::new();
    while let Some(record) = timeout(PATIENCE, found.recv()).await.expect("an answer in time") {
        all.push(record.unwrap());
    }
    all
}

async fn next(found: &mut Found, count: u64) -> Vec<u64> {
    let mut numbers = Vec::new();
    for _ in 0..count {
        let record = timeout(PATIENCE, found.recv()).await.expect("a record in time").unwrap().unwrap();
        numbers.push(record.sequence);
    }
    numbers
}

fn numbers(records: &[v1::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}

fn tenant(name: &str) -> Scope {
    Scope::Tenant(name.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_found_by_those_whose_it_is_and_numbers_go_on_after_a_restart() {
    let (directory, safe) = (TempDir::new().unwrap(), Arc::new(Memory::default()));
    let store = directory.path().join("trace");
    let mut room = open(&store, &safe).await;
    assert_eq!(room.keeper.first, 1);
    room.record("red", 3).await;
    let last = room.record("blue", 2).await;
    room.durable(last).await;
    assert_eq!(numbers(&room.query(Scope::Everything).await), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&room.query(tenant("blue")).await), [4, 5]);
    assert!(room.query(tenant("green")).await.is_empty());
    room.end().await;
    let mut room = open(&store, &safe).await;
    assert_eq!(room.keeper.first, 6);
    room.record("red", 1).await;
    room.durable(6).await;
    assert_eq!(numbers(&room.query(tenant("red")).await), [1, 2, 3, 6]);
    room.end().await;
    assert!(verify(&store, &VerifyOptions::default()).unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_no_gap_where_it_begins_breaks_off_or_is_slow() {
    let (directory, safe) = (TempDir::new().unwrap(), Arc::new(Memory::default()));
    let mut room = open(&directory.path().join("trace"), &safe).await;
    let last = room.record("red", 50).await;
    room.durable(last).await;
    // Memory holds the last twenty: the rest is on disk.
    let mut stream = room.stream(5).await;
    assert_eq!(next(&mut stream, 45).await, (6..=50).collect::<Vec<u64>>());
    room.record("red", 5).await;
    assert_eq!(next(&mut stream, 5).await, (51..=55).collect::<Vec<u64>>());
    // Nobody takes any while memory is pushed out many times over.
    for _ in 0..10 {
        room.record("red", 100).await;
    }
    assert_eq!(next(&mut stream, 1_000).await, (56..=1_055).collect::<Vec<u64>>());
    drop(stream);
    let mut stream = room.stream(1_040).await;
    assert_eq!(next(&mut stream, 15).await, (1_041..=1_055).collect::<Vec<u64>>());
    room.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_opened_is_told_counted_and_holds_nobody_up() {
    let (directory, safe) = (TempDir::new().unwrap(), Arc::new(Memory::default()));
    let store = directory.path().join("trace");
    std::fs::write(&store, "no directory").unwrap();
    let mut room = open(&store, &safe).await;
    assert!(room.keeper.first > 1_000_000_000_000, "numbers may begin anew: {}", room.keeper.first);
    room.record("red", 7).await;
    let counted = async {
        while room.door.told().losses.iter().map(|loss| loss.count).sum::<u64>() < 7 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, counted).await.expect("losses are counted");
    let told = room.door.told();
    assert_eq!((told.losses[0].cause.as_str(), told.losses[0].source.as_str()), ("store_away", "red"));
    assert!(told.problems[0].contains("traces are not kept"), "{:?}", told.problems);
    let sealed = room.door.ask(Command::Seal).await.unwrap();
    assert!(matches!(sealed, Err(Refused::Away(_))), "{sealed:?}");
    room.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destroyed_tenant_is_read_by_nobody_and_the_others_by_all() {
    let (directory, safe) = (TempDir::new().unwrap(), Arc::new(Memory::default()));
    let store = directory.path().join("trace");
    let mut room = open(&store, &safe).await;
    room.record("red", 2).await;
    let last = room.record("blue", 2).await;
    room.durable(last).await;
    room.door.ask(Command::Seal).await.unwrap().unwrap();
    let last = room.record("red", 2).await;
    room.durable(last).await;
    let order = |tenant: &str| Destroy {
        tenant: tenant.to_owned(),
        reason: "left".to_owned(),
        actor: "uid:0".to_owned(),
    };
    let destroy = |order| room.door.ask(|reply| Command::Destroy(order, reply));
    let receipt = destroy(order("red")).await.unwrap().unwrap();
    assert!(receipt.contains("\"left\"") && receipt.contains("\"red\""), "{receipt}");
    assert!(matches!(destroy(order("red")).await.unwrap(), Err(Refused::Unknown(_))));
    assert!(matches!(destroy(order("_node")).await.unwrap(), Err(Refused::Senseless(_))));
    let left = room.query(tenant("red")).await;
    assert!(!left.is_empty() && left.iter().all(|record| record.r#type == LOSS), "{left:?}");
    assert_eq!(room.query(tenant("blue")).await.len(), 2);
    let destroyed = |record: &v1::Record| record.note.as_ref().is_some_and(|note| note.event == "destroyed");
    assert!(room.told.lock().unwrap().iter().any(destroyed));
    room.end().await;
    assert!(verify(&store, &VerifyOptions::default()).unwrap().is_clean());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_of_a_tenant_says_nothing_of_another() {
    let (directory, safe) = (TempDir::new().unwrap(), Arc::new(Memory::default()));
    let mut room = open(&directory.path().join("trace"), &safe).await;
    room.record("red", 2).await;
    let last = room.record("blue", 3).await;
    room.durable(last).await;
    room.door.ask(Command::Seal).await.unwrap().unwrap();
    let status = |scope| room.door.ask(|reply| Command::Status(scope, reply));
    let whole = status(Scope::Everything).await.unwrap().unwrap();
    let names: Vec<&str> = whole.tenants.iter().map(|one| one.tenant.as_str()).collect();
    assert_eq!((names, whole.checkpoint.is_empty()), (vec!["blue", "red"], false));
    let own = status(tenant("red")).await.unwrap().unwrap();
    assert_eq!((own.tenants.len(), own.tenants[0].records), (1, 2));
    assert_eq!(own.tenants[0].key, "present");
    assert!(own.directory.is_empty() && own.checkpoint.is_empty() && own.problems.is_empty());
    let nobody = status(tenant("green")).await.unwrap().unwrap();
    assert_eq!((nobody.tenants.len(), nobody.tenants[0].records), (1, 0));
    room.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_key_is_handed_out_on_record_and_only_for_what_it_wraps() {
    let (directory, safe) = (TempDir::new().unwrap(), Arc::new(Memory::default()));
    let room = open(&directory.path().join("trace"), &safe).await;
    let master = room.keys.tenant("red").unwrap();
    let file = FileKey::make(&master).unwrap();
    let wrapped = master.wrap(&file.dek).unwrap();
    let unwrap = |id: &str, wrapped: &str| Unwrap {
        master_key_id: id.to_owned(),
        wrapped_key: wrapped.to_owned(),
        actor: "uid:0".to_owned(),
    };
    let ask = |unwrap| room.door.ask(|reply| Command::Unwrap(unwrap, reply));
    let key = ask(unwrap(master.id(), &wrapped)).await.unwrap().unwrap();
    assert_eq!(key.as_slice(), file.dek.expose());
    let other = room.keys.tenant("blue").unwrap();
    assert!(matches!(ask(unwrap(other.id(), &wrapped)).await.unwrap(), Err(Refused::Senseless(_))));
    assert!(matches!(ask(unwrap("red/0", &wrapped)).await.unwrap(), Err(Refused::Unknown(_))));
    let told = room.told.lock().unwrap();
    let unwrapped = |record: &&v1::Record| {
        record.note.as_ref().is_some_and(|note| note.event == "unwrapped" && note.actor == "uid:0")
    };
    assert_eq!(told.iter().filter(unwrapped).count(), 1);
}
