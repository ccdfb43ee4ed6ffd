//! The room as a whole: bytes in, records out, and every record that is missing accounted for.

mod joined;
mod scoped;
mod speed;

use std::time::Duration;

use enforcer_common::event::{
    Event, HOOK_FROM_WORKLOAD, Header, KIND_FLOW_ALLOWED, KIND_FLOW_REFUSED, RING_EVENTS,
};
use enforcer_common::maps::LOST_EVENT_FULL;
use enforcer_common::{reason, verdict};
use enforcer_core::enforce::Loss;
use enforcer_core::event::batch::Batch;
use enforcer_core::event::decode::encode;
use enforcer_core::event::scene::Scene;
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::Policy;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

fn event(cookie: u64) -> Event {
    Event {
        cookie,
        header: Header { kind: KIND_FLOW_REFUSED, ..Header::default() },
        hook: HOOK_FROM_WORKLOAD,
        action: verdict::DENY,
        reason: reason::CROSS_TENANT_NO_RULE,
        rule: 16,
        ..Event::default()
    }
}

fn sample() -> Event {
    let header = Header { kind: KIND_FLOW_ALLOWED, ..Header::default() };
    Event { header, action: verdict::ALLOW, reason: reason::NONE, ..event(0) }
}

fn bytes(event: &Event) -> Box<[u8]> {
    encode(event).into()
}

const RED: u32 = 16;
const BLUE: u32 = 17;

fn scene(revision: u64, rule: &str) -> Arc<Scene> {
    let mut policy = Policy::default();
    policy.index.rule_numbers.insert(16, rule.into());
    policy.index.tenant_by_id.insert(RED, "red".into());
    policy.index.tenant_by_id.insert(BLUE, "blue".into());
    let facts = NodeFacts { name: "node-1".to_owned(), ..NodeFacts::default() };
    Arc::new(Scene::new(revision, Arc::new(policy), Arc::new(facts)))
}

/// A room that is fed by hand.
struct Feed {
    forensics: Forensics,
    events: mpsc::Sender<Batch>,
    scenes: watch::Sender<Arc<Scene>>,
    losses: watch::Sender<Vec<Loss>>,
    counters: mpsc::Sender<Counters>,
    maker: Maker,
    work: tokio::task::JoinHandle<()>,
}

fn feed(capacity: usize) -> Feed {
    feed_keeping(capacity, None)
}

fn feed_keeping(capacity: usize, keep: Option<mpsc::Sender<Vec<Arc<v1::Record>>>>) -> Feed {
    let forensics = Forensics::new("node-1".to_owned(), capacity);
    let (events, events_in) = mpsc::channel(16);
    let (scenes, scenes_in) = watch::channel(scene(1, "first"));
    let (losses, losses_in) = watch::channel(Vec::new());
    let (counters, counters_in) = mpsc::channel(1);
    let (maker, made) = super::queue();
    let intake = Intake {
        events: events_in,
        made,
        scenes: scenes_in,
        losses: losses_in,
        counters: counters_in,
        credentials: None,
        paths: Arc::new(|id| Some(format!("/group-{id}"))),
        groups: Arc::new(|_| None),
        keep,
    };
    let work = tokio::spawn(forensics.clone().ingest(intake, 1));
    Feed { forensics, events, scenes, losses, counters, maker, work }
}

impl Feed {
    async fn send(&self, events: impl IntoIterator<Item = Event>) {
        self.events.send(events.into_iter().map(|event| bytes(&event)).collect()).await.unwrap();
    }

    async fn reached(&self, total: u64) {
        let mut stored = self.forensics.stored();
        let reached = stored.wait_for(|stored| *stored >= total);
        tokio::time::timeout(PATIENCE, reached).await.expect("the records in time").unwrap();
    }

    async fn all(&self, request: v1::ObserveRequest) -> Vec<v1::Record> {
        self.seen(request, Scope::Everything).await
    }

    async fn seen(&self, request: v1::ObserveRequest, scope: Scope) -> Vec<v1::Record> {
        let records = self.forensics.observe(&request, scope).unwrap().collect();
        tokio::time::timeout(PATIENCE, records).await.expect("the stream's end in time")
    }
}

fn numbers(records: &[v1::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}

#[tokio::test]
async fn events_become_numbered_records_with_names() {
    let feed = feed(100);
    feed.send([event(1), Event { cgroup: 42, ..event(2) }]).await;
    feed.reached(2).await;
    let records = feed.all(v1::ObserveRequest::default()).await;
    assert_eq!(numbers(&records), [1, 2]);
    assert_eq!((records[0].node.as_str(), records[0].reason.as_str()), ("node-1", "cross_tenant_no_rule"));
    assert_eq!(records[1].process.as_ref().unwrap().cgroup, "/group-42");
    drop(feed.events);
    feed.work.await.unwrap();
}

#[tokio::test]
async fn an_event_is_named_by_the_policy_that_decided_it() {
    let feed = feed(100);
    feed.scenes.send(scene(2, "second")).unwrap();
    feed.send([1, 2, 3].map(|revision| Event { revision, ..event(0) })).await;
    feed.reached(3).await;
    let records = feed.all(v1::ObserveRequest::default()).await;
    let rules: Vec<&str> = records.iter().map(|record| record.rule.as_str()).collect();
    assert_eq!(rules, ["first", "second", "second"]);
    assert_eq!(records[2].revision, 3);
}

#[tokio::test]
async fn what_the_kernel_lost_and_what_is_no_event_are_records() {
    let feed = feed(100);
    feed.losses.send(vec![Loss { source: RED, cause: LOST_EVENT_FULL, count: 3 }]).unwrap();
    feed.reached(1).await;
    let batch = [bytes(&event(1)), Box::from([1, 2, 3]), Box::from([])].into_iter().collect();
    feed.events.send(batch).await.unwrap();
    feed.reached(3).await;
    let records = feed.all(v1::ObserveRequest::default()).await;
    let losses: Vec<(u64, &str, u64)> = records
        .iter()
        .filter(|record| record.r#type == "loss")
        .map(|record| (record.sequence, record.reason.as_str(), record.lost_before))
        .collect();
    assert_eq!(losses, [(1, "event_full", 3), (3, "undecodable", 2)]);
}

/// The receiver takes nothing while far more is stored than is held. What it gets afterwards and what it is
/// told it missed are together everything, to the last record.
#[tokio::test]
async fn a_slow_observer_is_told_exactly_how_many_it_missed() {
    const HELD: usize = 400;
    const SENT: u64 = 5_000;
    let feed = feed(HELD);
    let request = v1::ObserveRequest { follow: true, ..v1::ObserveRequest::default() };
    let mut slow = feed.forensics.observe(&request, Scope::Everything).unwrap();
    for first in (0..SENT).step_by(100) {
        feed.send((first..first + 100).map(event)).await;
    }
    feed.reached(SENT).await;
    let mut got = 0;
    let mut missed = 0;
    let mut last = 0;
    while last < SENT {
        let record =
            tokio::time::timeout(PATIENCE, slow.next()).await.expect("a record in time").expect("a record");
        if record.r#type == "loss" {
            assert_eq!(record.reason, "observer_slow");
            missed += record.lost_before;
            last += record.lost_before;
        } else {
            got += 1;
            last += 1;
            assert_eq!(record.sequence, last, "the gap is as long as the loss record says");
        }
    }
    assert_eq!(got + missed, SENT);
    assert!(missed > 0, "the observer was not slow");
    let totals = feed.forensics.totals();
    let held = u64::try_from(HELD).unwrap();
    assert_eq!((totals.stored, totals.held), (SENT, held - held / 4));
    assert_eq!(totals.evicted, SENT - totals.held);
}

#[tokio::test]
async fn samples_of_allowed_flows_push_out_no_refusal() {
    let feed = feed(40);
    feed.send([event(1)]).await;
    feed.send((0..1_000).map(|_| sample())).await;
    feed.send([event(2)]).await;
    feed.reached(1_002).await;
    let denied = v1::ObserveRequest { verdict: Some("deny".to_owned()), ..v1::ObserveRequest::default() };
    assert_eq!(numbers(&feed.all(denied).await), [1, 1_002]);
    let all = feed.all(v1::ObserveRequest::default()).await;
    assert_eq!(all.len(), 12);
    assert!(numbers(&all).is_sorted());
    let totals = feed.forensics.totals();
    assert_eq!((totals.evicted, totals.evicted_samples), (0, 990));
}

#[tokio::test]
async fn the_last_records_are_counted_after_the_filter() {
    let feed = feed(400);
    feed.send((0..50).flat_map(|n| [event(n), sample()])).await;
    feed.reached(100).await;
    let last = |count, verdict: Option<&str>| v1::ObserveRequest {
        last: Some(count),
        verdict: verdict.map(str::to_owned),
        ..v1::ObserveRequest::default()
    };
    assert_eq!(numbers(&feed.all(last(3, None)).await), [98, 99, 100]);
    assert_eq!(numbers(&feed.all(last(3, Some("deny"))).await), [95, 97, 99]);
    assert_eq!(numbers(&feed.all(last(0, None)).await), [] as [u64; 0]);
    assert_eq!(feed.all(last(u32::MAX, None)).await.len(), 100);
}

#[tokio::test]
async fn a_follower_gets_what_comes_after_it_asked() {
    let feed = feed(400);
    feed.send([event(1), event(2)]).await;
    feed.reached(2).await;
    let request = v1::ObserveRequest { follow: true, last: Some(0), ..v1::ObserveRequest::default() };
    let mut follower = feed.forensics.observe(&request, Scope::Everything).unwrap();
    feed.send([event(3)]).await;
    let record = tokio::time::timeout(PATIENCE, follower.next()).await.expect("a record in time").unwrap();
    assert_eq!(record.sequence, 3);
}

#[tokio::test]
async fn words_that_mean_nothing_are_refused() {
    let forensics = Forensics::new(String::new(), 4);
    let request = v1::ObserveRequest { verdict: Some("drop".to_owned()), ..v1::ObserveRequest::default() };
    assert_eq!(forensics.observe(&request, Scope::Everything).err().map(|errors| errors.len()), Some(1));
}
