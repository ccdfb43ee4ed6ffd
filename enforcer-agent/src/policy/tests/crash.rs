//! A failure at each step, and a death between each two: nothing is ever half in force. The first mistake of
//! the requirement essays' sample code was a tenant that stayed registered when its walls had failed.

use std::fs;

use enforcer_proto::v1;

use super::{Bench, codes, delta, snapshot, tenant};
use crate::door::policy::Rollback;
use crate::policy::engine::{Engine, Footing};

/// Red is in force as revision 1.
fn with_red(bench: &Bench) -> Engine {
    let mut engine = bench.start();
    assert_eq!(engine.apply(snapshot(&[tenant("red", 16)])).unwrap().revision, 1);
    engine
}

fn only_red(bench: &Bench, engine: &Engine) {
    let current = engine.history.current();
    assert_eq!(current.number, 1);
    assert!(current.policy.tenants.contains_key("red") && !current.policy.tenants.contains_key("blue"));
    let inside = bench.kernel.inside();
    assert_eq!(inside.image.tenants.keys().copied().collect::<Vec<_>>(), [16]);
    assert_eq!((inside.revision, inside.open), (1, 0));
}

#[test]
fn when_preparing_fails_the_tenant_does_not_exist() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    let before = fs::read(bench.journal()).unwrap();
    bench.kernel.inside().fail_prepare = true;
    assert_eq!(codes(engine.apply(snapshot(&[tenant("red", 16), tenant("blue", 17)]))), ["kernel_failed"]);
    only_red(&bench, &engine);
    assert_eq!(fs::read(bench.journal()).unwrap(), before);
}

#[test]
fn when_the_disk_fails_the_prepared_plan_is_taken_back() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    engine.store.break_for_test();
    bench.kernel.inside().asked.clear();
    assert_eq!(codes(engine.apply(snapshot(&[tenant("red", 16), tenant("blue", 17)]))), ["store_failed"]);
    assert_eq!(bench.kernel.inside().asked, ["prepare", "abort"]);
    only_red(&bench, &engine);
}

#[test]
fn when_the_switch_fails_the_journal_forgets_the_revision() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    let before = fs::read(bench.journal()).unwrap();
    bench.kernel.inside().fail_commit = true;
    assert_eq!(codes(engine.apply(snapshot(&[tenant("red", 16), tenant("blue", 17)]))), ["kernel_failed"]);
    only_red(&bench, &engine);
    assert_eq!(fs::read(bench.journal()).unwrap(), before);
    assert!(!engine.in_force().ready);

    bench.kernel.inside().fail_commit = false;
    engine.recheck();
    assert!(engine.in_force().ready);
    only_red(&bench, &engine);
    assert_eq!(engine.apply(snapshot(&[tenant("blue", 17)])).unwrap().revision, 2);
}

#[test]
fn after_a_death_at_any_moment_kernel_and_journal_agree_again() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    let red = fs::read(bench.journal()).unwrap();
    engine.apply(snapshot(&[tenant("red", 16), tenant("blue", 17)])).unwrap();
    drop(engine);
    let both = fs::read(bench.journal()).unwrap();
    let old = bench.kernel.inside().image.clone();
    for end in red.len()..=both.len() {
        fs::write(bench.journal(), &both[..end]).unwrap();
        bench.kernel.inside().image = old.clone();
        let engine = bench.start();
        let policy = &engine.history.current().policy;
        let names: Vec<u32> = policy.tenants.values().map(|tenant| tenant.id).collect();
        let mut held: Vec<u32> = bench.kernel.inside().image.tenants.keys().copied().collect();
        held.reverse();
        let mut known = names;
        known.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(held, known, "cut at {end}");
        assert!(engine.report().unwrap().drift.is_empty());
    }
}

#[test]
fn the_last_good_policy_is_in_force_before_the_door_opens() {
    let bench = Bench::new();
    drop(with_red(&bench));
    *bench.kernel.inside() = Default::default();
    let engine = bench.start();
    only_red(&bench, &engine);
    assert!(engine.in_force().ready);
}

#[test]
fn an_adopted_policy_without_a_journal_stays_until_a_whole_one_comes() {
    let bench = Bench::new();
    drop(with_red(&bench));
    fs::remove_file(bench.journal()).unwrap();
    let mut engine = bench.start();
    assert_eq!(engine.footing, Footing::Orphaned);
    engine.recheck();
    assert!(bench.kernel.inside().image.tenants.contains_key(&16));
    assert!(!engine.in_force().ready);
    assert!(!engine.report().unwrap().drift.is_empty());

    let part = delta(v1::Snapshot::default());
    assert_eq!(codes(engine.apply(part)), ["base_unknown"]);
    assert_eq!(engine.apply(snapshot(&[tenant("blue", 17)])).unwrap().revision, 2);
    assert_eq!(bench.kernel.inside().image.tenants.keys().copied().collect::<Vec<_>>(), [17]);
    assert!(engine.in_force().ready);
}

#[test]
fn history_survives_a_restart_and_can_be_gone_back_to() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    engine.apply(snapshot(&[tenant("blue", 17)])).unwrap();
    drop(engine);
    let mut engine = bench.start();
    let back = Rollback { revision: 1, author: "test".to_owned(), received: std::time::Instant::now() };
    assert_eq!(engine.roll_back(back.clone()).unwrap().revision, 3);
    assert!(engine.history.current().policy.tenants.contains_key("red"));
    assert_eq!(engine.history.current().source, "rollback to 1");
    assert_eq!(codes(engine.roll_back(Rollback { revision: 9, ..back })), ["unknown_revision"]);
}

#[test]
fn a_number_that_was_used_stays_used_after_restart_and_compaction() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    engine.apply(snapshot(&[tenant("blue", 17)])).unwrap();
    engine.compact_now().unwrap();
    drop(engine);
    let mut engine = bench.start();
    assert!(!codes(engine.apply(snapshot(&[tenant("green", 16)]))).is_empty());
    assert!(engine.history.find(1).is_some());
}

#[test]
fn a_number_that_a_push_says_was_used_stays_used_after_a_restart() {
    let bench = Bench::new();
    let mut engine = with_red(&bench);
    let used = v1::RetiredId { id: 17, name: "blue".to_owned() };
    let push = v1::Snapshot { retired_ids: vec![used], ..v1::Snapshot::default() };
    assert_eq!(engine.apply(delta(push)).unwrap().revision, 2);
    drop(engine);
    let mut engine = bench.start();
    assert!(!codes(engine.apply(snapshot(&[tenant("red", 16), tenant("green", 17)]))).is_empty());
    assert_eq!(engine.apply(snapshot(&[tenant("red", 16), tenant("blue", 17)])).unwrap().revision, 3);
}
