//! What happens when the agent is not there, not willing or not ready.

use std::fs;

use enforcer_proto::v1;
use tonic::Status;

use super::enforcerctl;
use super::fake::{Agent, Answers};
use crate::exit::Exit;

#[tokio::test]
async fn no_agent_is_said_with_where_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock").display().to_string();
    let ran = enforcerctl(&["--socket", &socket, "status"], "").await;
    assert_eq!(ran.exit, Exit::Unreachable);
    assert!(ran.err.starts_with(&format!("error: cannot reach the agent at {socket}: ")), "{}", ran.err);
    assert!(ran.err.contains("is enforcer-agent running?"), "{}", ran.err);
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_no_agent() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("agent.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let ran = enforcerctl(&["--socket", &socket.display().to_string(), "status"], "").await;
    assert_eq!(ran.exit, Exit::Unreachable, "{}", ran.err);
    assert!(fs::exists(&socket).unwrap());
}

#[tokio::test]
async fn an_agent_that_does_not_listen_to_us_is_not_permitted() {
    let counters = Some(Err(Status::permission_denied("caller is not allowed")));
    let agent = Agent::start(Answers { counters, ..Answers::default() });
    let ran = agent.run(&["counters"]).await;
    assert_eq!(ran.exit, Exit::NotPermitted);
    assert!(ran.err.contains("caller is not allowed"), "{}", ran.err);
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_a_timeout() {
    let agent = Agent::start(Answers { hangs: true, ..Answers::default() });
    let ran = agent.run(&["counters", "--request-timeout", "100ms"]).await;
    assert_eq!(ran.exit, Exit::Timeout, "{}", ran.err);
}

#[tokio::test]
async fn an_agent_that_fails_is_told_apart_from_a_refusal() {
    let agent = Agent::start(Answers::default());
    let ran = agent.run(&["counters"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.err.contains("failed (internal): was not told what to say"), "{}", ran.err);
}

#[tokio::test]
async fn ready_is_when_the_kernel_holds_the_policy_and_no_certificate_is_late() {
    let status = |in_sync, identity_ready| v1::StatusResponse {
        in_sync,
        identity_ready,
        ..v1::StatusResponse::default()
    };
    let answers = vec![status(false, None), status(true, Some(false)), status(true, Some(true))];
    let agent = Agent::start(Answers { status: answers, ..Answers::default() });
    let ran = agent.run(&["status", "--wait-ready"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(agent.asked().statuses, 3);
}

#[tokio::test]
async fn what_is_never_ready_is_a_timeout() {
    let agent = Agent::start(Answers { status: vec![v1::StatusResponse::default()], ..Answers::default() });
    let ran = agent.run(&["status", "--wait-ready", "--timeout", "50ms"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Timeout, ""));
    let ran =
        enforcerctl(&["--socket", "/nonexistent", "status", "--wait-ready", "--timeout", "0s"], "").await;
    assert_eq!(ran.exit, Exit::Timeout);
    assert!(ran.err.contains("is enforcer-agent running?"), "{}", ran.err);
}

#[tokio::test]
async fn version_and_completion_need_no_agent() {
    let ran = enforcerctl(&["--socket", "/nonexistent", "version", "-o", "json"], "").await;
    assert_eq!(ran.json()["version"], env!("CARGO_PKG_VERSION"));
    for shell in ["bash", "zsh", "fish"] {
        let ran = enforcerctl(&["completion", shell], "").await;
        assert_eq!(ran.exit, Exit::Ok);
        assert!(ran.out.contains("rollback"), "{shell}");
    }
}
