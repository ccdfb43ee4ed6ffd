//! Every path that events can take.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::receipt::{Evidence, NOT_COVERED, Receipt, ReceiptDevice, ReceiptError, Samples, VERSION};
use super::*;

const NOW: u64 = 1_000;

fn tenants(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn alone(name: &str) -> Granted {
    Granted { tenants: tenants(&[name]), all_share: false }
}

fn shared(names: &[&str]) -> Granted {
    Granted { tenants: tenants(names), all_share: true }
}

fn rules(reuse: Reuse) -> Rules {
    Rules { drain_ns: 90, reuse, has_scrubber: true }
}

/// Through the events, all of which are heeded.
fn through(from: Custody, granted: &Granted, rules: &Rules, events: &[Event]) -> Custody {
    events.iter().fold(from, |custody, event| step(&custody, event, granted, rules, NOW).unwrap())
}

fn scrubbed() -> [Event; 4] {
    [Event::Vacancy(Ok(())), Event::Scrubbed(Ok(())), Event::Receipted("aa".to_owned()), Event::Grants]
}

fn used_by(name: &str, rules: &Rules) -> Custody {
    let used = through(Custody::first_sight(NOW), &alone(name), rules, &scrubbed());
    assert_eq!((used.state, &used.tenants), (State::InUse, &tenants(&[name])));
    used
}

#[test]
fn first_sight_is_closed_and_is_scrubbed_before_the_first_tenant() {
    let seen = Custody::first_sight(NOW);
    let rules = rules(Reuse::SameTenant);
    assert_eq!(seen.open_to(), None);
    assert_eq!(seen.plan(&alone("red"), &rules), Plan::Prove { until_ns: None });
    assert_eq!(through(seen.clone(), &alone("red"), &rules, &[Event::Grants]).state, State::Quarantined);
    assert_eq!(used_by("red", &rules).past, tenants(&["red"]));
}

#[test]
fn a_tenant_that_does_not_let_go_leaves_the_device_in_quarantine_and_unscrubbed() {
    let rules = rules(Reuse::Never);
    let taken = through(used_by("red", &rules), &alone("blue"), &rules, &[Event::Grants]);
    assert_eq!((taken.state, taken.open_to()), (State::Draining, None));
    let held = Event::Vacancy(Err("held by 42".to_owned()));
    let early = step(&taken, &held, &alone("blue"), &rules, NOW + 89).unwrap();
    assert_eq!((early.state, early.reason.as_str()), (State::Draining, "held by 42"));
    let late = step(&early, &held, &alone("blue"), &rules, NOW + 90).unwrap();
    assert_eq!(late.state, State::Quarantined);
    let still = step(&late, &held, &alone("blue"), &rules, NOW + 10_000).unwrap();
    assert_eq!(still.state, State::Quarantined);
    let after = through(still, &alone("blue"), &rules, &scrubbed());
    assert_eq!((after.state, after.past), (State::InUse, tenants(&["blue"])));
}

#[test]
fn the_same_tenant_skips_the_scrub_only_where_the_policy_says_so() {
    for (reuse, plan) in
        [(Reuse::Never, Plan::Prove { until_ns: Some(NOW + 90) }), (Reuse::SameTenant, Plan::Skip)]
    {
        let rules = rules(reuse);
        let taken = through(used_by("red", &rules), &Granted::default(), &rules, &[Event::Grants]);
        assert_eq!(taken.plan(&alone("red"), &rules), plan);
        assert_ne!(taken.plan(&alone("blue"), &rules), Plan::Skip);
    }
    let rules = rules(Reuse::SameTenant);
    let drained =
        step(&used_by("red", &rules), &Event::Said(Word::Drain, String::new()), &alone("red"), &rules, NOW);
    assert_ne!(drained.unwrap().plan(&alone("red"), &rules), Plan::Skip, "a person wants it scrubbed");
}

#[test]
fn tenants_that_share_come_and_go_and_are_all_remembered() {
    let rules = rules(Reuse::Never);
    let both = through(Custody::first_sight(NOW), &shared(&["a", "b"]), &rules, &scrubbed());
    assert_eq!(both.open_to(), Some(&tenants(&["a", "b"])));
    let one = through(both, &shared(&["b"]), &rules, &[Event::Grants]);
    assert_eq!((one.state, &one.past), (State::InUse, &tenants(&["a", "b"])));
    let other = through(one.clone(), &shared(&["c"]), &rules, &[Event::Grants]);
    assert_eq!(other.state, State::Draining);
    let unshared = Granted { tenants: tenants(&["b", "c"]), all_share: false };
    assert_eq!(through(one, &unshared, &rules, &[Event::Grants]).state, State::Draining);
}

#[test]
fn failed_absorbs_everything_but_a_persons_word() {
    let rules = rules(Reuse::SameTenant);
    let failed = through(
        Custody::first_sight(NOW),
        &alone("red"),
        &rules,
        &[Event::Vacancy(Ok(())), Event::Scrubbed(Err("short".to_owned()))],
    );
    assert_eq!(failed.state, State::Failed);
    let others = [
        Event::Grants,
        Event::Vacancy(Ok(())),
        Event::Tick,
        Event::Scrubbed(Ok(())),
        Event::Receipted("aa".to_owned()),
        Event::Restart { closed: true },
        Event::Said(Word::Quarantine, "x".to_owned()),
    ];
    assert_eq!(through(failed.clone(), &alone("red"), &rules, &others).state, State::Failed);
    let say =
        |word, reason: &str| step(&failed, &Event::Said(word, reason.to_owned()), &alone("red"), &rules, NOW);
    assert_eq!(say(Word::Release, " "), Err(Refused::NoReason));
    assert_eq!(say(Word::Release, "looked at").unwrap().state, State::Available);
    assert_eq!(say(Word::Scrub, "").unwrap().state, State::Quarantined);
}

#[test]
fn a_second_release_is_refused() {
    let rules = rules(Reuse::Never);
    let release = Event::Said(Word::Release, "looked at".to_owned());
    let once = step(&Custody::first_sight(NOW), &release, &Granted::default(), &rules, NOW).unwrap();
    assert_eq!(once.state, State::Available);
    let twice = step(&once, &release, &Granted::default(), &rules, NOW);
    assert!(matches!(twice, Err(Refused::State("available", _))));
}

#[test]
fn a_device_that_a_person_closed_waits_for_a_person() {
    let rules = rules(Reuse::Never);
    let quarantine = Event::Said(Word::Quarantine, "incident".to_owned());
    let closed = through(used_by("red", &rules), &alone("red"), &rules, &[quarantine, Event::Grants]);
    assert_eq!((closed.state, closed.open_to()), (State::Quarantined, None));
    assert_eq!(closed.plan(&alone("red"), &rules), Plan::Wait);
    let proven = through(closed, &alone("red"), &rules, &[Event::Vacancy(Ok(()))]);
    assert_eq!(proven.state, State::Quarantined);
}

fn event() -> impl Strategy<Value = Event> {
    let word = prop_oneof![Just(Word::Drain), Just(Word::Scrub), Just(Word::Release), Just(Word::Quarantine)];
    let outcome = || prop_oneof![2 => Just(Ok(())), 1 => Just(Err("no".to_owned()))];
    prop_oneof![
        4 => Just(Event::Grants),
        3 => outcome().prop_map(Event::Vacancy),
        1 => Just(Event::Tick),
        3 => outcome().prop_map(Event::Scrubbed),
        3 => Just(Event::Receipted("aa".to_owned())),
        1 => Just(Event::Unreceipted("no".to_owned())),
        2 => (word, prop_oneof![Just(String::new()), Just("why".to_owned())])
            .prop_map(|(word, reason)| Event::Said(word, reason)),
        1 => any::<bool>().prop_map(|closed| Event::Restart { closed }),
    ]
}

fn grants() -> impl Strategy<Value = Granted> {
    (proptest::sample::subsequence(vec!["a", "b", "c"], 0..=3), any::<bool>())
        .prop_map(|(names, all_share)| Granted { tenants: tenants(&names), all_share })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_path_leads_from_one_tenants_use_to_anothers_past_a_verified_scrub(
        events in proptest::collection::vec((event(), grants(), 0_u64..120), 1..60),
        reuse in prop_oneof![Just(Reuse::Never), Just(Reuse::SameTenant)],
    ) {
        let rules = rules(reuse);
        let mut custody = Custody::first_sight(NOW);
        // Nobody knows who had it: somebody without a name did.
        let mut last: Option<BTreeSet<String>> = None;
        let mut is_clean = false;
        let mut now = NOW;
        for (event, granted, later) in events {
            now += later;
            let before = custody.clone();
            let Ok(next) = step(&before, &event, &granted, &rules, now) else { continue };
            prop_assert_eq!(&step(&before, &event, &granted, &rules, now).unwrap(), &next, "deterministic");
            prop_assert_eq!(next.open_to().is_some(), next.state == State::InUse);
            if let (Event::Restart { .. }, None) = (&event, before.open_to()) {
                prop_assert_eq!(next.open_to(), None, "a restart opened it");
            }
            if next.state == State::Verified && before.state != State::Verified {
                prop_assert_eq!(before.state, State::Sanitizing);
            }
            if before.state == State::Verified && next.state == State::Available {
                is_clean = true;
            }
            if matches!(&event, Event::Said(Word::Release, _)) {
                is_clean = true;
            }
            if next.state == State::Sanitizing && before.state != State::Sanitizing {
                prop_assert_eq!(&event, &Event::Vacancy(Ok(())), "never under a holder");
            }
            if next.state == State::InUse && (before.state != State::InUse || before.tenants != next.tenants) {
                let same = last.as_ref() == Some(&next.tenants) && reuse == Reuse::SameTenant;
                let stays = before.state == State::InUse && !before.tenants.is_disjoint(&next.tenants);
                prop_assert!(is_clean || same || stays, "{:?} then {:?}", before, next);
                is_clean = false;
            }
            if let Some(open) = next.open_to() {
                prop_assert!(open.is_subset(&next.past));
                last = Some(next.past.clone());
            }
            prop_assert!(next.history.len() <= HISTORY_MAX);
            custody = next;
        }
    }
}

fn receipt() -> Receipt {
    Receipt {
        version: VERSION,
        device: ReceiptDevice {
            class: "nvidia".to_owned(),
            kind: "char".to_owned(),
            major: 195,
            ..ReceiptDevice::default()
        },
        node: "n1".to_owned(),
        previous_tenants: tenants(&["red"]),
        next_tenants: tenants(&["blue"]),
        method: "command".to_owned(),
        detail: String::new(),
        bytes_covered: 10,
        bytes_total: 10,
        samples: Samples { count: 3, seed: "ab".to_owned(), mismatches: 0 },
        settings: String::new(),
        evidence: Evidence::Sampled,
        not_covered: NOT_COVERED.iter().map(|words| (*words).to_owned()).collect(),
        started_ns: 1,
        ended_ns: 2,
        agent: String::new(),
        nonce: "cd".to_owned(),
        previous: String::new(),
        signer: "ef".to_owned(),
    }
}

#[test]
fn a_receipt_has_one_spelling_and_every_changed_byte_changes_it() {
    let bytes = receipt().to_bytes();
    assert_eq!(Receipt::parse(&bytes), Ok(receipt()));
    assert!(bytes.starts_with(b"{\"version\":1,\"device\":{\"class\":\"nvidia\",\"number\":0,"));
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let same = Receipt::parse(&changed).is_ok_and(|read| read.hash() == receipt().hash());
            assert!(!same, "byte {at} ^ {flip:#x}");
        }
    }
    let spaced = [b" ".as_slice(), &bytes].concat();
    assert_eq!(Receipt::parse(&spaced), Err(ReceiptError::Spelling));
    let text = String::from_utf8(bytes).unwrap();
    let later = text.replacen("\"version\":1", "\"version\":2", 1);
    assert_eq!(Receipt::parse(later.as_bytes()), Err(ReceiptError::Version(2)));
}
