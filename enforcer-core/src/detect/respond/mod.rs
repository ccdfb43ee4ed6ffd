//! What is done about alerts: within bounds, for a time, on record, and never to anybody who was not meant.
//!
//! `Responses` decides and remembers; [`Act`]s are for the room to perform, which says how they went. A response is
//! "started" when it was done, and "ended" when it was undone.

mod entry;
mod saved;
#[cfg(test)]
mod tests;
mod told;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alert::Alert;
use super::facts::Party;
use super::limits::{BACKWARD_TOLERATED_NS, RESPONSES_MAX, RESPONSES_PER_TENANT_MAX};
use super::rule::Action;
use crate::policy::model::{Name, UnixNanos};

use entry::{Entry, Phase};
pub use entry::{Kind, Response};
pub use saved::{Saved, SavedError};
pub use told::{RESPONSE, Told, Word};

const SECOND_NS: u64 = 1_000_000_000;
/// The identity of the node itself.
const HOST: &str = "host";
/// How long after a failed end it is tried again.
const RETRY_NS: u64 = 10 * SECOND_NS;

/// What new flows a tenant may open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// None.
    DenyNew,
    /// So many a second.
    Limit(u32),
}

/// What the kernel should hold of a tenant, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What it may do meanwhile.
    pub mode: Mode,
    /// The end.
    pub until: UnixNanos,
}

/// What is to be done; whoever does it says how it went, by the response's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// The kernel holds this of the tenant, and nothing else; `None` frees it.
    Hold(Name, Option<Hold>),
    /// A workload's certificates are withdrawn. True when an earlier run of the agent may have done so already.
    Revoke(Name, bool),
    /// They are given back.
    Restore(Name),
}

/// What comes of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Something is to be done.
    Do(String, Act),
    /// Something goes on record.
    Tell(Told),
}

/// There is no such response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no response {0:?} now")]
pub struct Unknown(pub String);

/// Responses that are in force, begin or end.
#[derive(Debug)]
pub struct Responses {
    entries: BTreeMap<String, Entry>,
    made: u64,
    now: UnixNanos,
    per_tenant_max: usize,
}

impl Responses {
    /// None yet; at most so many at once for a tenant.
    #[must_use]
    pub fn new(per_tenant_max: usize, now: UnixNanos) -> Self {
        let per_tenant_max = per_tenant_max.clamp(1, RESPONSES_PER_TENANT_MAX);
        Self { entries: BTreeMap::new(), made: 0, now, per_tenant_max }
    }

    /// What an alert's rule asks for, if it is more than to tell.
    pub fn consider(&mut self, alert: &Alert, now: UnixNanos) -> Vec<Effect> {
        let mut effects = self.advance(now);
        let (kind, workload) = match alert.terms.action {
            Action::Record | Action::Alert => return effects,
            Action::RateLimit(rate) => (Kind::RateLimit(rate), None),
            Action::DenyNew => (Kind::DenyNew, None),
            Action::Revoke => (Kind::Revoke, alert.culprit().cloned()),
        };
        let wanted = self.wanted(alert, kind, workload);
        if let Some(why) = self.why_not(alert, &wanted) {
            effects.push(Effect::Tell(Told::new(Word::Withheld, wanted, why)));
        } else if let Some(id) = self.same(&wanted) {
            effects.extend(self.extend(&id, wanted));
        } else if let Some(why) = self.is_full(&wanted) {
            effects.push(Effect::Tell(Told::new(Word::Withheld, wanted, why)));
        } else {
            effects.extend(self.start(wanted));
        }
        effects
    }

    fn wanted(&self, alert: &Alert, kind: Kind, workload: Option<Name>) -> Response {
        let lasts_ns = alert.terms.expires_after_s.saturating_mul(SECOND_NS);
        Response {
            id: String::new(),
            tenant: Arc::clone(&alert.tenant),
            workload,
            kind,
            rule: Arc::clone(&alert.rule.name),
            dry_run: alert.terms.dry_run,
            started: self.now,
            expires: self.now.saturating_add(lasts_ns),
            explanation: alert.sentence(),
        }
    }

    fn why_not(&self, alert: &Alert, wanted: &Response) -> Option<String> {
        match alert.party {
            Party::Tenant => {}
            Party::Platform if !alert.rule.platform => {
                return Some("it is the platform's, and the rule does not say `platform`".to_owned());
            }
            Party::Platform if *alert.tenant != *HOST => {
                return Some("of the platform, the host alone opens flows that can be held".to_owned());
            }
            Party::Platform => {}
            Party::Outside => return Some("whoever acts from outside has no identity to hold".to_owned()),
        }
        let nobody = wanted.kind == Kind::Revoke && wanted.workload.is_none();
        nobody.then(|| "no workload is known whose certificates could be withdrawn".to_owned())
    }

    fn is_full(&self, wanted: &Response) -> Option<String> {
        let of_tenant = |entry: &&Entry| {
            entry.response.tenant == wanted.tenant && entry.response.dry_run == wanted.dry_run
        };
        let held = self.entries.values().filter(of_tenant).count();
        if held >= self.per_tenant_max {
            return Some(format!("{held} responses are in force for the tenant, and no more may be"));
        }
        let all = self.entries.len();
        (all >= RESPONSES_MAX).then(|| format!("{all} responses are in force, and no more may be"))
    }

    /// The one that does the same to the same, by whichever rule.
    fn same(&self, wanted: &Response) -> Option<String> {
        let is_same = |entry: &&Entry| {
            let Response { tenant, workload, kind, dry_run, .. } = &entry.response;
            (tenant, workload, kind, dry_run)
                == (&wanted.tenant, &wanted.workload, &wanted.kind, &wanted.dry_run)
        };
        self.entries.values().find(is_same).map(|entry| entry.response.id.clone())
    }

    fn start(&mut self, wanted: Response) -> Vec<Effect> {
        self.made = self.made.saturating_add(1);
        let id = format!("{:x}-{}", wanted.started / SECOND_NS, self.made);
        let response = Response { id: id.clone(), ..wanted };
        let is_dry = response.dry_run;
        let told = Told::new(Word::WouldStart, response.clone(), String::new());
        let phase = if is_dry { Phase::Active } else { Phase::Starting { resumed: false } };
        self.entries.insert(id.clone(), Entry { response, phase, ended_by: None });
        if is_dry { vec![Effect::Tell(told)] } else { self.act(&id).into_iter().collect() }
    }

    fn extend(&mut self, id: &str, wanted: Response) -> Vec<Effect> {
        let Some(entry) = self.entries.get_mut(id) else { return Vec::new() };
        let before = entry.response.expires;
        // Who begins or ends just now is not extended: the next alert begins anew.
        if entry.phase != Phase::Active || entry.ended_by.is_some() || wanted.expires <= before {
            return Vec::new();
        }
        entry.response.expires = wanted.expires;
        entry.response.explanation = wanted.explanation;
        let is_dry = entry.response.dry_run;
        if is_dry || entry.response.kind == Kind::Revoke {
            let word = if is_dry { Word::WouldExtend } else { Word::Extended };
            return vec![Effect::Tell(Told::new(word, entry.response.clone(), String::new()))];
        }
        entry.phase = Phase::Extending { before };
        self.act(id).into_iter().collect()
    }

    /// Ends a response before its time.
    ///
    /// # Errors
    /// There is none of this number.
    pub fn end(&mut self, id: &str, actor: &str, now: UnixNanos) -> Result<(Response, Vec<Effect>), Unknown> {
        let mut effects = self.advance(now);
        let Some(entry) = self.entries.get_mut(id) else { return Err(Unknown(id.to_owned())) };
        let response = entry.response.clone();
        entry.ended_by = Some(actor.to_owned());
        effects.extend(self.leave(id));
        Ok((response, effects))
    }

    /// Time goes on: what has expired ends, and what could not be ended is tried again.
    pub fn tick(&mut self, now: UnixNanos) -> Vec<Effect> {
        self.advance(now)
    }

    fn advance(&mut self, now: UnixNanos) -> Vec<Effect> {
        self.step_clock(now);
        let now = self.now;
        let is_due = |entry: &&Entry| match entry.phase {
            Phase::Active => entry.response.expires <= now,
            Phase::Unended { retry_at } => retry_at <= now,
            Phase::Starting { .. } | Phase::Extending { .. } | Phase::Ending { .. } => false,
        };
        let due: Vec<String> =
            self.entries.values().filter(is_due).map(|entry| entry.response.id.clone()).collect();
        due.iter().flat_map(|id| self.leave(id)).collect()
    }

    /// A clock that is set back must not make a response last longer: its times go back too.
    fn step_clock(&mut self, now: UnixNanos) {
        if now < self.now && self.now - now > BACKWARD_TOLERATED_NS {
            let back = self.now - now;
            for entry in self.entries.values_mut() {
                entry.step_back(back);
            }
            self.now = now;
        }
        self.now = self.now.max(now);
    }

    /// Begins to end, unless something is being done about it now: then it ends after that.
    fn leave(&mut self, id: &str) -> Vec<Effect> {
        let Some(entry) = self.entries.get_mut(id) else { return Vec::new() };
        match entry.phase {
            Phase::Active if entry.response.dry_run => self.remove(id, Word::WouldEnd),
            Phase::Active => {
                entry.phase = Phase::Ending { again: false };
                self.act(id).into_iter().collect()
            }
            Phase::Unended { .. } => {
                entry.phase = Phase::Ending { again: true };
                self.act(id).into_iter().collect()
            }
            Phase::Starting { .. } | Phase::Extending { .. } | Phase::Ending { .. } => Vec::new(),
        }
    }

    /// How an act went.
    pub fn done(&mut self, id: &str, outcome: Result<(), String>, now: UnixNanos) -> Vec<Effect> {
        self.step_clock(now);
        let now = self.now;
        let Some(entry) = self.entries.get_mut(id) else { return Vec::new() };
        let failed = |why: String, response: &Response| {
            vec![Effect::Tell(Told::new(Word::Failed, response.clone(), why))]
        };
        let mut effects = match (entry.phase, outcome) {
            (Phase::Starting { resumed }, Ok(())) => {
                entry.phase = Phase::Active;
                let word = if resumed { Word::Resumed } else { Word::Started };
                vec![Effect::Tell(Told::new(word, entry.response.clone(), String::new()))]
            }
            (Phase::Starting { .. }, Err(why)) => {
                let told = failed(format!("it could not be started: {why}"), &entry.response);
                self.entries.remove(id);
                return told;
            }
            (Phase::Extending { .. }, Ok(())) => {
                entry.phase = Phase::Active;
                vec![Effect::Tell(Told::new(Word::Extended, entry.response.clone(), String::new()))]
            }
            (Phase::Extending { before }, Err(why)) => {
                entry.phase = Phase::Active;
                entry.response.expires = before;
                failed(format!("it could not be extended: {why}"), &entry.response)
            }
            (Phase::Ending { .. }, Ok(())) => return self.remove(id, Word::Ended),
            (Phase::Ending { again }, Err(why)) => {
                entry.phase = Phase::Unended { retry_at: now.saturating_add(RETRY_NS) };
                let why = format!("it could not be ended, which is tried again: {why}");
                if again { Vec::new() } else { failed(why, &entry.response) }
            }
            (Phase::Active | Phase::Unended { .. }, _) => Vec::new(),
        };
        if self.entries.get(id).is_some_and(|entry| entry.phase == Phase::Active && entry.ended_by.is_some())
        {
            effects.extend(self.leave(id));
        }
        effects
    }

    fn remove(&mut self, id: &str, word: Word) -> Vec<Effect> {
        let Some(Entry { response, ended_by, .. }) = self.entries.remove(id) else { return Vec::new() };
        let why = match &ended_by {
            Some(_) => "an operator ended it",
            None => "its time was up",
        };
        let told = Told::new(word, response, why.to_owned());
        vec![Effect::Tell(Told { actor: ended_by, ..told })]
    }

    /// What an entry's phase asks for.
    fn act(&self, id: &str) -> Option<Effect> {
        let Entry { response, phase, .. } = self.entries.get(id)?;
        let is_ending = matches!(phase, Phase::Ending { .. });
        let act = match (response.kind, &response.workload) {
            (Kind::RateLimit(_) | Kind::DenyNew, _) => {
                Act::Hold(Arc::clone(&response.tenant), self.hold(&response.tenant))
            }
            (Kind::Revoke, Some(workload)) if is_ending => Act::Restore(Arc::clone(workload)),
            (Kind::Revoke, Some(workload)) => {
                Act::Revoke(Arc::clone(workload), *phase == Phase::Starting { resumed: true })
            }
            (Kind::Revoke, None) => return None,
        };
        Some(Effect::Do(id.to_owned(), act))
    }

    /// The strictest of what is in force for a tenant: no new flow before a limit, and of two limits the lower.
    #[must_use]
    pub fn hold(&self, tenant: &str) -> Option<Hold> {
        let holds = self.entries.values().filter(|entry| &*entry.response.tenant == tenant);
        let holds = holds.filter(|entry| entry.is_meant() && entry.response.expires > self.now);
        let holds = holds.filter_map(|entry| {
            let mode = entry.response.kind.mode()?;
            Some(Hold { mode, until: entry.response.expires })
        });
        holds.min_by_key(|hold| match hold.mode {
            Mode::DenyNew => (0, 0),
            Mode::Limit(rate) => (1, rate),
        })
    }

    /// In the order of their numbers.
    pub fn list(&self) -> impl Iterator<Item = &Response> {
        self.entries.values().map(|entry| &entry.response)
    }
}
