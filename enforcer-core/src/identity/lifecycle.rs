//! The life of one identity, as a state machine: what has happened and what time it is make the next state and
//! what to do. The closed states serve nothing; entering one withdraws the certificate.

use std::sync::Arc;
use std::time::Duration;

use super::schedule::{Term, back_off, has_come};

/// Where an identity is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// In the policy, and not on this node (yet).
    Absent,
    /// The first certificate is on its way.
    Requesting(Attempt),
    /// A certificate is served.
    Valid(Term),
    /// A certificate is served, and its successor is on its way.
    Renewing(Term, Attempt),
    /// Closed: the certificate ended before a successor came. One is still being asked for.
    Expired(Attempt),
    /// Closed: the authority says no, and is asked again, since its policy may change; or the policy here says no,
    /// and nobody is asked.
    Denied(Arc<str>, Option<Attempt>),
    /// Closed: taken away. Nobody is asked until it is given back.
    Revoked(Arc<str>),
}

/// Asking for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Failures in a row.
    pub failures: u32,
    /// When to ask (again); `None` while an answer is awaited.
    pub next: Option<Duration>,
}

/// What can happen to an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The workload is on this node, and the policy gives it an identity.
    Placed,
    /// The workload is on this node, and the policy gives it none.
    Unnamed(Arc<str>),
    /// The workload is no longer on this node.
    Left,
    /// Taken away.
    Revoked(Arc<str>),
    /// Given back.
    Restored,
    /// A certificate came.
    Issued(Term),
    /// The authority is away or slow.
    Failed,
    /// The authority says no.
    Refused(Arc<str>),
    /// A successor is wanted now.
    Rotate,
    /// Time has passed, or was set.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Rest,
    /// Ask for a certificate.
    Request,
    /// Serve the certificate that came.
    Serve,
    /// Serve no longer what was served; in case of an end by time, ask for another.
    Withdraw {
        /// For the log, and for whoever asks the agent.
        reason: Arc<str>,
        /// Ask for a certificate at once.
        request: bool,
    },
}

const ASKED: Attempt = Attempt { failures: 0, next: None };

impl State {
    /// The certificate that is served, if one is.
    #[must_use]
    pub const fn term(&self) -> Option<&Term> {
        match self {
            Self::Valid(term) | Self::Renewing(term, _) => Some(term),
            Self::Absent | Self::Requesting(_) | Self::Expired(_) | Self::Denied(..) | Self::Revoked(_) => {
                None
            }
        }
    }

    /// True when nothing is served, whatever the caller does.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self, Self::Expired(_) | Self::Denied(..) | Self::Revoked(_))
    }

    /// When a [`Event::Tick`] will do something.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        match self {
            Self::Absent | Self::Revoked(_) => None,
            Self::Requesting(attempt) | Self::Expired(attempt) => attempt.next,
            Self::Denied(_, attempt) => attempt.and_then(|attempt| attempt.next),
            Self::Valid(term) => Some(term.renew_at),
            Self::Renewing(term, attempt) => {
                Some(attempt.next.map_or(term.not_after, |next| next.min(term.not_after)))
            }
        }
    }

    /// True when the certificate that is served has little time left, or none is left.
    #[must_use]
    pub fn is_late(&self, now: Duration) -> bool {
        match self {
            Self::Valid(term) | Self::Renewing(term, _) => term.is_late(now),
            Self::Expired(_) => true,
            Self::Absent | Self::Requesting(_) | Self::Denied(..) | Self::Revoked(_) => false,
        }
    }
}

/// The next state, and what to do. `die` is random, in `0.0..1.0`.
#[must_use]
pub fn step(state: State, event: Event, now: Duration, die: f64) -> (State, Action) {
    match event {
        Event::Placed => placed(state),
        Event::Unnamed(reason) => close(&state, State::Denied(Arc::clone(&reason), None), reason),
        Event::Left => match state {
            State::Absent => (State::Absent, Action::Rest),
            state => close(&state, State::Absent, "the workload left this node".into()),
        },
        Event::Revoked(reason) => close(&state, State::Revoked(Arc::clone(&reason)), reason),
        Event::Restored => match state {
            State::Revoked(_) => (State::Requesting(ASKED), Action::Request),
            state => (state, Action::Rest),
        },
        Event::Issued(term) => issued(state, term, now, die),
        Event::Failed => failed(state, now, die),
        Event::Refused(reason) => refused(state, &reason, now, die),
        Event::Rotate => rotate(state),
        Event::Tick => tick(state, now),
    }
}

fn placed(state: State) -> (State, Action) {
    match state {
        State::Absent => (State::Requesting(ASKED), Action::Request),
        // The policy gave it no name before, or the authority may have changed its mind with the policy.
        State::Denied(..) => (State::Requesting(ASKED), Action::Request),
        state => (state, Action::Rest),
    }
}

fn close(before: &State, after: State, reason: Arc<str>) -> (State, Action) {
    if *before == after {
        return (after, Action::Rest);
    }
    (after, Action::Withdraw { reason, request: false })
}

/// A certificate that nobody waits for any more (the workload left, or was revoked meanwhile) is not served, and
/// one that has ended by the time it comes is a failure.
fn issued(state: State, term: Term, now: Duration, die: f64) -> (State, Action) {
    match state {
        State::Absent | State::Revoked(_) | State::Denied(_, None) => (state, Action::Rest),
        _ if term.holds(now) => (State::Valid(term), Action::Serve),
        state => failed(state, now, die),
    }
}

fn failed(state: State, now: Duration, die: f64) -> (State, Action) {
    let again = |attempt: Attempt| {
        let failures = attempt.failures.saturating_add(1);
        Attempt { failures, next: Some(now + back_off(failures, die)) }
    };
    let state = match state {
        State::Requesting(attempt) => State::Requesting(again(attempt)),
        // The last good one is kept until it ends.
        State::Renewing(term, attempt) => State::Renewing(term, again(attempt)),
        State::Expired(attempt) => State::Expired(again(attempt)),
        State::Denied(reason, attempt) => State::Denied(reason, attempt.map(again)),
        state @ (State::Absent | State::Valid(_) | State::Revoked(_)) => state,
    };
    (state, Action::Rest)
}

/// A refusal counts as a failure while something good is still served: it is kept until it ends.
fn refused(state: State, reason: &Arc<str>, now: Duration, die: f64) -> (State, Action) {
    match state {
        State::Requesting(attempt) | State::Expired(attempt) | State::Denied(_, Some(attempt)) => {
            let failures = attempt.failures.saturating_add(1);
            let attempt = Attempt { failures, next: Some(now + back_off(failures, die)) };
            let action = Action::Withdraw { reason: Arc::clone(reason), request: false };
            (State::Denied(Arc::clone(reason), Some(attempt)), action)
        }
        state => failed(state, now, die),
    }
}

fn rotate(state: State) -> (State, Action) {
    match state {
        State::Valid(term) => (State::Renewing(term, ASKED), Action::Request),
        State::Renewing(term, Attempt { failures, next: Some(_) }) => {
            (State::Renewing(term, Attempt { failures, next: None }), Action::Request)
        }
        state => (state, Action::Rest),
    }
}

fn tick(state: State, now: Duration) -> (State, Action) {
    let is_due = |attempt: &Attempt| attempt.next.is_some_and(|next| has_come(next, now));
    let asked = |attempt: &Attempt| Attempt { failures: attempt.failures, next: None };
    match &state {
        State::Valid(term) | State::Renewing(term, _) if !term.holds(now) => {
            let reason = if now < term.not_before { "the clock was set back" } else { "it has expired" };
            (State::Expired(ASKED), Action::Withdraw { reason: reason.into(), request: true })
        }
        State::Valid(term) if term.is_due(now) => (State::Renewing(*term, ASKED), Action::Request),
        State::Renewing(term, attempt) if is_due(attempt) => {
            (State::Renewing(*term, asked(attempt)), Action::Request)
        }
        State::Requesting(attempt) if is_due(attempt) => (State::Requesting(asked(attempt)), Action::Request),
        State::Expired(attempt) if is_due(attempt) => (State::Expired(asked(attempt)), Action::Request),
        State::Denied(reason, Some(attempt)) if is_due(attempt) => {
            (State::Denied(Arc::clone(reason), Some(asked(attempt))), Action::Request)
        }
        _ => (state, Action::Rest),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn term(from: u64, to: u64) -> Term {
        Term::new(at(from), at(to), 0.5)
    }

    fn valid() -> State {
        State::Valid(term(1000, 4600))
    }

    #[test]
    fn a_failed_renewal_keeps_the_last_good_one_until_it_expires() {
        let (state, action) = step(valid(), Event::Tick, at(2800), 0.5);
        assert_eq!(action, Action::Request);
        let (state, action) = step(state, Event::Failed, at(2801), 0.0);
        assert_eq!((state.term().copied(), &action), (Some(term(1000, 4600)), &Action::Rest));
        assert_eq!(state.due(), Some(at(2802)));
        let (state, action) = step(state, Event::Tick, at(4600), 0.5);
        assert!(state.is_closed());
        assert!(matches!(action, Action::Withdraw { request: true, .. }));
    }

    #[test]
    fn entering_a_closed_state_withdraws() {
        for event in [Event::Revoked("r".into()), Event::Unnamed("u".into()), Event::Left] {
            let (state, action) = step(valid(), event, at(2000), 0.5);
            assert!(matches!(action, Action::Withdraw { request: false, .. }));
            assert_eq!(state.term(), None);
        }
    }

    #[test]
    fn a_revoked_identity_stays_so_whatever_comes_until_it_is_given_back() {
        let revoked = State::Revoked("r".into());
        for event in
            [Event::Placed, Event::Issued(term(1000, 4600)), Event::Failed, Event::Rotate, Event::Tick]
        {
            assert_eq!(step(revoked.clone(), event, at(2000), 0.5), (revoked.clone(), Action::Rest));
        }
        let (state, action) = step(revoked, Event::Restored, at(2000), 0.5);
        assert_eq!((state, action), (State::Requesting(ASKED), Action::Request));
    }

    #[test]
    fn a_day_forward_and_a_day_back_end_in_another_request() {
        for now in [at(4600 + 86_400), at(0)] {
            let (state, action) = step(valid(), Event::Tick, now, 0.5);
            assert_eq!(state, State::Expired(ASKED));
            assert!(matches!(action, Action::Withdraw { request: true, .. }));
        }
    }

    #[test]
    fn a_refusal_ends_nothing_that_is_still_good() {
        let (state, _) = step(valid(), Event::Rotate, at(2000), 0.5);
        let (state, action) = step(state, Event::Refused("no".into()), at(2000), 0.5);
        assert_eq!((state.term().is_some(), action), (true, Action::Rest));
        let (state, action) = step(State::Requesting(ASKED), Event::Refused("no".into()), at(2000), 0.0);
        assert!(state.is_closed() && matches!(action, Action::Withdraw { .. }));
        assert_eq!(state.due(), Some(at(2001)));
    }

    #[test]
    fn a_certificate_that_comes_too_late_is_not_served() {
        let (state, action) = step(State::Requesting(ASKED), Event::Issued(term(0, 10)), at(10), 0.0);
        assert_eq!((state.due(), action), (Some(at(11)), Action::Rest));
        let (state, action) = step(State::Absent, Event::Issued(term(0, 10)), at(5), 0.5);
        assert_eq!((state, action), (State::Absent, Action::Rest));
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Placed),
            Just(Event::Unnamed("u".into())),
            Just(Event::Left),
            Just(Event::Revoked("r".into())),
            Just(Event::Restored),
            (0u64..5000, 1u64..5000).prop_map(|(from, life)| Event::Issued(term(from, from + life))),
            Just(Event::Failed),
            Just(Event::Refused("f".into())),
            Just(Event::Rotate),
            Just(Event::Tick),
        ]
    }

    proptest! {
        /// What is served is exactly what `Serve` and `Withdraw` say, never an ended certificate after a tick, and
        /// who wants a certificate waits for an answer or for a time, never for nothing.
        #[test]
        fn what_is_served_follows_from_the_actions(
            events in proptest::collection::vec((event(), 0u64..3000), 1..60),
        ) {
            let (mut state, mut now, mut served, mut asked) = (State::Absent, at(0), false, false);
            for (event, pause) in events {
                now += at(pause);
                // Answers come to those who asked.
                let answers = matches!(event, Event::Issued(_) | Event::Failed | Event::Refused(_));
                if answers && !asked { continue; }
                if answers { asked = false; }
                let ticked = event == Event::Tick;
                let (next, action) = step(state, event, now, 0.3);
                match action {
                    Action::Serve => served = true,
                    Action::Withdraw { request, .. } => { served = false; asked = request; }
                    Action::Request => asked = true,
                    Action::Rest => {}
                }
                prop_assert_eq!(next.term().is_some(), served);
                if ticked && let Some(term) = next.term() {
                    prop_assert!(term.holds(now));
                }
                if matches!(next, State::Requesting(_) | State::Expired(_) | State::Renewing(..)) {
                    prop_assert!(asked || next.due().is_some(), "{:?}", next);
                }
                state = next;
            }
        }
    }
}
