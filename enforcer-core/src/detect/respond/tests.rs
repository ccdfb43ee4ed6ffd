//! Responses: bounded, for a time, on record, over restarts.

use enforcer_proto::v1;

use super::*;
use crate::detect::engine::Engine;
use crate::detect::tests::{party, rule};

const NOW: UnixNanos = 1_795_996_800 * SECOND_NS;
const MINUTE: u64 = 60 * SECOND_NS;

/// An alert of red's web about its refusals.
fn alert_of(tenant: &str, workload: &str, spec: &str) -> Alert {
    let end = |identity: &str, workload: &str| v1::Endpoint {
        identity: identity.to_owned(),
        workload: workload.to_owned(),
        address: "10.0.0.1".to_owned(),
        port: 7,
        ..v1::Endpoint::default()
    };
    let record = v1::Record {
        r#type: "flow".to_owned(),
        verdict: "deny".to_owned(),
        source: Some(end(tenant, workload)),
        destination: Some(end("blue", "db")),
        ..v1::Record::default()
    };
    Engine::new(&rule(spec), NOW).observe(&record, NOW, &party).remove(0)
}

fn alert(response: &str) -> Alert {
    alert_of("red", "web", &format!("{{pattern: failed-accesses, threshold: 1, {response}}}"))
}

fn words(effects: &[Effect]) -> Vec<&'static str> {
    let word = |effect: &Effect| match effect {
        Effect::Do(_, Act::Hold(_, Some(_))) => "hold",
        Effect::Do(_, Act::Hold(_, None)) => "free",
        Effect::Do(_, Act::Revoke(..)) => "revoke",
        Effect::Do(_, Act::Restore(_)) => "restore",
        Effect::Tell(told) => told.word.text(),
    };
    effects.iter().map(word).collect()
}

/// Has everything that is asked for done, and says what is told of it.
fn perform(responses: &mut Responses, effects: Vec<Effect>, now: UnixNanos) -> Vec<&'static str> {
    let mut all = words(&effects);
    for effect in effects {
        if let Effect::Do(id, _) = effect {
            all.extend(words(&responses.done(&id, Ok(()), now)));
        }
    }
    all
}

fn consider(responses: &mut Responses, alert: &Alert, now: UnixNanos) -> Vec<&'static str> {
    let effects = responses.consider(alert, now);
    perform(responses, effects, now)
}

fn tick(responses: &mut Responses, now: UnixNanos) -> Vec<&'static str> {
    let effects = responses.tick(now);
    perform(responses, effects, now)
}

#[test]
fn a_response_is_started_extended_and_ended_by_itself() {
    let mut responses = Responses::new(4, NOW);
    let alert = alert("response: {kind: deny-new, expires: 5m}");
    assert_eq!(consider(&mut responses, &alert, NOW), ["hold", "started"]);
    assert_eq!(responses.hold("red"), Some(Hold { mode: Mode::DenyNew, until: NOW + 5 * MINUTE }));
    assert_eq!(responses.hold("blue"), None);
    assert_eq!(consider(&mut responses, &alert, NOW + 2 * MINUTE), ["hold", "extended"]);
    assert!(tick(&mut responses, NOW + 5 * MINUTE).is_empty());
    assert_eq!(tick(&mut responses, NOW + 7 * MINUTE), ["free", "ended"]);
    assert_eq!(responses.list().count(), 0);
}

#[test]
fn what_only_tells_does_nothing() {
    let mut responses = Responses::new(4, NOW);
    for response in ["response: {kind: alert}", "response: {kind: record}"] {
        assert!(consider(&mut responses, &alert(response), NOW).is_empty());
    }
    assert_eq!(responses.list().count(), 0);
}

#[test]
fn a_dry_run_tells_and_does_nothing() {
    let mut responses = Responses::new(4, NOW);
    for kind in ["deny-new", "rate-limit", "revoke"] {
        let alert = alert(&format!("per: workload, response: {{kind: {kind}, dryRun: true, expires: 5m}}"));
        assert_eq!(consider(&mut responses, &alert, NOW), ["would-start"]);
        assert_eq!(consider(&mut responses, &alert, NOW + MINUTE), ["would-extend"]);
        assert_eq!(responses.hold("red"), None);
        assert_eq!(tick(&mut responses, NOW + 6 * MINUTE), ["would-end"]);
    }
}

#[test]
fn a_revocation_is_taken_back_when_its_time_is_up() {
    let mut responses = Responses::new(4, NOW);
    let alert = alert("response: {kind: revoke, expires: 5m}, per: workload");
    assert_eq!(consider(&mut responses, &alert, NOW), ["revoke", "started"]);
    assert_eq!(consider(&mut responses, &alert, NOW + MINUTE), ["extended"]);
    assert_eq!(responses.list().next().and_then(|one| one.workload.as_deref()), Some("web"));
    assert_eq!(tick(&mut responses, NOW + 6 * MINUTE), ["restore", "ended"]);
}

#[test]
fn nobody_who_is_not_known_is_revoked() {
    let mut responses = Responses::new(4, NOW);
    let alert = alert_of("red", "", "{pattern: host-scan, threshold: 1, response: {kind: revoke}}");
    assert_eq!(consider(&mut responses, &alert, NOW), ["withheld"]);
}

#[test]
fn of_two_the_stricter_holds_and_then_the_other() {
    let mut responses = Responses::new(4, NOW);
    let limit = alert("response: {kind: rate-limit, rate: 5, expires: 30m}");
    let deny = alert("response: {kind: deny-new, expires: 5m}");
    consider(&mut responses, &limit, NOW);
    consider(&mut responses, &deny, NOW);
    assert_eq!(responses.hold("red").map(|hold| hold.mode), Some(Mode::DenyNew));
    assert_eq!(tick(&mut responses, NOW + 5 * MINUTE), ["hold", "ended"]);
    assert_eq!(responses.hold("red"), Some(Hold { mode: Mode::Limit(5), until: NOW + 30 * MINUTE }));
}

#[test]
fn a_tenant_has_no_more_than_so_many() {
    let mut responses = Responses::new(2, NOW);
    let rate = |rate| alert(&format!("response: {{kind: rate-limit, rate: {rate}, expires: 5m}}"));
    for number in 1..3 {
        assert_eq!(consider(&mut responses, &rate(number), NOW), ["hold", "started"]);
    }
    assert_eq!(consider(&mut responses, &rate(3), NOW), ["withheld"]);
    let blues =
        alert_of("blue", "db", "{pattern: failed-accesses, threshold: 1, response: {kind: deny-new}}");
    assert_eq!(consider(&mut responses, &blues, NOW), ["hold", "started"]);
    tick(&mut responses, NOW + 5 * MINUTE);
    assert_eq!(consider(&mut responses, &rate(3), NOW + 5 * MINUTE), ["hold", "started"]);
}

#[test]
fn the_platform_and_the_world_are_left_alone() {
    let mut responses = Responses::new(4, NOW);
    let outside = alert_of("world", "", "{pattern: port-scan, threshold: 1, response: {kind: deny-new}}");
    assert_eq!(consider(&mut responses, &outside, NOW), ["withheld"]);
    let spec = "{pattern: failed-accesses, threshold: 1, response: {kind: deny-new}, platform: true}";
    let said = alert_of("host", "", spec);
    assert_eq!(consider(&mut responses, &said, NOW), ["hold", "started"]);
    let service = Alert { tenant: "driver-daemon".into(), of_node: true, ..said.clone() };
    assert_eq!(consider(&mut responses, &service, NOW), ["withheld"]);
    // The engine does not even look at it otherwise; should it, nothing is done.
    let unsaid = Alert { rule: alert("response: {kind: deny-new}").rule, ..said };
    assert_eq!(consider(&mut Responses::new(4, NOW), &unsaid, NOW), ["withheld"]);
}

#[test]
fn an_operator_ends_it_before_its_time() {
    let mut responses = Responses::new(4, NOW);
    consider(&mut responses, &alert("response: {kind: deny-new}"), NOW);
    let id = responses.list().next().unwrap().id.clone();
    assert_eq!(responses.end("other", "uid:0", NOW).unwrap_err(), Unknown("other".to_owned()));
    let (response, effects) = responses.end(&id, "uid:0", NOW + MINUTE).unwrap();
    assert_eq!(response.id, id);
    assert_eq!(words(&effects), ["free"]);
    let told = responses.done(&id, Ok(()), NOW + MINUTE);
    let Some(Effect::Tell(told)) = told.first() else { panic!("{told:?}") };
    let note = told.record("n1", NOW).note.unwrap();
    assert_eq!((note.event.as_str(), note.actor.as_str()), ("ended", "uid:0"));
}

#[test]
fn one_that_is_ended_while_it_begins_ends_after_that() {
    let mut responses = Responses::new(4, NOW);
    let begun = responses.consider(&alert("response: {kind: deny-new}"), NOW);
    let Some(Effect::Do(id, _)) = begun.first() else { panic!("{begun:?}") };
    assert!(responses.end(id, "uid:0", NOW).unwrap().1.is_empty());
    let effects = responses.done(id, Ok(()), NOW);
    assert_eq!(words(&effects), ["started", "free"]);
}

#[test]
fn what_cannot_be_started_is_told_and_what_cannot_be_ended_is_tried_again() {
    let mut responses = Responses::new(4, NOW);
    let alert = alert("response: {kind: deny-new, expires: 5m}");
    let no = || Err("no".to_owned());
    let begun = responses.consider(&alert, NOW);
    let Some(Effect::Do(id, _)) = begun.first() else { panic!("{begun:?}") };
    assert_eq!(words(&responses.done(id, no(), NOW)), ["failed"]);
    assert_eq!((responses.list().count(), responses.hold("red")), (0, None));
    consider(&mut responses, &alert, NOW);
    let id = responses.list().next().unwrap().id.clone();
    assert_eq!(words(&responses.tick(NOW + 5 * MINUTE)), ["free"]);
    assert_eq!(words(&responses.done(&id, no(), NOW + 5 * MINUTE)), ["failed"]);
    assert!(responses.tick(NOW + 5 * MINUTE + SECOND_NS).is_empty());
    let again = NOW + 5 * MINUTE + RETRY_NS;
    assert_eq!(words(&responses.tick(again)), ["free"]);
    assert!(responses.done(&id, no(), again).is_empty());
    assert_eq!(tick(&mut responses, again + RETRY_NS), ["free", "ended"]);
}

#[test]
fn one_that_cannot_be_extended_ends_when_it_was_to_end() {
    let mut responses = Responses::new(4, NOW);
    let alert = alert("response: {kind: deny-new, expires: 5m}");
    consider(&mut responses, &alert, NOW);
    let id = responses.list().next().unwrap().id.clone();
    responses.consider(&alert, NOW + MINUTE);
    assert_eq!(words(&responses.done(&id, Err("no".to_owned()), NOW + MINUTE)), ["failed"]);
    assert_eq!(tick(&mut responses, NOW + 5 * MINUTE), ["free", "ended"]);
}

#[test]
fn a_restart_keeps_responses_and_ends_what_has_expired() {
    let mut responses = Responses::new(4, NOW);
    consider(&mut responses, &alert("response: {kind: deny-new, expires: 30m}"), NOW);
    consider(&mut responses, &alert("response: {kind: revoke, expires: 5m}, per: workload"), NOW);
    consider(&mut responses, &alert("response: {kind: rate-limit, dryRun: true, expires: 30m}"), NOW);
    let saved = serde_json::to_string(&responses.save()).unwrap();
    let later = NOW + 10 * MINUTE;
    let mut again = Responses::new(4, later);
    let effects = again.resume(serde_json::from_str(&saved).unwrap(), later).unwrap();
    assert_eq!(perform(&mut again, effects, later), ["hold", "restore", "resumed", "ended"]);
    assert_eq!(again.hold("red"), Some(Hold { mode: Mode::DenyNew, until: NOW + 30 * MINUTE }));
    assert_eq!(again.list().count(), 2);
    // Numbers are not given twice.
    let limit = alert("response: {kind: rate-limit, rate: 3}");
    consider(&mut again, &limit, later);
    assert_eq!(again.list().count(), 3);
}

#[test]
fn a_journal_that_makes_no_sense_is_refused_whole() {
    let mut responses = Responses::new(4, NOW);
    consider(&mut responses, &alert("response: {kind: revoke}, per: workload"), NOW);
    let text = serde_json::to_string(&responses.save()).unwrap();
    for (from, to) in [("\"version\":1", "\"version\":9"), ("\"web\"", "null")] {
        let wrong = serde_json::from_str(&text.replace(from, to)).unwrap();
        let mut fresh = Responses::new(4, NOW);
        assert!(fresh.resume(wrong, NOW).is_err());
        assert_eq!(fresh.list().count(), 0);
    }
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_last_longer() {
    let mut responses = Responses::new(4, NOW);
    consider(&mut responses, &alert("response: {kind: deny-new, expires: 5m}"), NOW);
    let yesterday = NOW - 24 * 60 * MINUTE;
    assert!(tick(&mut responses, yesterday).is_empty());
    assert_eq!(tick(&mut responses, yesterday + 5 * MINUTE), ["free", "ended"]);
    // Nor does a journal from a day to come.
    consider(&mut responses, &alert("response: {kind: deny-new, expires: 5m}"), NOW);
    let mut again = Responses::new(4, yesterday);
    again.resume(responses.save(), yesterday).unwrap();
    assert_eq!(again.hold("red").map(|hold| hold.until), Some(yesterday + 5 * MINUTE));
}
