//! `explain`: the question that is sent, and the exit code.

use enforcer_proto::v1;
use enforcer_proto::v1::explain_request::What;

use super::fake::{Agent, Answers};
use crate::exit::Exit;

fn agent(verdict: &str, proof: &str) -> Agent {
    let response = v1::ExplainResponse {
        verdict: verdict.to_owned(),
        proof: proof.to_owned(),
        ..v1::ExplainResponse::default()
    };
    Agent::start(Answers { explain: Some(Ok(response)), ..Answers::default() })
}

const FLOW: [&str; 6] = ["explain", "flow", "web", "db", "--port", "80"];

#[tokio::test]
async fn the_verdict_alone_does_not_make_it_fail() {
    for verdict in ["allow", "deny", "audit"] {
        assert_eq!(agent(verdict, "not asked").run(&FLOW).await.exit, Exit::Ok, "{verdict}");
    }
}

#[tokio::test]
async fn another_verdict_than_the_expected_one_makes_it_fail() {
    let agent = agent("deny", "not asked");
    let expecting = |verdict| [FLOW.as_slice(), &["--expect", verdict]].concat();
    assert_eq!(agent.run(&expecting("deny")).await.exit, Exit::Ok);
    let ran = agent.run(&expecting("allow")).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert_eq!(ran.err, "error: expected allow, and the verdict is deny\n");
}

#[tokio::test]
async fn a_kernel_that_disagrees_makes_it_fail() {
    let ran = agent("deny", "disagrees: it passed").run(&[FLOW.as_slice(), &["--prove"]].concat()).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.err.contains("it passed"), "{}", ran.err);
}

#[tokio::test]
async fn the_question_is_sent_as_it_was_asked() {
    let agent = agent("allow", "agrees");
    let flow = ["explain", "flow", "web", "10.0.0.9", "--protocol", "icmp", "--icmp-type", "8", "--prove"];
    agent.run(&flow).await;
    agent.run(&["explain", "device", "web", "c 195:0"]).await;
    let flow = v1::ExplainFlow {
        source: "web".to_owned(),
        destination: "10.0.0.9".to_owned(),
        protocol: v1::Protocol::Icmp.into(),
        port: None,
        icmp_type: Some(8),
    };
    let device = v1::ExplainDevice { subject: "web".to_owned(), device: "c 195:0".to_owned() };
    assert_eq!(
        agent.asked().explain,
        [
            v1::ExplainRequest { what: Some(What::Flow(flow)), prove: true },
            v1::ExplainRequest { what: Some(What::Device(device)), prove: false },
        ]
    );
}

#[tokio::test]
async fn a_question_without_its_service_is_not_sent() {
    let agent = agent("allow", "agrees");
    for args in [
        ["explain", "flow", "a", "b"].as_slice(),
        &["explain", "flow", "a", "b", "--icmp-type", "8"],
        &["explain", "flow", "a", "b", "--protocol", "icmp", "--port", "8"],
    ] {
        assert_eq!(agent.run(args).await.exit, Exit::Usage, "{args:?}");
    }
    assert!(agent.asked().explain.is_empty());
}
