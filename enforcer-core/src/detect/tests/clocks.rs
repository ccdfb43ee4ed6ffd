//! Time: windows slide, clocks jump, records come late, twice and in any order.

use enforcer_proto::v1;
use proptest::prelude::*;

use super::*;

const SPEC: &str = "{pattern: failed-accesses, window: 10m, threshold: 5, cooldown: 10m}";

#[test]
fn what_is_spread_thinner_than_the_window_is_not_told() {
    let mut scene = Scene::new(SPEC);
    for _ in 0..50 {
        assert_eq!(scene.see_many(2, &flow("deny")), 0);
        scene.pass(5 * MINUTE);
    }
}

#[test]
fn a_window_slides_right_across_midnight() {
    let mut scene = Scene::new(SPEC);
    scene.pass(24 * HOUR - 2 * MINUTE);
    assert_eq!(scene.see_many(4, &flow("deny")), 0);
    scene.pass(4 * MINUTE);
    assert_eq!(scene.see_many(1, &flow("deny")), 1);
}

#[test]
fn one_alert_in_a_cool_down_and_then_how_often_it_was_meanwhile() {
    let mut scene = Scene::new(SPEC);
    let mut alerts = Vec::new();
    for _ in 0..20 {
        alerts.extend(scene.see(flow("deny")));
    }
    assert_eq!(alerts.len(), 1);
    scene.pass(9 * MINUTE);
    assert_eq!(scene.see_many(10, &flow("deny")), 0);
    scene.pass(MINUTE + SECOND);
    let alerts = scene.see(flow("deny"));
    assert_eq!(alerts[0].held_back, 25);
    assert!(alerts[0].sentence().ends_with("; 25 more times since the last alert"));
    assert_eq!(scene.engine.rules().map(|(_, raised)| raised).sum::<u64>(), 2);
}

#[test]
fn a_clock_that_goes_forward_far_accuses_nobody() {
    let mut scene = Scene::new(SPEC);
    assert_eq!(scene.see_many(4, &flow("deny")), 0);
    scene.now += 400 * 24 * HOUR;
    assert_eq!(scene.see_many(4, &flow("deny")), 0);
    assert_eq!(scene.see_many(1, &flow("deny")), 1);
}

#[test]
fn a_clock_that_is_set_back_accuses_nobody_and_blinds_nobody() {
    let mut scene = Scene::new(SPEC);
    assert_eq!(scene.see_many(4, &flow("deny")), 0);
    scene.now -= 24 * HOUR;
    assert_eq!(scene.see_many(4, &flow("deny")), 0);
    assert_eq!(scene.engine.tallies().rewound, 1);
    assert_eq!(scene.see_many(1, &flow("deny")), 1);
    // The cool-down goes on, not for a day more.
    scene.now -= 24 * HOUR;
    assert_eq!(scene.see_many(20, &flow("deny")), 0);
    scene.pass(11 * MINUTE);
    assert_eq!(scene.see_many(5, &flow("deny")), 1);
}

#[test]
fn an_unsteady_clock_loses_nothing() {
    let mut scene = Scene::new(SPEC);
    for _ in 0..4 {
        assert_eq!(scene.see_many(1, &flow("deny")), 0);
        scene.now -= SECOND;
        scene.engine.tick(scene.now);
        scene.now += SECOND;
    }
    assert_eq!((scene.see_many(1, &flow("deny")), scene.engine.tallies().rewound), (1, 0));
}

#[test]
fn what_is_told_twice_counts_once() {
    let mut scene = Scene::new(SPEC);
    let record = |sequence| v1::Record { sequence, time: Some(timestamp(MONDAY)), ..flow("deny") };
    for _ in 0..100 {
        for sequence in 1..5 {
            assert!(scene.engine.observe(&record(sequence), MONDAY, &party).is_empty());
        }
    }
    assert_eq!(scene.engine.tallies().replayed, 4 * 99);
    assert_eq!(scene.engine.observe(&record(5), MONDAY, &party).len(), 1);
}

#[test]
fn a_replay_after_a_restart_raises_nothing_old() {
    let now = MONDAY + 24 * HOUR;
    let mut engine = Engine::new(&rule(SPEC), now);
    for sequence in 1..50_000 {
        let time = Some(timestamp(MONDAY + sequence * SECOND));
        let record = v1::Record { sequence, time, ..flow("deny") };
        assert!(engine.observe(&record, now, &party).is_empty());
    }
}

#[test]
fn a_record_from_the_future_or_without_a_time_is_of_now() {
    let mut scene = Scene::new(SPEC);
    for time in [Some(timestamp(MONDAY + 500 * HOUR)), None, Some(prost_types::Timestamp::default())] {
        for sequence in [0, 0] {
            let record = v1::Record { sequence, time, ..flow("deny") };
            assert!(scene.engine.observe(&record, MONDAY, &party).is_empty());
        }
    }
    // Two of 1970 are too old.
    assert_eq!(scene.see_many(1, &flow("deny")), 1);
}

proptest! {
    #[test]
    fn nothing_that_a_clock_or_a_record_does_makes_it_panic(
        steps in proptest::collection::vec((any::<u64>(), any::<i64>(), any::<i32>(), any::<u64>()), 1..100),
    ) {
        let spec = "{pattern: volume, window: 1m, threshold: 1, factor: 2}";
        let mut engine = Engine::new(&rule(spec), MONDAY);
        for (now, seconds, nanos, bytes) in steps {
            let time = Some(prost_types::Timestamp { seconds, nanos });
            engine.tick(now);
            engine.observe(&v1::Record { time, ..totals(bytes) }, now, &party);
        }
    }

    /// Whatever the order in which they come, within the window they are as many.
    #[test]
    fn the_order_of_records_does_not_matter(mut late in proptest::collection::vec(0_u64..9, 4)) {
        let mut scene = Scene::new(SPEC);
        scene.pass(HOUR);
        let mut told = 0;
        late.push(0);
        for (sequence, minutes) in (1..).zip(late) {
            let time = Some(timestamp(scene.now - minutes * MINUTE));
            told += scene.engine.observe(&v1::Record { sequence, time, ..flow("deny") }, scene.now, &party).len();
        }
        prop_assert_eq!(told, 1);
    }
}
