//! What follows from what happened.

use std::collections::BTreeSet;

use super::{Custody, Granted, HISTORY_MAX, Plan, Rules, State};

/// Something that happened to a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The policy in force was looked at.
    Grants,
    /// Whether it is proven that nobody holds it; the sentence says who does, or what could not be looked at.
    Vacancy(Result<(), String>),
    /// Time has passed.
    Tick,
    /// How the scrub, and the reading back after it, ended.
    Scrubbed(Result<(), String>),
    /// A receipt is on disk: its hash, hexadecimal.
    Receipted(String),
    /// A receipt could not be made.
    Unreceipted(String),
    /// What a person, or another part of the agent on a person's behalf, says.
    Said(Word, String),
    /// The agent was started again; `closed`: the kernel holds it closed.
    Restart {
        /// What the gate in the kernel has.
        closed: bool,
    },
}

/// A person's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Take it from its tenants.
    Drain,
    /// Scrub it, out of quarantine or failure.
    Scrub,
    /// It is clean: it was looked at by other means. A receipt that says so is on disk.
    Release,
    /// Close it, and keep it closed.
    Quarantine,
}

impl Word {
    /// The verb on the wire; `quarantine` is none.
    #[must_use]
    pub fn from_verb(verb: &str) -> Option<Self> {
        match verb {
            "drain" => Some(Self::Drain),
            "scrub" => Some(Self::Scrub),
            "release" => Some(Self::Release),
            _ => None,
        }
    }
}

/// Why a word was not heeded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not apply where the device is.
    #[error("it is {0}: {1}")]
    State(&'static str, &'static str),
    /// A release without a reason.
    #[error("say why: whoever releases a device answers for what is in it")]
    NoReason,
    /// Nothing is configured that could.
    #[error("no scrubber is configured for its class")]
    NoScrubber,
}

/// The next state. What does not apply changes nothing; a person's word that does not apply is refused.
///
/// # Errors
/// A word that is not heeded, with the reason.
pub fn step(
    before: &Custody,
    event: &Event,
    granted: &Granted,
    rules: &Rules,
    now_ns: u64,
) -> Result<Custody, Refused> {
    let at = |state, reason: &str| moved(before, state, reason, now_ns);
    let same = || before.clone();
    Ok(match (event, before.state) {
        (Event::Said(word, reason), _) => return said(before, *word, reason, rules, now_ns),
        // The scrub was skipped for those who had it, and now it is granted to others.
        (Event::Grants, State::Available)
            if granted.is_fit() && !before.past.is_empty() && granted.tenants != before.past =>
        {
            Custody { must_scrub: true, ..at(State::Quarantined, "it was not scrubbed, and goes to others") }
        }
        (Event::Grants, State::Available) if granted.is_fit() => handed(before, granted, now_ns),
        (Event::Grants, State::InUse) => granted_anew(before, granted, now_ns),
        (Event::Vacancy(Ok(())), State::Draining) => at(State::Quarantined, "nobody holds it any more"),
        (Event::Vacancy(Ok(())), State::Quarantined) if !before.held && rules.has_scrubber => {
            at(State::Sanitizing, "nobody holds it; it is being scrubbed")
        }
        (Event::Vacancy(Err(why)), State::Draining | State::Quarantined) => {
            let late = before.since_ns.saturating_add(rules.drain_ns) <= now_ns;
            match before.state {
                State::Draining if late => at(State::Quarantined, &format!("not let go of in time: {why}")),
                _ => Custody { reason: why.clone(), ..same() },
            }
        }
        (Event::Tick, State::Draining) if before.since_ns.saturating_add(rules.drain_ns) <= now_ns => {
            at(State::Quarantined, "not let go of in time")
        }
        (Event::Scrubbed(Ok(())), State::Sanitizing) => at(State::Verified, "scrubbed and read back"),
        (Event::Scrubbed(Err(why)), State::Sanitizing) => at(State::Failed, why),
        (Event::Receipted(hash), State::Verified) => cleaned(before, hash, "scrubbed", now_ns),
        (Event::Receipted(hash), State::Draining | State::Quarantined)
            if before.plan(granted, rules) == Plan::Skip =>
        {
            cleaned(before, hash, "the same tenant again: the scrub was skipped by policy", now_ns)
        }
        (Event::Unreceipted(why), State::Verified | State::Draining | State::Quarantined) => {
            at(State::Failed, &format!("no receipt could be made: {why}"))
        }
        (Event::Restart { closed }, state) => restarted(before, state, *closed, rules, now_ns),
        _ => same(),
    })
}

/// To a state, with a line in its history.
fn moved(before: &Custody, state: State, reason: &str, now_ns: u64) -> Custody {
    let mut next = Custody { state, reason: reason.to_owned(), since_ns: now_ns, ..before.clone() };
    if state != State::Quarantined {
        next.held = false;
    }
    next.history.push((state, now_ns));
    let surplus = next.history.len().saturating_sub(HISTORY_MAX);
    next.history.drain(..surplus);
    next
}

fn handed(before: &Custody, granted: &Granted, now_ns: u64) -> Custody {
    let tenants = granted.tenants.clone();
    let past = before.past.union(&tenants).cloned().collect();
    Custody { tenants, past, ..moved(before, State::InUse, "handed to its tenants", now_ns) }
}

/// Tenants that share it may come and go while one of them stays: that is no handover. Anything else is.
fn granted_anew(before: &Custody, granted: &Granted, now_ns: u64) -> Custody {
    if granted.tenants == before.tenants {
        return before.clone();
    }
    let stays = !before.tenants.is_disjoint(&granted.tenants);
    let joins = !granted.tenants.is_subset(&before.tenants);
    if stays && granted.is_fit() && (!joins || granted.all_share) {
        return Custody {
            reason: "shared: some came or went, and one of them stayed".to_owned(),
            ..handed(before, granted, now_ns)
        };
    }
    moved(before, State::Draining, "the policy grants it to them no more", now_ns)
}

fn cleaned(before: &Custody, hash: &str, reason: &str, now_ns: u64) -> Custody {
    let clean = moved(before, State::Available, reason, now_ns);
    // Whoever gets it by skipping is somebody who had it: what is in it stays theirs.
    let past = if before.state == State::Verified { BTreeSet::new() } else { before.past.clone() };
    Custody { past, must_scrub: false, receipt: hash.to_owned(), ..clean }
}

fn restarted(before: &Custody, state: State, closed: bool, rules: &Rules, now_ns: u64) -> Custody {
    let at = |state, reason: &str| Custody { must_scrub: true, ..moved(before, state, reason, now_ns) };
    match state {
        // Somebody closed it, and the agent ended before that was written down.
        State::InUse if closed => at(State::Quarantined, "it was being closed when the agent ended"),
        State::Sanitizing | State::Verified => {
            at(State::Quarantined, "the agent ended before its scrub was on record: it is done again")
        }
        State::Draining if !rules.has_scrubber => {
            at(State::Quarantined, "nothing is configured that scrubs it")
        }
        _ => before.clone(),
    }
}

fn said(before: &Custody, word: Word, reason: &str, rules: &Rules, now_ns: u64) -> Result<Custody, Refused> {
    let refused = |why| Err(Refused::State(before.state.word(), why));
    let told = if reason.is_empty() { "a person asked for it" } else { reason };
    let at = |state| Custody { must_scrub: true, ..moved(before, state, told, now_ns) };
    match (word, before.state) {
        (Word::Quarantine, State::Failed) => Ok(before.clone()),
        (Word::Quarantine, _) => Ok(Custody { held: true, ..at(State::Quarantined) }),
        (Word::Drain, State::InUse) if rules.has_scrubber => Ok(at(State::Draining)),
        (Word::Drain, State::InUse) => Err(Refused::NoScrubber),
        (Word::Drain, _) => refused("only what is in use can be drained"),
        (Word::Scrub, _) if !rules.has_scrubber => Err(Refused::NoScrubber),
        // Not into the scrub itself: first it is proven that nobody holds it.
        (Word::Scrub, State::Available | State::Quarantined | State::Failed) => {
            Ok(Custody { held: false, ..at(State::Quarantined) })
        }
        (Word::Scrub, State::InUse) => refused("drain it first"),
        (Word::Scrub, _) => refused("it is on its way to be scrubbed already"),
        (Word::Release, _) if reason.trim().is_empty() => Err(Refused::NoReason),
        (Word::Release, State::Quarantined | State::Failed) => {
            let clean = moved(before, State::Available, &format!("released by a person: {reason}"), now_ns);
            Ok(Custody { past: BTreeSet::new(), must_scrub: false, ..clean })
        }
        (Word::Release, _) => refused("only what is in quarantine or has failed can be released"),
    }
}
