//! What a tenant sees, where a stream begins, and who keeps records.

use super::*;

/// Red's packet to blue.
fn crossing(cookie: u64) -> Event {
    Event { source_identity: RED, destination_identity: BLUE, ..event(cookie) }
}

/// Red's packet to the world.
fn alone(who: u32) -> Event {
    Event { source_identity: who, destination_identity: 2, ..event(0) }
}

fn tenant(name: &str) -> Scope {
    Scope::Tenant(name.into())
}

#[tokio::test]
async fn a_tenant_sees_its_own_and_its_half_of_what_it_shares() {
    let feed = feed(100);
    feed.send([crossing(1), alone(RED), alone(BLUE)]).await;
    feed.reached(3).await;
    let red = feed.seen(v1::ObserveRequest::default(), tenant("red")).await;
    assert_eq!(numbers(&red), [1, 2]);
    assert_eq!((red[0].half, red[1].half), (true, false));
    assert_eq!(red[0].destination.as_ref().unwrap().identity, "another tenant");
    assert_eq!(numbers(&feed.seen(v1::ObserveRequest::default(), tenant("blue")).await), [1, 3]);
    assert_eq!(numbers(&feed.seen(v1::ObserveRequest::default(), tenant("green")).await), [] as [u64; 0]);
}

/// A filter cannot be used to ask what is not shown.
#[tokio::test]
async fn filters_look_at_what_is_shown() {
    let feed = feed(100);
    feed.send([crossing(1)]).await;
    feed.reached(1).await;
    let blue = v1::ObserveRequest { tenant: Some("blue".to_owned()), ..v1::ObserveRequest::default() };
    assert_eq!(feed.seen(blue.clone(), tenant("red")).await.len(), 0);
    assert_eq!(feed.seen(blue, Scope::Everything).await.len(), 1);
    let last = v1::ObserveRequest { last: Some(1), ..v1::ObserveRequest::default() };
    feed.send([alone(BLUE)]).await;
    feed.reached(2).await;
    assert_eq!(numbers(&feed.seen(last, tenant("red")).await), [1]);
}

/// What is pushed out of others' records is not a tenant's to know; what is pushed out of its own is told to the last one.
#[tokio::test]
async fn a_slow_tenant_is_told_how_many_of_its_own_it_missed() {
    const SENT: u64 = 5_000;
    let feed = feed(400);
    let mut slow = feed.forensics.subscribe(tenant("red"), Start::Newest, true);
    for _ in (0..SENT).step_by(100) {
        feed.send((0..100).map(|place| alone(if place % 2 == 0 { RED } else { BLUE }))).await;
    }
    feed.reached(SENT).await;
    let (mut got, mut missed) = (0, 0);
    while got + missed < SENT / 2 {
        let record = tokio::time::timeout(PATIENCE, slow.next()).await.expect("a record in time").unwrap();
        if record.r#type == "loss" {
            missed += record.lost_before;
        } else {
            assert_eq!(record.source.unwrap().identity, "red");
            got += 1;
        }
    }
    assert_eq!(got + missed, SENT / 2);
    assert!(missed > 0, "the observer was not slow");
}

#[tokio::test]
async fn a_stream_goes_on_behind_a_number_and_says_what_is_no_longer_held() {
    let feed = feed(40);
    feed.send((0..100).map(|_| alone(BLUE))).await;
    feed.reached(100).await;
    let after = |number| v1::ObserveRequest { after: Some(number), ..v1::ObserveRequest::default() };
    assert_eq!(numbers(&feed.all(after(97)).await), [98, 99, 100]);
    assert_eq!(numbers(&feed.all(after(100)).await), [] as [u64; 0]);
    assert_eq!(numbers(&feed.all(after(1_000)).await), [] as [u64; 0]);
    let records = feed.all(after(20)).await;
    assert_eq!((records[0].reason.as_str(), records[0].lost_before), ("not_held", 50));
    assert_eq!((records[1].sequence, records.len()), (71, 31));
    assert_eq!(feed.seen(after(20), tenant("red")).await, []);
    let blue = feed.seen(after(20), tenant("blue")).await;
    assert_eq!((blue[0].reason.as_str(), blue.len()), ("not_held", 31));
}

#[tokio::test]
async fn who_keeps_records_gets_each_of_them_in_order_and_holds_the_room_up() {
    let (keep, mut kept) = mpsc::channel(1);
    let feed = feed_keeping(1_000, Some(keep));
    for _ in 0..10 {
        feed.send((0..10).map(|_| alone(RED))).await;
    }
    // Two batches are with the keeper's queue and in its hand; the room takes no more until it does.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(feed.forensics.totals().stored <= 30, "{:?}", feed.forensics.totals());
    let mut next = 1;
    while next <= 100 {
        let records = tokio::time::timeout(PATIENCE, kept.recv()).await.expect("records in time").unwrap();
        for record in records {
            assert_eq!(record.sequence, next);
            next += 1;
        }
    }
    drop(kept);
    feed.send([alone(RED)]).await;
    feed.reached(101).await;
}
