//! The first part: the running agent proves its hooks and its verbs of containment once more, on canaries of its own.

use std::time::{Duration, Instant};

use enforcer_proto::v1;
use tonic::Code;

use super::names::LIVE;
use super::report::{Row, State};
use crate::failure::Failure;
use crate::session::Session;

/// What is said of a hook that nobody proved again.
const BEFORE: &str = "proven when the agent started, not now";

/// What the agent says of itself: the name of its node, and the rows.
pub(crate) async fn prove(session: &Session) -> Result<(Option<String>, Vec<Row>), Failure> {
    let status = session.answer(session.node().status(v1::StatusRequest {})).await?;
    let start = Instant::now();
    let rows = match session.in_time(session.device().drill(v1::DrillRequest {})).await? {
        Ok(response) => rows(response.into_inner(), start.elapsed()),
        Err(refusal) if matches!(refusal.code(), Code::FailedPrecondition | Code::Unimplemented) => {
            undrilled(status.hooks, refusal.message(), start.elapsed())
        }
        Err(status) => return Err(session.failed(&status)),
    };
    Ok((Some(status.node), rows))
}

/// An agent that drills nothing: what it says of its hooks was proven when it started, and not now.
fn undrilled(hooks: Vec<v1::Hook>, why: &str, elapsed: Duration) -> Vec<Row> {
    let declared = hooks.into_iter().map(|hook| {
        let row = self::hook(hook, elapsed);
        let is_old = row.state == State::Verified;
        if is_old { Row { state: State::Declared, reason: BEFORE.to_owned(), ..row } } else { row }
    });
    std::iter::once(Row::new(LIVE, State::Absent, why, elapsed)).chain(declared).collect()
}

/// The hooks are proven in one go: each has the time of all.
fn rows(response: v1::DrillResponse, elapsed: Duration) -> Vec<Row> {
    let v1::DrillResponse { hooks, verbs } = response;
    if hooks.is_empty() {
        return vec![Row::new(LIVE, State::Failed, "the agent has no hook", elapsed)];
    }
    let hooks = hooks.into_iter().map(|hook| self::hook(hook, elapsed));
    hooks.chain(verbs.into_iter().map(verb)).collect()
}

fn hook(hook: v1::Hook, elapsed: Duration) -> Row {
    let state = match hook.state() {
        v1::HookState::Verified => State::Verified,
        v1::HookState::Declared => State::Declared,
        v1::HookState::Absent => State::Absent,
        v1::HookState::Unspecified => State::Failed,
    };
    Row::new(format!("hook {}", hook.name), state, hook.reason, elapsed)
}

fn verb(verb: v1::Verb) -> Row {
    let state = match verb.state.as_str() {
        "verified" => State::Verified,
        "declared" => State::Declared,
        "absent" => State::Absent,
        _ => State::Failed,
    };
    Row::new(format!("verb {}", verb.name), state, verb.reason, Duration::from_micros(verb.elapsed_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_that_is_not_known_is_a_failure() {
        let of = |state: &str| {
            verb(v1::Verb { name: "kill".to_owned(), state: state.to_owned(), ..v1::Verb::default() }).state
        };
        assert_eq!(
            ["verified", "declared", "absent"].map(of),
            [State::Verified, State::Declared, State::Absent]
        );
        assert_eq!(["", "ok", "failed"].map(of), [State::Failed; 3]);
        let hook = v1::Hook { name: "cgroup/device".to_owned(), ..v1::Hook::default() };
        let response = v1::DrillResponse { hooks: vec![hook], verbs: Vec::new() };
        assert_eq!(rows(response, Duration::ZERO)[0].state, State::Failed);
        assert_eq!(rows(v1::DrillResponse::default(), Duration::ZERO)[0].state, State::Failed);
    }

    #[test]
    fn what_was_proven_before_is_not_proven_now() {
        let hook = |state: v1::HookState| v1::Hook { state: state.into(), ..v1::Hook::default() };
        let hooks = vec![hook(v1::HookState::Verified), hook(v1::HookState::Absent)];
        let rows = undrilled(hooks, "turned off", Duration::ZERO);
        let states: Vec<State> = rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Absent, State::Declared, State::Absent]);
        assert_eq!(rows[0].reason, "turned off");
    }
}
