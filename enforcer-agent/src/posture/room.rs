//! The room's one task: time, and who asks.

use std::sync::Arc;
use std::time::Duration;

use enforcer_common::identity::{HOST, is_service};
use enforcer_core::device::holding::HandleSweep;
use enforcer_core::device::posture::{Judgement, Setting, digest, judge};
use enforcer_core::policy::model::UnixNanos;
use enforcer_proto::v1;
use prost_types::Timestamp;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tracing::warn;

use super::read::{Place, Reader};
use crate::door::device::{Door, PostureCommand, WAITING_MAX};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stop;

/// Settings that one record names.
const NAMED_MAX: usize = 16;

/// What the room is made of.
pub struct Parts {
    /// This node's name.
    pub node: String,
    /// Where settings are.
    pub reader: Reader,
    /// How often they are read.
    pub every: Duration,
    /// Who has which device, and where workloads are.
    pub policy: PolicyDoor,
    /// Where changes go on record.
    pub tell: Tell,
    /// Time of day.
    pub clock: fn() -> UnixNanos,
    /// The word to stop.
    pub stop: Stop,
}

/// Opens the room; the second value runs it, until the word to stop.
pub fn open(parts: Parts) -> (Door<PostureCommand>, impl Future<Output = ()> + Send) {
    let (commands, inbox) = mpsc::channel(WAITING_MAX);
    let room = Room { parts, last: None };
    (Door::new(commands), room.run(inbox))
}

struct Room {
    parts: Parts,
    last: Option<Vec<Setting>>,
}

impl Room {
    async fn run(mut self, mut inbox: mpsc::Receiver<PostureCommand>) {
        let mut stop = self.parts.stop.clone();
        let mut tick = interval(self.parts.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                Some(PostureCommand::Read(reply)) = inbox.recv() => {
                    let answer = self.look().await.map(|settings| self.response(settings));
                    let _gone = reply.send(answer);
                }
                _ = tick.tick() => if let Err(error) = self.look().await {
                    warn!(error, "settings that isolation rests on cannot be read");
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Vec<Setting>, String> {
        let (reader, places) = (self.parts.reader.clone(), self.places());
        let read = spawn_blocking(move || judge(&reader.read(&places))).await;
        let settings = read.map_err(|error| format!("reading failed: {error}"))?;
        let changed = match &self.last {
            Some(last) if digest(last) != digest(&settings) => Some(differences(last, &settings)),
            Some(_) | None => None,
        };
        if let Some(changed) = changed {
            let held = self.is_held().await;
            (self.parts.tell)(self.record(&settings, &changed, &held));
        }
        self.last = Some(settings.clone());
        Ok(settings)
    }

    /// The workloads of this node that have a control group.
    fn places(&self) -> Vec<Place> {
        let in_force = self.parts.policy.in_force();
        let node = self.parts.node.as_str();
        let here = in_force
            .current
            .policy
            .workloads
            .values()
            .filter(|workload| workload.node.as_ref().is_none_or(|name| **name == *node));
        let place = |workload: &Arc<enforcer_core::policy::model::Workload>| {
            Some(Place {
                workload: workload.name.to_string(),
                tenant: workload.tenant.to_string(),
                cgroup: workload.cgroup.clone()?,
            })
        };
        here.filter_map(place).collect()
    }

    /// Whether a tenant has a device now; where that cannot be seen, whether it may have one.
    async fn is_held(&self) -> Held {
        match self.parts.policy.handles().await {
            Ok(Ok(sweep)) if has_holder(&sweep) => Held::Yes,
            Ok(Ok(HandleSweep { lacking: None, .. })) => Held::No,
            _ => {
                let in_force = self.parts.policy.in_force();
                let mut tenants = in_force.current.policy.tenants.values();
                if tenants.any(|tenant| !tenant.devices.is_empty()) { Held::Perhaps } else { Held::No }
            }
        }
    }

    fn record(&self, settings: &[Setting], changed: &[String], held: &Held) -> v1::Record {
        let is_alarm = *held != Held::No;
        let what = changed.join("; ");
        let message = match held {
            Held::Yes => format!("settings that isolation rests on changed while a device is held: {what}"),
            Held::Perhaps => {
                format!("settings that isolation rests on changed, and a device may be held: {what}")
            }
            Held::No => format!("settings that isolation rests on changed: {what}"),
        };
        if is_alarm {
            warn!("{message}");
        }
        let digest: String = digest(settings).iter().map(|byte| format!("{byte:02x}")).collect();
        v1::Record {
            time: Some(timestamp((self.parts.clock)())),
            node: self.parts.node.clone(),
            r#type: if is_alarm { "alert" } else { "device" }.to_owned(),
            note: Some(v1::Note {
                event: if is_alarm { "raised" } else { "posture-changed" }.to_owned(),
                subject: "posture".to_owned(),
                actor: "agent".to_owned(),
                level: if is_alarm { "high" } else { "info" }.to_owned(),
                message,
                fields: vec![v1::Field { name: "digest".to_owned(), value: digest }],
            }),
            ..v1::Record::default()
        }
    }

    fn response(&self, settings: Vec<Setting>) -> v1::PostureResponse {
        v1::PostureResponse {
            time: Some(timestamp((self.parts.clock)())),
            digest: digest(&settings).to_vec(),
            settings: settings
                .into_iter()
                .map(|Setting { name, source, value, judgement, detail }| v1::Setting {
                    name,
                    source,
                    value,
                    judgement: judgement.word().to_owned(),
                    detail,
                })
                .collect(),
        }
    }
}

/// Whether a tenant has a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    /// It was granted one, and nobody could look.
    Perhaps,
    No,
}

fn has_holder(sweep: &HandleSweep) -> bool {
    use enforcer_core::device::holding::Files;

    // A host service has devices by the node's configuration, and the node's own processes are no tenant's.
    let by_tenant = |identity: u32| identity != HOST && !is_service(identity);
    sweep.holdings.iter().any(|holding| by_tenant(holding.identity))
        || matches!(&sweep.files, Files::Known { open, .. } if open.iter().any(|file| by_tenant(file.identity)))
}

/// What is different, each with both values, as far as one record names them.
fn differences(last: &[Setting], now: &[Setting]) -> Vec<String> {
    let key = |setting: &Setting| (setting.name.clone(), setting.source.clone());
    let words = |setting: Option<&Setting>| {
        setting
            .map_or("not there", |s| match (s.value.as_str(), s.judgement) {
                ("", judgement) => judgement.word(),
                (value, Judgement::Good | Judgement::Weak | Judgement::Unknown | Judgement::Absent) => value,
            })
            .to_owned()
    };
    let mut keys: Vec<(String, String)> = last.iter().chain(now).map(key).collect();
    keys.sort();
    keys.dedup();
    let find = |of: &[Setting], wanted: &(String, String)| {
        of.iter().find(|setting| key(setting) == *wanted).cloned()
    };
    let differ = keys.iter().filter_map(|wanted| {
        let (before, after) = (find(last, wanted), find(now, wanted));
        (before != after).then(|| {
            format!("{} ({}): {} -> {}", wanted.0, wanted.1, words(before.as_ref()), words(after.as_ref()))
        })
    });
    differ.take(NAMED_MAX).collect()
}

fn timestamp(at: UnixNanos) -> Timestamp {
    const SECOND: u64 = 1_000_000_000;
    Timestamp {
        seconds: i64::try_from(at / SECOND).unwrap_or(i64::MAX),
        nanos: i32::try_from(at % SECOND).unwrap_or(0),
    }
}

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
