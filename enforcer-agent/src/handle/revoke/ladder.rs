//! The climb: one step after the other, until the wanted one, the deadline, or a step without which the next makes no sense.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::device::ledger::title;
use enforcer_core::device::number::DeviceNumber;
use enforcer_proto::v1;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::wish::{Step, Wish};
use super::{contain, gate, reset};
use crate::handle::desk::Desk;
use crate::handle::tell;

/// How long closing the gate may take whatever the deadline is: nothing else is worth more.
const GATE_MIN: Duration = Duration::from_secs(5);

/// What a step came to, with a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Done, and looked at.
    Ok(String),
    /// Not done, or not proven.
    Failed(String),
    /// This node cannot do it.
    Absent(String),
    /// Not tried.
    Skipped(String),
}

impl Outcome {
    const fn word(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Failed(_) => "failed",
            Self::Absent(_) => "absent",
            Self::Skipped(_) => "skipped",
        }
    }

    fn detail(&self) -> &str {
        match self {
            Self::Ok(detail) | Self::Failed(detail) | Self::Absent(detail) | Self::Skipped(detail) => detail,
        }
    }
}

/// Devices that nobody else revokes meanwhile; free again when it is dropped.
pub(super) struct Taken {
    desk: Arc<Desk>,
    devices: BTreeSet<DeviceNumber>,
}

impl Taken {
    /// All of them, or none.
    pub(super) fn take(desk: &Arc<Desk>, wish: &Wish) -> Result<Self, String> {
        let mut taken = desk.taken();
        if let Some(device) = wish.devices.iter().find(|device| taken.contains(device)) {
            let name = title(&desk.parts.policy.in_force().facts.devices, *device);
            return Err(format!("a revocation of {name} is under way: wait for its end"));
        }
        taken.extend(&wish.devices);
        Ok(Self { desk: Arc::clone(desk), devices: wish.devices.clone() })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut taken = self.desk.taken();
        for device in &self.devices {
            taken.remove(device);
        }
    }
}

/// A revocation that was taken up.
pub(in crate::handle) struct Ladder {
    wish: Wish,
    taken: Taken,
}

impl Ladder {
    pub(super) const fn new(wish: Wish, taken: Taken) -> Self {
        Self { wish, taken }
    }

    /// Climbs. Who follows the steps may go away: it goes on without them.
    pub(in crate::handle) async fn climb(self, desk: Arc<Desk>, steps: mpsc::Sender<v1::RevokeStep>) {
        let Self { wish, taken } = self;
        let begun = Instant::now();
        let deadline = begun + wish.deadline;
        let mut climbed: Vec<(Step, Outcome)> = Vec::new();
        for step in Step::ALL.into_iter().filter(|step| *step <= wish.to) {
            let started = Instant::now();
            let outcome = match missing(step, &climbed) {
                Some(why) => Outcome::Skipped(why),
                None => take(&desk, &wish, step, deadline).await,
            };
            say(&desk, &wish, &steps, &message(step.word(), &outcome, started.elapsed()));
            climbed.push((step, outcome));
        }
        say(&desk, &wish, &steps, &end(&wish, &climbed, begun.elapsed()));
        drop(taken);
    }
}

/// Why a step is not tried. What runs can be frozen and killed whether or not it was refused and frozen before; but not while
/// the gate lets it in again, and nothing is reset that somebody still has.
fn missing(step: Step, climbed: &[(Step, Outcome)]) -> Option<String> {
    let failed = |needed: Step| {
        let outcome = climbed.iter().find(|(done, _)| *done == needed).map(|(_, outcome)| outcome);
        !matches!(outcome, Some(Outcome::Ok(_)))
    };
    let needed = match step {
        Step::Gate => return None,
        Step::Handles | Step::Freeze | Step::Kill => Step::Gate,
        Step::Reset => Step::Kill,
    };
    failed(needed).then(|| format!("{} did not succeed", needed.word()))
}

async fn take(desk: &Arc<Desk>, wish: &Wish, step: Step, deadline: Instant) -> Outcome {
    let until = if step == Step::Gate { deadline.max(Instant::now() + GATE_MIN) } else { deadline };
    let work = async {
        match step {
            Step::Gate => gate::close(desk, wish).await,
            Step::Handles => gate::refuse(desk),
            Step::Freeze => contain::freeze(desk, wish, until).await,
            Step::Kill => contain::kill(desk, wish, until).await,
            Step::Reset => reset::run(desk, wish, until).await,
        }
    };
    if until <= Instant::now() {
        return Outcome::Failed("the deadline has passed".to_owned());
    }
    match timeout_at(until, work).await {
        Ok(outcome) => outcome,
        Err(_) => Outcome::Failed("it was not done by the deadline".to_owned()),
    }
}

fn message(step: &str, outcome: &Outcome, elapsed: Duration) -> v1::RevokeStep {
    v1::RevokeStep {
        step: step.to_owned(),
        outcome: outcome.word().to_owned(),
        detail: outcome.detail().to_owned(),
        elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        strength: String::new(),
    }
}

/// The last word. It is well only where the wanted step was reached, and none on the way has failed.
fn end(wish: &Wish, climbed: &[(Step, Outcome)], elapsed: Duration) -> v1::RevokeStep {
    let reached = climbed.iter().rev().find(|(_, outcome)| matches!(outcome, Outcome::Ok(_)));
    let is_closed =
        climbed.iter().any(|(step, outcome)| *step == Step::Gate && matches!(outcome, Outcome::Ok(_)));
    let has_failed = climbed.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    let is_reached = reached.is_some_and(|(step, _)| *step == wish.to);
    let outcome = match (is_reached && !has_failed, is_closed) {
        (true, _) => Outcome::Ok("the gate stays closed: quarantined until it is handed over".to_owned()),
        (false, true) => {
            Outcome::Failed(format!("{} was not reached; the gate stays closed: quarantined", wish.to.word()))
        }
        (false, false) => {
            Outcome::Failed("the gate could not be closed: the device may still be opened".to_owned())
        }
    };
    let strength = reached.map_or("nothing is proven", |(step, _)| step.strength());
    v1::RevokeStep { strength: strength.to_owned(), ..message("done", &outcome, elapsed) }
}

/// To who follows, to the log, and on record: once for each device, so that each has its history.
fn say(desk: &Desk, wish: &Wish, steps: &mpsc::Sender<v1::RevokeStep>, step: &v1::RevokeStep) {
    let _gone_or_slow = steps.try_send(step.clone());
    let v1::RevokeStep { step: word, outcome, detail, elapsed_us, strength } = step;
    let level = if outcome == "failed" { "warn" } else { "info" };
    match level {
        "warn" => {
            warn!(subject = wish.subject, actor = wish.actor, step = word, outcome, elapsed_us, "{detail}")
        }
        _ => info!(subject = wish.subject, actor = wish.actor, step = word, outcome, elapsed_us, "{detail}"),
    }
    let fields = [
        ("step", word.clone()),
        ("outcome", outcome.clone()),
        ("elapsedMicroseconds", elapsed_us.to_string()),
        ("to", wish.to.word().to_owned()),
        ("reason", wish.reason.clone()),
        ("strength", strength.clone()),
    ];
    let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let note = v1::Note {
        event: "revoke".to_owned(),
        subject: wish.subject.clone(),
        actor: wish.actor.clone(),
        level: level.to_owned(),
        message: format!("{word}: {outcome}: {detail}"),
        fields: fields.map(|(name, value)| v1::Field { name: name.to_owned(), value }).collect(),
    };
    let in_force = desk.parts.policy.in_force();
    for device in &wish.devices {
        tell::deed(desk, &in_force.facts.devices, Some(*device), note.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::vacancy::Whose;

    fn wish(to: Step) -> Wish {
        Wish {
            devices: BTreeSet::new(),
            whose: Whose::Anybody,
            subject: "nvidia:0".to_owned(),
            to,
            deadline: Duration::from_secs(1),
            reason: String::new(),
            actor: "test".to_owned(),
        }
    }

    fn ok() -> Outcome {
        Outcome::Ok(String::new())
    }

    fn failed() -> Outcome {
        Outcome::Failed(String::new())
    }

    #[test]
    fn the_last_word_never_claims_more_than_the_strongest_step_that_succeeded() {
        let absent = || Outcome::Absent(String::new());
        let skipped = || Outcome::Skipped(String::new());
        for (to, outcomes, outcome, strength) in [
            (Step::Gate, vec![ok()], "ok", "no new opens"),
            (Step::Gate, vec![failed()], "failed", "nothing is proven"),
            (Step::Handles, vec![ok(), absent()], "failed", "no new opens"),
            (
                Step::Handles,
                vec![ok(), ok()],
                "ok",
                "no new use through the kernel; mappings and doorbells go on",
            ),
            (Step::Freeze, vec![ok(), absent(), ok()], "ok", "stopped"),
            (Step::Kill, vec![ok(), absent(), failed(), ok()], "failed", "gone"),
            (Step::Kill, vec![ok(), absent(), ok(), failed()], "failed", "stopped"),
            (Step::Reset, vec![ok(), ok(), ok(), ok(), absent()], "failed", "gone"),
            (Step::Reset, vec![ok(), ok(), ok(), ok(), ok()], "ok", "gone and reset"),
            (
                Step::Reset,
                vec![failed(), skipped(), skipped(), skipped(), skipped()],
                "failed",
                "nothing is proven",
            ),
        ] {
            let climbed: Vec<(Step, Outcome)> = Step::ALL.into_iter().zip(outcomes).collect();
            let end = end(&wish(to), &climbed, Duration::ZERO);
            assert_eq!((end.outcome.as_str(), end.strength.as_str()), (outcome, strength), "{climbed:?}");
        }
    }

    #[test]
    fn nothing_is_done_behind_an_open_gate_and_nothing_is_reset_that_somebody_has() {
        let open = [(Step::Gate, failed())];
        for step in [Step::Handles, Step::Freeze, Step::Kill] {
            assert!(missing(step, &open).is_some(), "{step:?}");
        }
        let closed = [(Step::Gate, ok()), (Step::Handles, failed()), (Step::Freeze, failed())];
        assert_eq!(missing(Step::Kill, &closed), None);
        assert!(missing(Step::Reset, &[(Step::Gate, ok()), (Step::Kill, failed())]).is_some());
        assert_eq!(missing(Step::Reset, &[(Step::Gate, ok()), (Step::Kill, ok())]), None);
    }
}
