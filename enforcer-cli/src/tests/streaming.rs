//! `observe` and `wait`.

use enforcer_proto::v1;
use tonic::Status;

use super::fake::{Agent, Answers};
use crate::exit::Exit;

fn record(sequence: u64) -> v1::Record {
    v1::Record { sequence, r#type: "flow".to_owned(), verdict: "deny".to_owned(), ..v1::Record::default() }
}

fn observing(records: Vec<Result<v1::Record, Status>>) -> Agent {
    Agent::start(Answers { observe: Some(records), ..Answers::default() })
}

fn in_force(revision: u64) -> v1::PolicyChange {
    v1::PolicyChange { revision: Some(v1::Revision { revision, in_force: true, ..v1::Revision::default() }) }
}

#[tokio::test]
async fn every_record_is_a_line_of_json() {
    let agent = observing(vec![Ok(record(1)), Ok(record(2))]);
    let ran = agent.run(&["observe", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let sequences: Vec<u64> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequences, [1, 2]);
}

#[tokio::test]
async fn yaml_records_are_documents() {
    let ran = observing(vec![Ok(record(1)), Ok(record(2))]).run(&["observe", "-o", "yaml"]).await;
    assert_eq!(ran.out.matches("---\n").count(), 2);
}

#[tokio::test]
async fn filters_are_the_agents_work() {
    let agent = observing(Vec::new());
    let args = ["observe", "--last", "5", "--tenant", "a", "--verdict", "audit", "--reason", "rule_denied"];
    agent.run(&[args.as_slice(), &["--type", "device"]].concat()).await;
    let request = v1::ObserveRequest {
        follow: false,
        last: Some(5),
        tenant: Some("a".to_owned()),
        verdict: Some("audit".to_owned()),
        reason: Some("rule_denied".to_owned()),
        r#type: Some("device".to_owned()),
        ..Default::default()
    };
    assert_eq!(agent.asked().observe, [request]);
    let args = ["--after", "41", "--workload", "web", "--ip", "10.0.0.0/8", "--port", "443", "--pid", "7"];
    let more = ["--executable", "curl", "--rule", "web-to-db", "--serial", "0A:1B"];
    agent.run(&[["observe"].as_slice(), &args, &more].concat()).await;
    agent.run(&["observe", "--device", "nvidia"]).await;
    let request = v1::ObserveRequest {
        after: Some(41),
        workload: Some("web".to_owned()),
        address: Some("10.0.0.0/8".to_owned()),
        port: Some(443),
        pid: Some(7),
        executable: Some("curl".to_owned()),
        rule: Some("web-to-db".to_owned()),
        serial: Some("0A:1B".to_owned()),
        ..Default::default()
    };
    let device = v1::ObserveRequest { device: Some("nvidia".to_owned()), ..Default::default() };
    assert_eq!(agent.asked().observe[1..], [request, device]);
}

/// Said before the agent is asked.
#[tokio::test]
async fn a_filter_that_means_nothing_is_a_usage_error() {
    let agent = observing(Vec::new());
    for args in [
        ["--ip", "10.1.2.3/8"],
        ["--pid", "0"],
        ["--executable", "bin/sh"],
        ["--serial", "xyz"],
        ["--tenant", ""],
    ] {
        let ran = agent.run(&[["observe"].as_slice(), &args].concat()).await;
        assert_eq!(ran.exit, Exit::Usage, "{args:?}: {}", ran.err);
    }
    let ran = agent.run(&["observe", "--type", "policy", "--port", "80"]).await;
    assert_eq!((ran.exit, ran.err.contains("no record of type policy has a port")), (Exit::Usage, true));
    assert_eq!(agent.asked().observe.len(), 0);
}

#[tokio::test]
async fn a_followed_stream_that_ends_is_no_success() {
    let ran = observing(vec![Ok(record(1))]).run(&["observe", "-f"]).await;
    assert_eq!(ran.exit, Exit::Unreachable);
    assert_eq!(ran.out.lines().count(), 1);
    let ran =
        observing(vec![Ok(record(1)), Err(Status::permission_denied("not yours"))]).run(&["observe"]).await;
    assert_eq!(ran.exit, Exit::NotPermitted);
}

#[tokio::test]
async fn wait_ends_with_the_revision_or_a_later_one() {
    let agent = Agent::start(Answers { watch: vec![vec![in_force(5), in_force(9)]], ..Answers::default() });
    let ran = agent.run(&["wait", "--revision", "7"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "revision 9 is in force\n"), "{}", ran.err);
}

#[tokio::test]
async fn wait_outlives_an_agent_that_ends_the_stream() {
    let watch = vec![vec![in_force(5)], vec![in_force(7)]];
    let agent = Agent::start(Answers { watch, ..Answers::default() });
    let ran = agent.run(&["wait", "--revision", "7"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(agent.asked().watches, 2);
}

#[tokio::test]
async fn wait_does_not_wait_for_ever() {
    let agent = Agent::start(Answers { watch: vec![vec![in_force(5)]], ..Answers::default() });
    let ran = agent.run(&["wait", "--revision", "7", "--timeout", "100ms"]).await;
    assert_eq!(ran.exit, Exit::Timeout);
    assert_eq!(ran.err, "error: timeout after 0.1s: revision 7 is not in force: revision 5 is in force\n");
}
