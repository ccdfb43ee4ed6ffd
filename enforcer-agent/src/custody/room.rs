//! The room: which devices there are, one task for each, and who asks for what.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use enforcer_core::device::class::Role;
use enforcer_core::device::custody::hands::granted;
use enforcer_core::device::custody::{Custody, DeviceKey, Event, Rules, State, Word, step};
use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::device::table::DeviceTable;
use enforcer_core::policy::model::Policy;
use enforcer_proto::v1;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, warn};

use super::device::{Board, Device, Facts, Message, Said, WAITING_MAX, wanted};
use super::edges::Edges;
use super::keep::{Keep, KeepError};
use super::scrub::Scrubber;
use crate::door::device::{CustodyCommand, Door, WAITING_MAX as COMMANDS_MAX};
use crate::door::policy::InForce;
use crate::door::stop::Stop;

/// How often the kernel's table is held against what it should say.
const CHECK: std::time::Duration = std::time::Duration::from_secs(5);
/// Receipts in one answer.
const RECEIPTS_MAX: u32 = 1_000;

/// What the room is made of.
pub struct Parts {
    /// Below which what outlives the agent is kept.
    pub state_directory: PathBuf,
    /// How devices are handed over.
    pub rules: Rules,
    /// Who scrubs which class.
    pub scrubbers: BTreeMap<String, Arc<dyn Scrubber>>,
    /// What it is joined to.
    pub edges: Edges,
    /// The word to stop.
    pub stop: Stop,
}

/// The room's door, and what is behind it: made before the room, since others need it to open.
#[must_use]
pub fn door() -> (Door<CustodyCommand>, mpsc::Receiver<CustodyCommand>) {
    let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
    (Door::new(commands), inbox)
}

/// Opens the room; the value runs it, until the word to stop.
///
/// # Errors
/// The state directory cannot be used.
pub fn open(
    parts: Parts,
    inbox: mpsc::Receiver<CustodyCommand>,
) -> Result<impl Future<Output = ()> + Send, KeepError> {
    let keep = Arc::new(Keep::open(&parts.state_directory)?);
    let Parts { rules, scrubbers, edges, stop, .. } = parts;
    let room = Room {
        rules,
        scrubbers,
        edges,
        keep,
        board: Arc::new(Mutex::new(BTreeMap::new())),
        devices: BTreeMap::new(),
        unscrubbed: BTreeSet::new(),
        tasks: JoinSet::new(),
    };
    Ok(room.run(inbox, stop))
}

/// A device's task.
struct Seat {
    messages: mpsc::Sender<Message>,
    facts: Facts,
}

struct Room {
    rules: Rules,
    scrubbers: BTreeMap<String, Arc<dyn Scrubber>>,
    edges: Edges,
    keep: Arc<Keep>,
    board: Board,
    devices: BTreeMap<DeviceKey, Seat>,
    unscrubbed: BTreeSet<String>,
    tasks: JoinSet<()>,
}

impl Room {
    async fn run(mut self, mut inbox: mpsc::Receiver<CustodyCommand>, mut stop: Stop) {
        let mut in_force = self.edges.policy.watch();
        let first = Arc::clone(&in_force.borrow_and_update());
        self.recall(&first).await;
        self.follow(&first).await;
        let mut check = interval(CHECK);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = check.tick() => self.check().await,
                () = stop.wait() => break,
                Some(command) = inbox.recv() => self.answer(command).await,
                changed = in_force.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    let latest = Arc::clone(&in_force.borrow_and_update());
                    self.follow(&latest).await;
                }
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended {
                        error!(%error, "the task of a device failed; its gate stays as it is");
                    }
                }
            }
        }
        self.tasks.shutdown().await;
    }

    /// What an earlier agent left, on disk and in the kernel. What must be closed is closed first.
    async fn recall(&mut self, in_force: &InForce) {
        let table = &in_force.facts.devices;
        let mut kernel = match self.edges.policy.custody().await {
            Ok(Ok(held)) => held,
            Ok(Err(error)) => {
                warn!(error, "what the gate holds of devices could not be read");
                BTreeMap::new()
            }
            Err(_) => return,
        };
        let found = self.keep.devices().unwrap_or_else(|error| {
            error!(%error, "what was written of devices cannot be listed: each is seen for the first time");
            Vec::new()
        });
        let now = (self.edges.clock)();
        let mut seats = Vec::new();
        for (key, kept) in found {
            let facts = facts_of(&key, &in_force.current.policy, table);
            let gate = facts.number.and_then(|number| kernel.remove(&number));
            let custody = kept.unwrap_or_else(|error| Custody::unreadable(&error.to_string(), now));
            let rules = self.rules_of(&key);
            if !rules.has_scrubber && matches!(custody.state, State::InUse | State::Available) {
                self.dismiss(&key, facts.number).await;
                continue;
            }
            let event = Event::Restart { closed: gate == Some(GateCustody::Closed) };
            let custody = step(&custody, &event, &facts.granted, &rules, now).unwrap_or(custody);
            seats.push((key, custody, facts, gate));
        }
        for (_, custody, facts, gate) in &mut seats {
            if let (None, Some(number)) = (custody.open_to(), facts.number)
                && self.close(number).await
            {
                *gate = Some(GateCustody::Closed);
            }
        }
        self.recall_strays(kernel, in_force, &mut seats).await;
        for (key, custody, facts, gate) in seats {
            self.seat(key, custody, facts, gate);
        }
    }

    /// What only the kernel knows: nothing is written of it.
    async fn recall_strays(
        &self,
        kernel: BTreeMap<DeviceNumber, GateCustody>,
        in_force: &InForce,
        seats: &mut Vec<(DeviceKey, Custody, Facts, Option<GateCustody>)>,
    ) {
        let table = &in_force.facts.devices;
        for (number, gate) in kernel {
            let key = key_of(table, number);
            let is_ours = key.as_ref().is_some_and(|key| table.is_in_custody(&key.class));
            if gate != GateCustody::Closed && !is_ours {
                // Open by custody, and no scrubber any more: grants alone decide.
                let _tried_again_at_the_next_start = self.edges.gate(number, None).await;
                continue;
            }
            let gate = self.close(number).await.then_some(GateCustody::Closed);
            let Some(key) = key else { continue };
            let facts = facts_of(&key, &in_force.current.policy, table);
            let mut custody = Custody::first_sight((self.edges.clock)());
            "the kernel has an entry of it and nothing is written".clone_into(&mut custody.reason);
            custody.held = !is_ours;
            seats.push((key, custody, facts, gate));
        }
    }

    async fn close(&self, number: DeviceNumber) -> bool {
        match self.edges.gate(number, Some(GateCustody::Closed)).await {
            Ok(()) => true,
            Err(error) => {
                error!(%number, error, "a device could not be closed");
                false
            }
        }
    }

    /// It is handed over by nobody any more.
    async fn dismiss(&self, key: &DeviceKey, number: Option<DeviceNumber>) {
        if let Err(error) = self.keep.forget(key) {
            warn!(device = %key, %error, "cannot be forgotten");
        }
        if let Some(number) = number {
            let _tried_again_at_the_next_start = self.edges.gate(number, None).await;
        }
    }

    fn rules_of(&self, key: &DeviceKey) -> Rules {
        Rules { has_scrubber: self.scrubbers.contains_key(&key.class), ..self.rules }
    }

    fn seat(&mut self, key: DeviceKey, custody: Custody, facts: Facts, gate: Option<GateCustody>) {
        let (messages, inbox) = mpsc::channel(WAITING_MAX);
        let device = Device {
            rules: self.rules_of(&key),
            scrubber: self.scrubbers.get(&key.class).cloned(),
            key: key.clone(),
            custody,
            facts: facts.clone(),
            edges: self.edges.clone(),
            keep: Arc::clone(&self.keep),
            board: Arc::clone(&self.board),
            gate,
            cleaning: None,
            followers: Vec::new(),
            // Written at once, whatever was there.
            is_unwritten: true,
        };
        self.tasks.spawn(device.run(inbox));
        self.devices.insert(key, Seat { messages, facts });
    }

    /// The policy in force, or the node, has changed.
    async fn follow(&mut self, in_force: &InForce) {
        let (policy, table) = (&in_force.current.policy, &in_force.facts.devices);
        let mut keys: BTreeSet<DeviceKey> = BTreeSet::new();
        self.unscrubbed.clear();
        for grant in policy.tenants.values().flat_map(|tenant| &tenant.devices) {
            let Some(minors) = &grant.minors else { continue };
            if self.scrubbers.contains_key(grant.class.as_ref()) {
                let key = |minor: &u32| DeviceKey { class: grant.class.to_string(), number: *minor };
                keys.extend(minors.iter().map(key));
            } else if table.role(&grant.class) == Some(Role::Accelerator) {
                self.unscrubbed.insert(grant.class.to_string());
            }
        }
        for key in keys {
            if !self.devices.contains_key(&key) && table.is_in_custody(&key.class) {
                let facts = facts_of(&key, policy, table);
                self.seat(key, Custody::first_sight((self.edges.clock)()), facts, None);
            }
        }
        for (key, seat) in &mut self.devices {
            let facts = facts_of(key, policy, table);
            if facts != seat.facts {
                seat.facts = facts.clone();
                // A task that has ended leaves its device as it is.
                let _ended = seat.messages.send(Message::Facts(facts)).await;
            }
        }
    }

    /// Whatever was written into the kernel's table by others is written over.
    async fn check(&self) {
        let Ok(Ok(held)) = self.edges.policy.custody().await else { return };
        for (key, seat) in &self.devices {
            let shown = {
                let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
                board.get(key).cloned()
            };
            let Some((custody, Some(number))) = shown else { continue };
            if held.get(&number) != Some(&wanted(&custody, &seat.facts)) {
                // It looks itself: what is on its way just now is no drift.
                let _busy_or_ended = seat.messages.try_send(Message::Check);
            }
        }
    }

    async fn answer(&mut self, command: CustodyCommand) {
        match command {
            CustodyCommand::Quarantine(asked, reply) => {
                let in_force = self.edges.policy.in_force();
                let Some(key) = key_of(&in_force.facts.devices, asked.device) else {
                    // No class, no name: the kernel's entry alone closes it.
                    let done = self.edges.gate(asked.device, Some(GateCustody::Closed)).await;
                    let _gone = reply.send(done);
                    return;
                };
                self.ensure(&key, &in_force);
                let (reason, actor) = (asked.reason, asked.actor);
                let said = Said { word: Word::Quarantine, reason, actor, steps: None, reply };
                self.say(&key, said).await;
            }
            CustodyCommand::List(reply) => {
                let _gone = reply.send(Ok(self.list()));
            }
            CustodyCommand::Handover(asked, steps, reply) => {
                let request = asked.request;
                let word = Word::from_verb(&request.verb)
                    .ok_or_else(|| format!("\"{}\" is no verb: drain, scrub or release", request.verb));
                match self.find(&request.device).and_then(|key| Ok((key, word?))) {
                    Err(why) => {
                        let _gone = reply.send(Err(why));
                    }
                    Ok((key, word)) => {
                        let (reason, actor) = (request.reason, asked.actor);
                        self.say(&key, Said { word, reason, actor, steps: Some(steps), reply }).await;
                    }
                }
            }
            CustodyCommand::Receipts(request, reply) => {
                let _gone = reply.send(self.receipts(&request));
            }
        }
    }

    async fn say(&self, key: &DeviceKey, said: Said) {
        if let Some(seat) = self.devices.get(key) {
            // Whoever asked hears that nobody answers.
            let _ended = seat.messages.send(Message::Said(said)).await;
        }
    }

    fn ensure(&mut self, key: &DeviceKey, in_force: &InForce) {
        if !self.devices.contains_key(key) {
            let facts = facts_of(key, &in_force.current.policy, &in_force.facts.devices);
            self.seat(key.clone(), Custody::first_sight((self.edges.clock)()), facts, None);
        }
    }

    /// The device that somebody means.
    fn find(&self, words: &str) -> Result<DeviceKey, String> {
        let table = Arc::clone(&self.edges.policy.in_force().facts.devices);
        let key = named(words).or_else(|| {
            let region = table.parse_device(words).ok()?;
            let number = DeviceNumber::from_words(region.kind, region.major, region.minor)?;
            key_of(&table, number)
        });
        let key = key.ok_or_else(|| format!("\"{words}\" is no device: write CLASS:NUMBER"))?;
        if self.devices.contains_key(&key) {
            return Ok(key);
        }
        Err(format!(
            "{key} is not in custody: nobody was granted it, or no scrubber is configured for its class"
        ))
    }

    fn list(&self) -> v1::CustodyResponse {
        let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        let devices = board.iter().map(|(key, (custody, number))| v1::DeviceCustody {
            device: Some(v1::DeviceName {
                class: key.class.clone(),
                number: Some(key.number),
                kind: number.map(|number| number.kind.name().to_owned()).unwrap_or_default(),
                major: number.map_or(0, |number| number.major),
                minor: number.map_or(0, |number| number.minor),
            }),
            state: custody.state.word().to_owned(),
            tenants: custody.tenants.iter().cloned().collect(),
            since: Some(timestamp(custody.since_ns)),
            reason: custody.reason.clone(),
            receipt: custody.receipt.clone(),
            scrubber: self.scrubbers.get(&key.class).map_or("", |scrubber| scrubber.method()).to_owned(),
            history: custody.history.iter().map(|(state, _)| state.word().to_owned()).collect(),
        });
        v1::CustodyResponse {
            devices: devices.collect(),
            unscrubbed: self.unscrubbed.iter().cloned().collect(),
        }
    }

    fn receipts(&self, request: &v1::ReceiptsRequest) -> Result<v1::ReceiptsResponse, String> {
        let last = usize::try_from(request.last.unwrap_or(RECEIPTS_MAX).min(RECEIPTS_MAX)).unwrap_or(0);
        let keys: Vec<DeviceKey> = match &request.device {
            Some(words) => vec![self.find(words)?],
            None => self.devices.keys().cloned().collect(),
        };
        let mut all = Vec::new();
        for key in keys {
            all.extend(self.keep.receipts(&key, last).map_err(|error| error.to_string())?);
        }
        all.sort_by_key(|signed| std::cmp::Reverse(signed.receipt.ended_ns));
        let receipts = all.into_iter().take(last).map(|signed| v1::SignedReceipt {
            receipt: signed.receipt.to_bytes(),
            signature: enforcer_trace::hex::decode::<64>(&signed.signature)
                .map(|bytes| bytes.to_vec())
                .unwrap_or_default(),
            key: fingerprint(&signed.receipt.signer),
        });
        Ok(v1::ReceiptsResponse { receipts: receipts.collect() })
    }
}

fn fingerprint(signer: &str) -> String {
    enforcer_trace::hex::decode(signer)
        .map(|key| enforcer_trace::keys::PublicKey(key).fingerprint())
        .unwrap_or_default()
}

/// `CLASS:NUMBER`, also while its driver is not loaded.
fn named(words: &str) -> Option<DeviceKey> {
    let (class, number) = words.rsplit_once(':')?;
    let is_digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse().ok().filter(|_| is_digits && !class.contains([' ', '/']))?;
    Some(DeviceKey { class: class.to_owned(), number })
}

/// What a number is called now.
fn key_of(table: &DeviceTable, device: DeviceNumber) -> Option<DeviceKey> {
    let (class, number) = table.index_of(device.kind, device.major, device.minor)?;
    Some(DeviceKey { class: class.to_owned(), number })
}

fn facts_of(key: &DeviceKey, policy: &Policy, table: &DeviceTable) -> Facts {
    let region = table.locate(&key.class, key.number).ok();
    let number = region.and_then(|region| DeviceNumber::from_words(region.kind, region.major, region.minor));
    let (granted, ids) = granted(policy, key);
    Facts { number, granted, ids }
}

fn timestamp(ns: u64) -> prost_types::Timestamp {
    let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(ns);
    at.into()
}
