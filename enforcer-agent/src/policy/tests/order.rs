//! Many senders at once: one change after the other, each acknowledged after its own commit.

use std::sync::atomic::{AtomicU64, Ordering};

use enforcer_proto::v1;

use super::{Bench, delta, tenant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_at_the_same_time_each_get_their_own_revision() {
    let bench = Bench::new();
    let (door, thread) = bench.start().open().unwrap();
    let mut senders = tokio::task::JoinSet::new();
    for n in 0..8 {
        let door = door.clone();
        senders.spawn(async move {
            let one =
                v1::Snapshot { tenants: vec![tenant(&format!("t{n}"), 16 + n)], ..v1::Snapshot::default() };
            door.apply(delta(one)).await.unwrap().unwrap().revision
        });
    }
    let mut revisions = senders.join_all().await;
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=8).collect::<Vec<_>>());
    assert_eq!(door.in_force().current.policy.tenants.len(), 8);
    drop(door);
    thread.join().unwrap();
    assert_eq!(bench.kernel.inside().image.tenants.len(), 8);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_of_a_revision_before_the_kernel_holds_it() {
    static COMMITS: AtomicU64 = AtomicU64::new(0);
    let bench = Bench::new();
    let (door, thread) = bench.start().open().unwrap();
    bench.kernel.inside().at_commit = Some(|| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        COMMITS.fetch_add(1, Ordering::SeqCst);
    });
    let mut news = door.watch();
    news.mark_unchanged();
    let heard = tokio::spawn(async move {
        news.changed().await.unwrap();
        (COMMITS.load(Ordering::SeqCst), news.borrow().current.number)
    });
    let one = v1::Snapshot { tenants: vec![tenant("red", 16)], ..v1::Snapshot::default() };
    let accepted = door.apply(delta(one)).await.unwrap().unwrap();
    assert_eq!((COMMITS.load(Ordering::SeqCst), accepted.revision), (1, 1));
    assert!(accepted.elapsed >= std::time::Duration::from_millis(20));
    assert_eq!(heard.await.unwrap(), (1, 1));
    drop(door);
    thread.join().unwrap();
    assert!(bench.kernel.inside().asked.contains(&"sweep"));
}

#[tokio::test]
async fn a_closed_room_says_so() {
    let bench = Bench::new();
    let engine = bench.start();
    let (commands, inbox) = tokio::sync::mpsc::channel(1);
    let door = crate::door::policy::PolicyDoor::new(commands, engine.published.subscribe());
    drop(inbox);
    assert!(door.report().await.is_err());
    door.closed().await;
}
