//! What is usual: learned from whole windows, kept, frozen, and not to be poisoned.

use super::*;

const SPEC: &str = "{pattern: volume, window: 1h, threshold: 10, factor: 5, minimumSamples: 8, cooldown: 1s}";

/// Some hours of so many bytes each, half an hour into each.
fn hours(scene: &mut Scene, count: u64, bytes: u64) -> usize {
    (0..count)
        .map(|_| {
            scene.pass(HOUR / 2);
            let told = scene.see_many(1, &totals(bytes));
            scene.pass(HOUR / 2);
            told
        })
        .sum()
}

#[test]
fn it_is_silent_until_it_has_learned_and_then_speaks_above_its_limit() {
    let mut scene = Scene::new(SPEC);
    // The window in which it began was not watched whole.
    assert_eq!(hours(&mut scene, 9, 1_000), 0);
    let learned = scene.engine.learned(Some("red")).remove(0);
    assert_eq!((learned.baseline.samples(), learned.limit), (8, Some(1_500)));
    assert_eq!(hours(&mut scene, 1, 1_500), 0);
    scene.pass(HOUR / 2);
    let alerts = scene.see(totals(1_501));
    assert_eq!(
        alerts[0].sentence(),
        "red: 1501 bytes within 1h; usual are 1000 (median of 9 windows, deviation 0), and the limit is 1500"
    );
}

#[test]
fn before_that_no_volume_is_too_much() {
    let mut scene = Scene::new(SPEC);
    assert_eq!(hours(&mut scene, 8, u64::MAX), 0);
}

#[test]
fn a_burst_of_hours_moves_the_limit_a_little_and_is_told() {
    let mut scene = Scene::new(SPEC);
    hours(&mut scene, 30, 1_000);
    assert_eq!(scene.engine.learned(None)[0].limit, Some(1_500));
    assert_eq!(hours(&mut scene, 10, 1 << 60), 10);
    let limit = scene.engine.learned(None)[0].limit.unwrap();
    assert!(limit <= 1_840, "{limit}");
}

#[test]
fn a_frozen_baseline_stays_and_says_so() {
    let mut scene = Scene::new(SPEC);
    hours(&mut scene, 12, 1_000);
    let frozen = scene.engine.freeze("red", Some("it"), true);
    assert_eq!((frozen.len(), frozen[0].baseline.is_frozen()), (1, true));
    hours(&mut scene, 100, 1_400);
    let learned = scene.engine.learned(None).remove(0);
    assert_eq!((learned.baseline.samples(), learned.limit), (11, Some(1_500)));
    assert!(scene.engine.freeze("blue", None, true).is_empty());
    assert!(scene.engine.freeze("red", Some("other"), true).is_empty());
}

#[test]
fn what_was_learned_outlives_a_restart_and_nothing_of_it_is_told_again() {
    let mut scene = Scene::new(SPEC);
    hours(&mut scene, 12, 1_000);
    let text = serde_json::to_string(&scene.engine.save()).unwrap();
    let mut again = Engine::new(&rule(SPEC), scene.now);
    again.remember(serde_json::from_str(&text).unwrap()).unwrap();
    assert_eq!(again.learned(None)[0].baseline, scene.engine.learned(None)[0].baseline);
    assert_eq!(again.save(), scene.engine.save());
    // The window of the restart was not watched whole.
    again.tick(scene.now + HOUR);
    assert_eq!(again.learned(None)[0].baseline.samples(), 11);
    again.tick(scene.now + 2 * HOUR);
    assert_eq!(again.learned(None)[0].baseline.samples(), 12);
}

#[test]
fn what_belongs_to_another_rule_or_version_is_not_taken() {
    let mut scene = Scene::new(SPEC);
    hours(&mut scene, 12, 1_000);
    let saved = scene.engine.save();
    let other = rule("{pattern: volume, window: 2h, threshold: 10, factor: 5}");
    let mut engine = Engine::new(&other, scene.now);
    engine.remember(saved.clone()).unwrap();
    assert!(engine.learned(None).is_empty());
    let newer = serde_json::to_string(&saved).unwrap().replace("\"version\":1", "\"version\":2");
    assert!(engine.remember(serde_json::from_str(&newer).unwrap()).is_err());
}

#[test]
fn a_sleep_or_a_jump_teaches_nothing() {
    let mut scene = Scene::new(SPEC);
    hours(&mut scene, 12, 1_000);
    let before = scene.engine.learned(None)[0].baseline.samples();
    scene.pass(500 * HOUR);
    assert_eq!(scene.engine.learned(None)[0].baseline.samples(), before);
}
