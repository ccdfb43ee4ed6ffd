//! The endpoint and the collector over a policy room that is played.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use enforcer_common::event::{HOOK_CONNECT, HOOK_DEVICE};
use enforcer_common::maps::{CounterKey, CounterValue};
use enforcer_core::enforce::{CapacityReport, HookReport, HookState, Loss};
use enforcer_core::policy::model::Policy;
use enforcer_proto::v1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::door::policy::{Command, InForce, PolicyDoor, Report, Revision};
use crate::door::records::Scope;
use crate::door::stop::Stopper;
use crate::door::trace::{self, TraceDoor};

/// Tenant numbers of the played policy.
const RED: u32 = 16;
const BLUE: u32 = 17;

fn in_force() -> InForce {
    let mut policy = Policy::default();
    policy.index.tenant_by_id.insert(RED, "red".into());
    policy.index.tenant_by_id.insert(BLUE, "blue".into());
    let revision = Revision {
        number: 7,
        time: 0,
        author: String::new(),
        source: String::new(),
        digest: None,
        policy: policy.into(),
    };
    InForce { current: revision.into(), facts: Arc::default(), history: Vec::new(), ready: true }
}

fn counters(packets: u64) -> Vec<(CounterKey, CounterValue)> {
    let cell = |source, destination, reason, hook| {
        let key = CounterKey { source, destination, reason, hook, audited: 0 };
        (key, CounterValue { packets, bytes: 10 * packets })
    };
    let denied = enforcer_common::reason::MTLS_REQUIRED;
    vec![
        cell(RED, BLUE, denied, HOOK_CONNECT),
        cell(BLUE, RED, 0, HOOK_CONNECT),
        cell(BLUE, BLUE, 0, HOOK_CONNECT),
        cell(RED, 0, denied, HOOK_DEVICE),
    ]
}

fn report() -> Report {
    Report {
        revision: 7,
        digest: Default::default(),
        drift: vec!["a".to_owned()],
        hooks: vec![HookReport {
            name: "cgroup/connect4",
            state: HookState::Absent("why \"not\"".to_owned()),
            program_id: 0,
            program_tag: String::new(),
            attached_to: Vec::new(),
        }],
        capacities: vec![CapacityReport { table: "TENANTS", used: 2, capacity: 9, memory_bytes: 4_096 }],
        losses: Vec::new(),
        warnings: Vec::new(),
    }
}

/// A policy room whose counters are read off a number, and how often it was asked for a report.
pub(crate) fn played(packets: Arc<AtomicU64>) -> (PolicyDoor, Arc<AtomicU64>) {
    let (commands, mut inbox) = mpsc::channel(8);
    let (sender, receiver) = watch::channel(Arc::new(in_force()));
    let reports = Arc::new(AtomicU64::new(0));
    let asked = Arc::clone(&reports);
    tokio::spawn(async move {
        let _stays = sender;
        while let Some(command) = inbox.recv().await {
            match command {
                Command::Counters(reply) => drop(reply.send(Ok(counters(packets.load(Ordering::Relaxed))))),
                Command::Losses(reply) => {
                    drop(reply.send(Ok(vec![Loss { source: BLUE, cause: 0, count: 3 }])))
                }
                Command::Report(reply) => {
                    asked.fetch_add(1, Ordering::Relaxed);
                    drop(reply.send(Ok(report())));
                }
                other => panic!("asked for {other:?}"),
            }
        }
    });
    (PolicyDoor::new(commands, receiver), reports)
}

pub(crate) fn collector(policy: PolicyDoor) -> Arc<Collector> {
    let node = NodeWords {
        name: "n1".to_owned(),
        version: "0.1.0".to_owned(),
        kernel: "6.1".to_owned(),
        device_gate_mode: "enforce".to_owned(),
        started: SystemTime::now(),
    };
    let sources = Sources {
        policy,
        identity: None,
        tunnel: None,
        records: Arc::new(|| RecordTotals { stored: 5, held: 4, evicted: 1, evicted_samples: 0 }),
        traces: Some(traces()),
        node,
    };
    Arc::new(Collector::new(sources, 100, Duration::from_secs(10)))
}

fn traces() -> TraceDoor {
    let (commands, mut inbox) = mpsc::channel(8);
    let (_, durable) = watch::channel(0);
    tokio::spawn(async move {
        while let Some(command) = inbox.recv().await {
            let trace::Command::Status(Scope::Everything, reply) = command else { panic!("{command:?}") };
            let tenant =
                |tenant: &str| v1::TenantTrace { tenant: tenant.to_owned(), files: 2, ..Default::default() };
            let tenants = vec![tenant("red"), tenant("blue"), tenant("_node")];
            let status = v1::TraceStatusResponse { durable_sequence: 5, tenants, ..Default::default() };
            drop(reply.send(Ok(status)));
        }
    });
    TraceDoor::new(commands, durable, Arc::new(crate::door::trace::Told::default))
}

async fn get(address: SocketAddr, request: &str) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{request}\r\nHost: n1\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.to_ascii_lowercase(), body.to_owned())
}

#[tokio::test]
async fn a_scraper_gets_the_format_it_asks_for_and_nothing_elsewhere() {
    let packets = Arc::new(AtomicU64::new(4));
    let (policy, reports) = played(Arc::clone(&packets));
    let door = MetricsDoor::open(([127, 0, 0, 1], 0).into(), collector(policy), None).await.unwrap();
    let address = door.address().unwrap();
    let stopper = Stopper::default();
    let serving = tokio::spawn(door.run(stopper.listener()));

    let (head, body) =
        get(address, "GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0").await;
    assert!(
        head.contains("200 ok") && head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    assert!(body.ends_with("# EOF\n"), "{body}");
    let denied = "enforcer_verdicts_total{source=\"red\",destination=\"blue\",reason=\"mtls_required\",hook=\"connect\",\
                  audited=\"false\"} 4\n";
    assert!(body.contains(denied), "{body}");
    assert!(body.contains("enforcer_hook_state{hook=\"cgroup/connect4\",state=\"absent\"} 1\n"), "{body}");
    assert!(body.contains("enforcer_losses_total{source=\"blue\",cause=\"event_full\"} 3\n"), "{body}");
    assert!(body.contains("enforcer_policy_revision 7\n") && body.contains("enforcer_policy_drift 1\n"));

    packets.store(9, Ordering::Relaxed);
    let (head, body) = get(address, "GET /metrics HTTP/1.1").await;
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(body.contains(denied) && !body.contains("# EOF"), "asked again too soon, the last answer stands");
    assert_eq!(reports.load(Ordering::Relaxed), 1);

    assert!(get(address, "GET / HTTP/1.1").await.0.contains("404"));
    assert!(get(address, "POST /metrics HTTP/1.1\r\nContent-Length: 0").await.0.contains("allow: get, head"));
    let (head, body) = get(address, "HEAD /metrics HTTP/1.1").await;
    assert!(head.contains("200 ok") && body.is_empty());
    stopper.stop();
    serving.await.unwrap();
}

#[tokio::test]
async fn a_tenants_reader_sees_nothing_of_the_node_and_of_others() {
    let (policy, _) = played(Arc::new(AtomicU64::new(4)));
    let collector = collector(policy);
    collector.add(|| {
        let family = Family::gauge("enforcer_x", "X.").with(&[("tenant", "red")], 1);
        vec![family.with(&[("tenant", "blue")], 2).with(&[("tenant", "")], 3)]
    });
    let all =
        super::text::write(&collector.families(&Scope::Everything).await, super::text::Format::OpenMetrics);
    assert!(all.contains("blue") && all.contains("enforcer_x{tenant=\"\"} 3"));
    let families = collector.families(&Scope::Tenant("red".into())).await;
    let text = super::text::write(&families, super::text::Format::OpenMetrics);
    for secret in
        ["blue", "_node", "TENANTS", "enforcer_policy", "process_", "enforcer_records", "n1", "event_full"]
    {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let of = |name: &str| families.iter().find(|family| family.name == name).unwrap();
    assert_eq!(of("enforcer_x").samples.len(), 1);
    assert_eq!(of("enforcer_trace_files").samples.len(), 1);
    let ends: Vec<_> = of("enforcer_verdicts")
        .samples
        .iter()
        .map(|sample| (sample.label("source").unwrap(), sample.label("destination").unwrap()))
        .collect();
    assert_eq!(ends, [("another tenant", "red"), ("red", ""), ("red", "another tenant")]);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_does_not_answer_leaves_the_last_answer_and_says_so() {
    let (commands, mut inbox) = mpsc::channel(8);
    let (_sender, receiver) = watch::channel(Arc::new(in_force()));
    let collector = collector(PolicyDoor::new(commands, receiver));
    let waiting = tokio::spawn(async move {
        let mut unanswered = Vec::new();
        while let Some(command) = inbox.recv().await {
            unanswered.push(command);
        }
    });
    let families = collector.families(&Scope::Everything).await;
    let stale = families.iter().find(|family| family.name == "enforcer_metrics_stale").unwrap();
    let parts: Vec<_> =
        stale.samples.iter().map(|sample| (sample.label("part").unwrap(), sample.value)).collect();
    assert_eq!(
        parts,
        [
            ("counters", Value::Whole(1)),
            ("losses", Value::Whole(1)),
            ("report", Value::Whole(1)),
            ("traces", Value::Whole(0)),
        ]
    );
    waiting.abort();
}
