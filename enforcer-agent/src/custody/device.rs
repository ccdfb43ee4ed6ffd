//! One device's task: it asks the pure part what is to be done, does it, and writes down what came of it. The gate is
//! closed before anything else, and opened after everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::rand;
use enforcer_core::device::custody::{
    Custody, DeviceKey, Event, Granted, Plan, Refused, Rules, State, Word, step,
};
use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::number::DeviceNumber;
use enforcer_proto::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::edges::{Crash, Edges};
use super::keep::Keep;
use super::receipts::{self, Cleaning};
use super::scrub::{Job, Outcome, ScrubError, Scrubber};
use super::told;

/// Messages that wait for a device.
pub(super) const WAITING_MAX: usize = 16;
/// People who follow one device's way at once.
const FOLLOWERS_MAX: usize = 16;

/// What the policy in force and the node say of a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its number now; `None` while its driver is not loaded.
    pub(super) number: Option<DeviceNumber>,
    /// To whom it is granted.
    pub(super) granted: Granted,
    /// Numbers of the tenants.
    pub(super) ids: BTreeMap<String, u32>,
}

/// What a device's task is told.
pub(super) enum Message {
    /// The policy or the node has changed.
    Facts(Facts),
    /// The kernel's table says something else than it should.
    Check,
    /// A person's word.
    Said(Said),
}

/// A person's word.
pub(super) struct Said {
    pub(super) word: Word,
    pub(super) reason: String,
    pub(super) actor: String,
    /// Who follows what becomes of it.
    pub(super) steps: Option<mpsc::Sender<v1::HandoverStep>>,
    pub(super) reply: oneshot::Sender<Result<(), String>>,
}

/// What every task shows to the room.
pub(super) type Board = Arc<Mutex<BTreeMap<DeviceKey, (Custody, Option<DeviceNumber>)>>>;

type Running = Pin<Box<dyn Future<Output = Result<Outcome, ScrubError>> + Send>>;

/// One device.
pub(super) struct Device {
    pub(super) key: DeviceKey,
    pub(super) custody: Custody,
    pub(super) rules: Rules,
    pub(super) scrubber: Option<Arc<dyn Scrubber>>,
    pub(super) facts: Facts,
    pub(super) edges: Edges,
    pub(super) keep: Arc<Keep>,
    pub(super) board: Board,
    /// What the kernel has, as far as is known.
    pub(super) gate: Option<GateCustody>,
    /// The scrub whose receipt is to be written.
    pub(super) cleaning: Option<Cleaning>,
    pub(super) followers: Vec<mpsc::Sender<v1::HandoverStep>>,
    /// What is written down is not what is so.
    pub(super) is_unwritten: bool,
}

impl Device {
    /// Until nobody has anything to say to it any more.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Message>) {
        if let Err(crash) = self.work(&mut inbox).await {
            warn!(device = %self.key, %crash, "a device is left as it is");
        }
    }

    async fn work(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Result<(), Crash> {
        self.show();
        self.happen(&Event::Grants, told::AGENT).await?.unwrap_or_default();
        loop {
            let goes_on = match self.custody.plan(&self.facts.granted, &self.rules) {
                Plan::Wait => {
                    // A gate or a journal that could not be written is written again.
                    let again = (self.is_unwritten || !self.is_settled()).then_some(self.edges.poll);
                    self.listen(inbox, again).await?
                }
                Plan::Prove { .. } => self.prove(inbox).await?,
                Plan::Skip => self.skip().await?,
                Plan::Scrub => self.scrub(inbox).await?,
                Plan::Receipt => self.receipt().await?,
            };
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Waits for a message; for so long, where there is a time. False at the end.
    async fn listen(
        &mut self,
        inbox: &mut mpsc::Receiver<Message>,
        most: Option<Duration>,
    ) -> Result<bool, Crash> {
        let message = match most {
            None => inbox.recv().await,
            Some(most) => tokio::select! {
                message = inbox.recv() => message,
                () = sleep(most) => {
                    self.settle().await?;
                    self.happen(&Event::Tick, told::AGENT).await?.unwrap_or_default();
                    self.happen(&Event::Grants, told::AGENT).await?.unwrap_or_default();
                    return Ok(true);
                }
            },
        };
        match message {
            Some(message) => self.hear(message).await.map(|()| true),
            None => Ok(false),
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Crash> {
        match message {
            Message::Facts(facts) => {
                self.renumber(facts.number).await;
                self.facts = facts;
                // The policy room may have closed it before the policy changed.
                self.gate = None;
                self.show();
                self.happen(&Event::Grants, told::AGENT).await?.unwrap_or_default();
                self.settle().await?;
            }
            Message::Check => {
                self.gate = None;
                self.settle().await?;
            }
            Message::Said(said) => self.heed(said).await?,
        }
        Ok(())
    }

    /// Its old number is nobody's now, unless another device of ours has it.
    async fn renumber(&mut self, number: Option<DeviceNumber>) {
        let Some(old) = self.facts.number.filter(|old| Some(*old) != number) else { return };
        let is_anothers = {
            let board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
            board.iter().any(|(key, (_, number))| *key != self.key && *number == Some(old))
        };
        if !is_anothers && let Err(error) = self.edges.gate(old, Some(GateCustody::Closed)).await {
            error!(device = %self.key, %old, %error, "the number that it had could not be closed");
        }
        self.gate = None;
    }

    async fn heed(&mut self, said: Said) -> Result<(), Crash> {
        let Said { word, reason, actor, steps, reply } = said;
        let dry = step(
            &self.custody,
            &Event::Said(word, reason.clone()),
            &self.facts.granted,
            &self.rules,
            (self.edges.clock)(),
        );
        let done = match (dry, word) {
            (Err(refused), _) => Err(refused.to_string()),
            (Ok(_), Word::Release) => self.release(&reason, &actor).await?,
            (Ok(_), _) => {
                self.follow(steps);
                let heeded = self.happen(&Event::Said(word, reason), &actor).await?;
                heeded.map_err(|refused| refused.to_string()).and_then(|()| self.written())
            }
        };
        let _gone = reply.send(done);
        Ok(())
    }

    /// What was asked for holds in the kernel and on disk.
    fn written(&self) -> Result<(), String> {
        match (self.is_settled(), self.is_unwritten) {
            (false, _) => Err("the kernel's table could not be written; it is tried again".to_owned()),
            (_, true) => Err("it is closed, and could not be written down; it is tried again".to_owned()),
            _ => Ok(()),
        }
    }

    /// A person answers for what is in it: with a receipt, and not while somebody holds it.
    async fn release(&mut self, reason: &str, actor: &str) -> Result<Result<(), String>, Crash> {
        let mut lacking = Vec::new();
        match self.vacancy().await {
            Ok(()) => {}
            Err((why, true)) => return Ok(Err(why)),
            Err((why, false)) => lacking.push(why),
        }
        let now = (self.edges.clock)();
        let detail = format!("{actor}: {reason}");
        let cleaning = Cleaning::declared("released-by-person", &detail, now, lacking);
        match self.write_receipt(cleaning).await {
            Ok(hash) => self.custody.receipt = hash,
            Err(why) => return Ok(Err(format!("no receipt could be made: {why}"))),
        }
        (self.edges.step)("receipt")?;
        let done = self.happen(&Event::Said(Word::Release, reason.to_owned()), actor).await?;
        if done.is_ok() {
            self.happen(&Event::Grants, told::AGENT).await?.unwrap_or_default();
        }
        Ok(done.map_err(|refused| refused.to_string()))
    }

    fn follow(&mut self, steps: Option<mpsc::Sender<v1::HandoverStep>>) {
        self.followers.retain(|follower| !follower.is_closed());
        if let Some(steps) = steps.filter(|_| self.followers.len() < FOLLOWERS_MAX) {
            self.followers.push(steps);
        }
    }

    async fn vacancy(&self) -> Result<(), (String, bool)> {
        let Some(number) = self.facts.number else {
            return Err(("its driver is not loaded: nobody can be asked who holds it".to_owned(), false));
        };
        self.edges.vacancy(number).await.map_err(|occupied| (occupied.why, occupied.is_held))
    }

    async fn prove(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Result<bool, Crash> {
        self.settle().await?;
        if !self.is_settled() {
            return self.listen(inbox, Some(self.edges.poll)).await;
        }
        let Some(number) = self.facts.number else {
            return self.unproven("its driver is not loaded: nobody can be asked who holds it", inbox).await;
        };
        let edges = self.edges.clone();
        // Whoever is asked may itself be waiting for this device to be closed.
        let vacancy = tokio::select! {
            vacancy = edges.vacancy(number) => vacancy,
            message = inbox.recv() => match message {
                Some(message) => return self.hear(message).await.map(|()| true),
                None => return Ok(false),
            },
        };
        match vacancy {
            Err(occupied) => self.unproven(&occupied.why, inbox).await,
            Ok(()) => {
                self.happen(&Event::Vacancy(Ok(())), told::AGENT).await?.unwrap_or_default();
                Ok(true)
            }
        }
    }

    async fn unproven(&mut self, why: &str, inbox: &mut mpsc::Receiver<Message>) -> Result<bool, Crash> {
        let event = Event::Vacancy(Err(why.to_owned()));
        self.happen(&event, told::AGENT).await?.unwrap_or_default();
        self.listen(inbox, Some(self.edges.poll)).await
    }

    async fn skip(&mut self) -> Result<bool, Crash> {
        let detail = "the same tenant again; deviceGate.custody.reuse is sameTenant";
        let cleaning = Cleaning::declared("skipped-by-policy", detail, (self.edges.clock)(), Vec::new());
        self.conclude(cleaning).await
    }

    async fn receipt(&mut self) -> Result<bool, Crash> {
        match self.cleaning.take() {
            Some(cleaning) => self.conclude(cleaning).await,
            None => {
                let lost = Event::Unreceipted("nothing is known of its scrub".to_owned());
                self.happen(&lost, told::AGENT).await?.unwrap_or_default();
                Ok(true)
            }
        }
    }

    async fn conclude(&mut self, cleaning: Cleaning) -> Result<bool, Crash> {
        let written = self.write_receipt(cleaning).await;
        (self.edges.step)("receipt")?;
        let event = match written {
            Ok(hash) => Event::Receipted(hash),
            Err(why) => Event::Unreceipted(why),
        };
        self.happen(&event, told::AGENT).await?.unwrap_or_default();
        self.happen(&Event::Grants, told::AGENT).await?.unwrap_or_default();
        Ok(true)
    }

    async fn write_receipt(&self, cleaning: Cleaning) -> Result<String, String> {
        let edges = (&self.edges, self.keep.as_ref());
        let about = (&self.custody, &self.facts.granted);
        receipts::write(edges, (&self.key, self.facts.number), about, cleaning).await
    }

    /// Runs the scrubber, and hears meanwhile: a device that is no longer to be scrubbed ends it.
    async fn scrub(&mut self, inbox: &mut mpsc::Receiver<Message>) -> Result<bool, Crash> {
        (self.edges.step)("before the scrub")?;
        let started = (self.edges.clock)();
        let (mut running, job): (Running, Job) = match self.begin() {
            Ok(begun) => begun,
            Err(why) => {
                self.happen(&Event::Scrubbed(Err(why)), told::AGENT).await?.unwrap_or_default();
                return Ok(true);
            }
        };
        let outcome = loop {
            tokio::select! {
                outcome = &mut running => break outcome,
                message = inbox.recv() => {
                    let Some(message) = message else { return Ok(false) };
                    self.hear(message).await?;
                    if self.custody.state != State::Sanitizing {
                        return Ok(true);
                    }
                    if self.facts.number != Some(job.device) {
                        let why = "its number changed while it was scrubbed".to_owned();
                        self.happen(&Event::Scrubbed(Err(why)), told::AGENT).await?.unwrap_or_default();
                        return Ok(true);
                    }
                }
            }
        };
        drop(running);
        (self.edges.step)("scrubbed")?;
        let event = match outcome {
            Ok(outcome) => {
                let method = self.scrubber.as_ref().map_or("", |scrubber| scrubber.method());
                self.cleaning = Some(Cleaning::scrubbed(&job, method, outcome, started));
                Event::Scrubbed(Ok(()))
            }
            Err(error) => Event::Scrubbed(Err(error.to_string())),
        };
        if event == Event::Scrubbed(Ok(())) {
            self.forget_holders(job.device).await;
        }
        self.happen(&event, told::AGENT).await?.unwrap_or_default();
        Ok(true)
    }

    fn begin(&self) -> Result<(Running, Job), String> {
        let scrubber = self.scrubber.clone().ok_or("no scrubber is configured for its class")?;
        let device = self.facts.number.ok_or("its driver is not loaded")?;
        let (mut nonce, mut seed) = ([0; 32], [0; 32]);
        let random = rand::fill(&mut nonce).and_then(|()| rand::fill(&mut seed));
        random.map_err(|_| "the cryptographic library gives no random bytes")?;
        let job = Job { key: self.key.clone(), device, nonce, seed };
        let given = job.clone();
        Ok((Box::pin(async move { scrubber.scrub(&given).await }), job))
    }

    /// Who once held it is the next handover's business no more.
    async fn forget_holders(&self, device: DeviceNumber) {
        if let Ok(Err(error)) = self.edges.policy.forget_touched(device).await {
            warn!(device = %self.key, %error, "who held it could not be forgotten");
        }
    }

    /// Something happened: closes first, writes down, opens last.
    async fn happen(&mut self, event: &Event, actor: &str) -> Result<Result<(), Refused>, Crash> {
        let now = (self.edges.clock)();
        let next = match step(&self.custody, event, &self.facts.granted, &self.rules, now) {
            Ok(next) => next,
            Err(refused) => return Ok(Err(refused)),
        };
        if next == self.custody && !self.is_unwritten {
            return Ok(Ok(()));
        }
        if next.open_to().is_none() {
            self.set(GateCustody::Closed).await;
            (self.edges.step)("closed")?;
        }
        match self.keep.write(&self.key, &next) {
            Ok(()) => self.is_unwritten = false,
            Err(error) => {
                error!(device = %self.key, %error, "what became of a device could not be written down");
                self.is_unwritten = true;
                // What is not written down is not opened to anybody new.
                if next.open_to().is_some() {
                    return Ok(Ok(()));
                }
            }
        }
        (self.edges.step)("written")?;
        let has_moved = next.state != self.custody.state || next.tenants != self.custody.tenants;
        self.custody = next;
        self.show();
        if has_moved {
            self.tell(actor);
        }
        self.settle().await?;
        (self.edges.step)("settled")?;
        Ok(Ok(()))
    }

    fn wanted(&self) -> GateCustody {
        wanted(&self.custody, &self.facts)
    }

    fn is_settled(&self) -> bool {
        self.facts.number.is_none() || self.gate == Some(self.wanted())
    }

    async fn settle(&mut self) -> Result<(), Crash> {
        let wanted = self.wanted();
        if self.gate != Some(wanted) {
            self.set(wanted).await;
        }
        Ok(())
    }

    async fn set(&mut self, wanted: GateCustody) {
        let Some(number) = self.facts.number else { return };
        if self.gate == Some(wanted) {
            return;
        }
        match self.edges.gate(number, Some(wanted)).await {
            Ok(()) => self.gate = Some(wanted),
            Err(error) => {
                error!(device = %self.key, %error, "the gate of a device could not be set");
                self.gate = None;
            }
        }
    }

    fn show(&self) {
        let mut board = self.board.lock().unwrap_or_else(PoisonError::into_inner);
        board.insert(self.key.clone(), (self.custody.clone(), self.facts.number));
    }

    fn tell(&mut self, actor: &str) {
        let Custody { state, reason, .. } = &self.custody;
        info!(device = %self.key, state = state.word(), reason, "custody");
        (self.edges.tell)(told::stepped(
            &self.edges.node,
            (&self.key, self.facts.number),
            &self.custody,
            actor,
        ));
        let step = v1::HandoverStep {
            state: state.word().to_owned(),
            detail: reason.clone(),
            time: Some(std::time::SystemTime::now().into()),
        };
        self.followers.retain(|follower| follower.try_send(step.clone()).is_ok());
        if matches!(state, State::Available | State::InUse | State::Failed) {
            self.followers.clear();
        }
    }
}

/// What the gate must hold.
pub(super) fn wanted(custody: &Custody, facts: &Facts) -> GateCustody {
    let Some(tenants) = custody.open_to() else { return GateCustody::Closed };
    let ids: BTreeSet<u32> = tenants.iter().filter_map(|name| facts.ids.get(name).copied()).collect();
    let mut ids = ids.into_iter();
    match (ids.next(), ids.next()) {
        (None, _) => GateCustody::Closed,
        (Some(only), None) => GateCustody::Owner(only),
        (Some(_), Some(_)) => GateCustody::Granted,
    }
}
