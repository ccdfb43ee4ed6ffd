//! The room's one task: records, operators' words, time, and how the hands have fared.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::detect::alert::Alert;
use enforcer_core::detect::engine::{Engine, Party};
use enforcer_core::detect::respond::{Act, Effect, Responses, Told, Word};
use enforcer_core::detect::rule::{Action, Rules};
use enforcer_core::policy::model::{Name, Policy, UnixNanos};
use enforcer_proto::v1;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::StreamExt as _;
use tracing::{info, warn};

use super::answer;
use super::hands::{self, ACTS_MAX, Hands, Job};
use super::keep::{Keep, KeepError};
use crate::door::detect::{Command, DetectDoor, End, Freeze, Refused, WAITING_MAX};
use crate::door::policy::InForce;
use crate::door::records::{Records, Scope, Start, Subscribe, Tell};
use crate::door::stop::Stop;

const RESPONSES: &str = "responses.json";
const BASELINES: &str = "baselines.json";
/// How often time is looked at.
const TICK: Duration = Duration::from_secs(1);
/// How often what was learned is kept.
const SAVE_TICKS: u32 = 600;
/// Bytes of the reason that goes with a revocation.
const REASON_MAX_BYTES: usize = 512;
/// The cause of losses between the records' store and this room.
const SLOW: &str = "observer_slow";

/// What the room is made of.
pub struct Parts {
    /// This node's name.
    pub node: String,
    /// The rules in force.
    pub rules: Rules,
    /// Responses at once for one tenant.
    pub responses_per_tenant: usize,
    /// Where responses and baselines are kept, in a directory of their own.
    pub state_directory: PathBuf,
    /// The records.
    pub subscribe: Subscribe,
    /// Where alerts and responses go on record.
    pub tell: Tell,
    /// The policy, which says who is a tenant.
    pub in_force: watch::Receiver<Arc<InForce>>,
    /// Who does what is asked for.
    pub hands: Arc<dyn Hands>,
    /// Time of day.
    pub clock: fn() -> UnixNanos,
    /// The word to stop.
    pub stop: Stop,
}

/// Opens the room: what was kept is read; the second value runs it, until the word to stop. Records count from this call on.
///
/// # Errors
/// The state directory cannot be used. State that makes no sense is put aside, and told.
pub fn open(parts: Parts) -> Result<(DetectDoor, impl Future<Output = ()> + Send), KeepError> {
    let (commands, inbox) = mpsc::channel(WAITING_MAX);
    let (jobs, todo) = mpsc::channel(ACTS_MAX);
    let (outcomes, done) = mpsc::channel(ACTS_MAX);
    let records = (parts.subscribe)(Scope::Everything, Start::Newest, true);
    let now = (parts.clock)();
    let mut room = Room {
        engine: Engine::new(&parts.rules, now),
        responses: Responses::new(parts.responses_per_tenant, now),
        keep: Keep::open(&parts.state_directory)?,
        node: parts.node,
        tell: parts.tell,
        clock: parts.clock,
        policy: Arc::clone(&parts.in_force.borrow().current.policy),
        jobs,
        missed: 0,
        trouble: Vec::new(),
        unkept: None,
    };
    let resumed = room.recall(now);
    let worker = hands::work(parts.hands, parts.clock, todo, outcomes);
    let doors = Doors { records, inbox, done, in_force: parts.in_force, stop: parts.stop };
    Ok((DetectDoor { commands }, async move {
        // It ends with the room.
        let mut workers = JoinSet::new();
        workers.spawn(worker);
        room.run(doors, resumed).await;
    }))
}

/// Where everything comes from.
struct Doors {
    records: Records,
    inbox: mpsc::Receiver<Command>,
    done: mpsc::Receiver<(String, Result<(), String>)>,
    in_force: watch::Receiver<Arc<InForce>>,
    stop: Stop,
}

struct Room {
    engine: Engine,
    responses: Responses,
    keep: Keep,
    node: String,
    tell: Tell,
    clock: fn() -> UnixNanos,
    policy: Arc<Policy>,
    jobs: mpsc::Sender<Job>,
    /// Records that were lost on the way here.
    missed: u64,
    /// What went wrong at the start.
    trouble: Vec<String>,
    /// Why the responses on disk are not those in force.
    unkept: Option<String>,
}

impl Room {
    async fn run(mut self, mut doors: Doors, resumed: Vec<Effect>) {
        self.follow_up(resumed).await;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut ticks, mut has_records) = (0_u32, true);
        loop {
            tokio::select! {
                () = doors.stop.wait() => break,
                record = doors.records.next(), if has_records => match record {
                    Some(record) => self.see(&record).await,
                    None => {
                        has_records = false;
                        self.trouble.push("the records have ended: nothing is looked at any more".to_owned());
                        warn!("the records have ended; detection looks at nothing any more");
                    }
                },
                Some(command) = doors.inbox.recv() => self.answer(command).await,
                Some((id, outcome)) = doors.done.recv() => {
                    let effects = self.responses.done(&id, outcome, (self.clock)());
                    self.follow_up(effects).await;
                }
                Ok(()) = doors.in_force.changed() => {
                    self.policy = Arc::clone(&doors.in_force.borrow_and_update().current.policy);
                    let policy = Arc::clone(&self.policy);
                    self.engine.retain(&|tenant| policy.tenants.contains_key(tenant));
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    self.tick(ticks.is_multiple_of(SAVE_TICKS)).await;
                }
            }
        }
        self.keep_baselines().await;
    }

    /// What an earlier run left. What cannot be used is put aside.
    fn recall(&mut self, now: UnixNanos) -> Vec<Effect> {
        let learned = self.keep.read(BASELINES).and_then(|saved| {
            let remembered = saved.map_or(Ok(()), |saved| self.engine.remember(saved));
            remembered.map_err(|error| self.keep.unusable(BASELINES, error.to_string()))
        });
        if let Err(error) = learned {
            self.put_aside(BASELINES, &error, "what is usual is learned anew");
        }
        let resumed = self.keep.read(RESPONSES).and_then(|saved| {
            let resumed = saved.map_or(Ok(Vec::new()), |saved| self.responses.resume(saved, now));
            resumed.map_err(|error| self.keep.unusable(RESPONSES, error.to_string()))
        });
        resumed.unwrap_or_else(|error| {
            let then = "restrictions end by themselves; workloads that a response had revoked stay so until \
                        `enforcerctl identity restore`";
            self.put_aside(RESPONSES, &error, then);
            Vec::new()
        })
    }

    fn put_aside(&mut self, name: &str, error: &KeepError, then: &str) {
        warn!(%error, "put aside: {then}");
        self.trouble.push(format!("{error}; it was put aside, and {then}"));
        self.keep.put_aside(name);
    }

    async fn see(&mut self, record: &v1::Record) {
        if record.r#type == "loss" && record.reason == SLOW {
            self.missed = self.missed.saturating_add(record.lost_before);
        }
        let policy = Arc::clone(&self.policy);
        let alerts = self.engine.observe(record, (self.clock)(), &|name| party(&policy, name));
        for alert in alerts {
            self.raise(&alert).await;
        }
    }

    async fn raise(&mut self, alert: &Alert) {
        if alert.terms.action != Action::Record {
            warn!(rule = %alert.rule.name, tenant = %alert.tenant, level = alert.terms.level.word(), "{}", alert.sentence());
        }
        (self.tell)(alert.record(&self.node));
        let effects = self.responses.consider(alert, (self.clock)());
        self.follow_up(effects).await;
    }

    async fn tick(&mut self, is_time_to_keep: bool) {
        let now = (self.clock)();
        self.engine.tick(now);
        let effects = self.responses.tick(now);
        self.follow_up(effects).await;
        if is_time_to_keep {
            self.keep_baselines().await;
        }
    }

    /// Has done, and puts on record, what comes of a step; what has changed is on disk first.
    async fn follow_up(&mut self, effects: Vec<Effect>) {
        if effects.is_empty() {
            return;
        }
        self.keep_responses().await;
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                Effect::Tell(told) => self.put_on_record(&told),
                Effect::Do(id, act) => {
                    if let Err(why) = self.order(&id, act) {
                        queue.extend(self.responses.done(&id, Err(why), (self.clock)()));
                    }
                }
            }
        }
    }

    /// A revocation that nobody would remember is not begun; restrictions end by themselves.
    fn order(&self, id: &str, act: Act) -> Result<(), String> {
        if let (Act::Revoke(..), Some(why)) = (&act, &self.unkept) {
            return Err(format!("it could not be written down: {why}"));
        }
        let response = self.responses.list().find(|response| response.id == id);
        let mut reason = format!("detection, response {id}");
        if let Some(response) = response {
            reason = format!("{reason}: {}", response.explanation);
        }
        let reason = cut(reason, REASON_MAX_BYTES);
        let job = Job { id: id.to_owned(), act, reason };
        self.jobs.try_send(job).map_err(|_| format!("{ACTS_MAX} others wait to be done"))
    }

    fn put_on_record(&self, told: &Told) {
        let response = &told.response;
        match told.word {
            Word::Started | Word::Failed | Word::Withheld => {
                warn!(id = response.id, tenant = %response.tenant, rule = %response.rule, "{}", told.sentence());
            }
            Word::Resumed
            | Word::Extended
            | Word::Ended
            | Word::WouldStart
            | Word::WouldExtend
            | Word::WouldEnd => {
                info!(id = response.id, tenant = %response.tenant, rule = %response.rule, "{}", told.sentence());
            }
        }
        (self.tell)(told.record(&self.node, (self.clock)()));
    }

    async fn answer(&mut self, command: Command) {
        match command {
            Command::List(tenant, reply) => drop(reply.send(self.list(tenant.as_ref()))),
            Command::Freeze(freeze, reply) => {
                let answer = self.freeze(&freeze);
                self.keep_baselines().await;
                drop(reply.send(answer));
            }
            Command::End(End { id, actor }, reply) => {
                let ended = self.responses.end(&id, &actor, (self.clock)());
                let answer = match ended {
                    Ok((response, effects)) => {
                        self.keep_responses().await;
                        self.follow_up(effects).await;
                        Ok(v1::Response::from(&response))
                    }
                    Err(unknown) => Err(Refused::NoResponse(unknown.0)),
                };
                drop(reply.send(answer));
            }
        }
    }

    fn list(&mut self, tenant: Option<&Name>) -> v1::ListDetectionResponse {
        let rules = self.engine.rules().filter(|(rule, _)| answer::concerns(rule, tenant));
        let rules = rules.map(|(rule, raised)| answer::rule(rule, raised)).collect();
        let is_of = |name: &Name| tenant.is_none_or(|tenant| tenant == name);
        let responses = self.responses.list().filter(|response| is_of(&response.tenant));
        v1::ListDetectionResponse {
            rules,
            responses: responses.map(v1::Response::from).collect(),
            baselines: self.engine.learned(tenant.map(AsRef::as_ref)).iter().map(answer::baseline).collect(),
            warnings: self.warnings(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let tallies = self.engine.tallies();
        let counted = [
            (
                self.missed,
                "records were lost before detection saw them: the node tells more than it can look at",
            ),
            (tallies.pushed_out, "subjects were forgotten, since others of their tenant were too many"),
            (tallies.unfollowed, "records were of more tenants than a rule follows"),
            (tallies.rewound, "times the clock was set back, and every window begun anew"),
        ];
        let counted = counted.into_iter().filter(|(count, _)| *count > 0);
        let counted = counted.map(|(count, what)| format!("{count} {what}"));
        let unkept = self.unkept.iter().map(|why| format!("what is in force is not on disk: {why}"));
        self.trouble.iter().cloned().chain(counted).chain(unkept).collect()
    }

    fn freeze(&mut self, freeze: &Freeze) -> Result<Vec<v1::Baseline>, Refused> {
        let Freeze { tenant, rule, frozen, actor } = freeze;
        let learned = self.engine.freeze(tenant, rule.as_deref(), *frozen);
        if learned.is_empty() {
            return Err(Refused::NoBaseline(Arc::clone(tenant)));
        }
        let event = if *frozen { "frozen" } else { "unfrozen" };
        info!(%tenant, rule = rule.as_deref().unwrap_or("every"), actor, "baselines {event}");
        for one in &learned {
            (self.tell)(self.frozen_record(&one.tenant, &one.rule.name, event, actor));
        }
        Ok(learned.iter().map(answer::baseline).collect())
    }

    fn frozen_record(&self, tenant: &Name, rule: &Name, event: &str, actor: &str) -> v1::Record {
        v1::Record {
            time: Some(std::time::SystemTime::now().into()),
            node: self.node.clone(),
            r#type: enforcer_core::detect::alert::ALERT.to_owned(),
            source: Some(v1::Endpoint { identity: tenant.to_string(), ..v1::Endpoint::default() }),
            note: Some(v1::Note {
                event: event.to_owned(),
                subject: rule.to_string(),
                actor: actor.to_owned(),
                level: "low".to_owned(),
                message: format!("what is usual for {tenant} by {rule} was {event}"),
                fields: Vec::new(),
            }),
            ..v1::Record::default()
        }
    }

    async fn keep_responses(&mut self) {
        let (keep, saved) = (self.keep.clone(), self.responses.save());
        let why = in_background(move || keep.write(RESPONSES, &saved)).await.err();
        if let Some(why) = &why {
            warn!(why, "responses could not be written down");
        }
        self.unkept = why;
    }

    async fn keep_baselines(&mut self) {
        let (keep, saved) = (self.keep.clone(), self.engine.save());
        if let Err(why) = in_background(move || keep.write(BASELINES, &saved)).await {
            warn!(why, "what was learned could not be written down; it is tried again");
        }
    }
}

async fn in_background(write: impl FnOnce() -> Result<(), KeepError> + Send + 'static) -> Result<(), String> {
    match spawn_blocking(write).await {
        Ok(written) => written.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Who somebody is to the policy in force.
fn party(policy: &Policy, name: &str) -> Party {
    match name {
        "" | "world" | "unknown" => Party::Outside,
        tenant if policy.tenants.contains_key(tenant) => Party::Tenant,
        _ => Party::Platform,
    }
}

fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}
