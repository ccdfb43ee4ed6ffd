//! `get handles` and `revoke`: who holds devices, and how they are taken away.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use enforcer_proto::v1;
use enforcer_proto::v1::device_service_server::{DeviceService, DeviceServiceServer};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Ran, enforcerctl, on_terminal};
use crate::exit::Exit;

type Steps<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// An agent whose kernel has no LSM, with one holder that was not granted its device.
#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Vec<v1::RevokeRequest>>>);

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not asked here"))
}

#[tonic::async_trait]
impl DeviceService for Fake {
    type RevokeStream = Steps<v1::RevokeStep>;
    type HandoverStream = Steps<v1::HandoverStep>;

    async fn handles(
        &self,
        request: Request<v1::HandlesRequest>,
    ) -> Result<Response<v1::HandlesResponse>, Status> {
        match request.into_inner().device.as_deref() {
            None | Some("nvidia:0") => Ok(Response::new(answer())),
            Some("nvidia:1") => Ok(Response::new(v1::HandlesResponse {
                account: "complete".to_owned(),
                ..v1::HandlesResponse::default()
            })),
            Some(other) => Err(Status::failed_precondition(format!("\"{other}\" is no gated device"))),
        }
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeRequest>,
    ) -> Result<Response<Self::RevokeStream>, Status> {
        let request = request.into_inner();
        let to = request.to.clone();
        self.0.lock().unwrap().push(request);
        let is_absent = to == "handles";
        let mut steps = vec![step("gate", "ok", "")];
        if to != "gate" {
            steps.push(step("handles", "absent", ""));
        }
        if to == "kill" {
            steps.extend([step("freeze", "ok", ""), step("kill", "ok", "")]);
        }
        let strength = if to == "kill" { "gone" } else { "no new opens" };
        steps.push(step("done", if is_absent { "failed" } else { "ok" }, strength));
        if to == "freeze" {
            steps.truncate(2);
        }
        Ok(Response::new(Box::pin(tokio_stream::iter(steps.into_iter().map(Ok)))))
    }

    async fn custody(&self, _: Request<v1::CustodyRequest>) -> Result<Response<v1::CustodyResponse>, Status> {
        nothing()
    }

    async fn handover(
        &self,
        _: Request<v1::HandoverRequest>,
    ) -> Result<Response<Self::HandoverStream>, Status> {
        nothing()
    }

    async fn receipts(
        &self,
        _: Request<v1::ReceiptsRequest>,
    ) -> Result<Response<v1::ReceiptsResponse>, Status> {
        nothing()
    }

    async fn posture(&self, _: Request<v1::PostureRequest>) -> Result<Response<v1::PostureResponse>, Status> {
        let setting = v1::Setting {
            name: "lockdown".to_owned(),
            source: "/sys/kernel/security/lockdown".to_owned(),
            value: "none".to_owned(),
            judgement: "weak".to_owned(),
            detail: "root may change\x1b the running kernel".to_owned(),
        };
        let settings = vec![setting];
        Ok(Response::new(v1::PostureResponse { digest: vec![0xab; 32], settings, ..Default::default() }))
    }

    async fn drill(&self, _: Request<v1::DrillRequest>) -> Result<Response<v1::DrillResponse>, Status> {
        nothing()
    }
}

fn step(step: &str, outcome: &str, strength: &str) -> v1::RevokeStep {
    v1::RevokeStep {
        step: step.to_owned(),
        outcome: outcome.to_owned(),
        detail: "because".to_owned(),
        elapsed_us: 1_500,
        strength: strength.to_owned(),
    }
}

fn answer() -> v1::HandlesResponse {
    let device = v1::DeviceName {
        class: "nvidia".to_owned(),
        number: Some(0),
        kind: "char".to_owned(),
        major: 195,
        minor: 0,
    };
    v1::HandlesResponse {
        handles: vec![v1::Handle {
            device: Some(device.clone()),
            holder: "red".to_owned(),
            process: Some(v1::Process {
                pid: 4_711,
                command: "train\x1b".to_owned(),
                ..v1::Process::default()
            }),
            via: "descriptor".to_owned(),
            descriptors: vec![3, 9],
            mappings: 1,
            access: "read+write".to_owned(),
            ..v1::Handle::default()
        }],
        hidden: vec![v1::HiddenFile { device: Some(device.clone()), pid: 7, ..v1::HiddenFile::default() }],
        findings: vec![v1::Finding {
            kind: "holder_without_grant".to_owned(),
            device: Some(device),
            tenants: vec!["red".to_owned()],
            message: "red holds nvidia:0 without a grant: process 4711".to_owned(),
            since: None,
        }],
        account: "descriptors".to_owned(),
        account_reason: "no BPF LSM".to_owned(),
        allocations_absent: "not set".to_owned(),
        time: None,
    }
}

struct Agent {
    dir: TempDir,
    asked: Fake,
    server: JoinHandle<()>,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let asked = Fake::default();
        let router = Server::builder().add_service(DeviceServiceServer::new(asked.clone()));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { dir, asked, server }
    }

    fn socket(&self) -> String {
        self.dir.path().join("agent.sock").display().to_string()
    }

    async fn run(&self, args: &[&str]) -> Ran {
        enforcerctl(&[&["--socket", &self.socket()], args].concat(), "").await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn handles_are_a_table_with_what_is_hidden_and_what_is_not_right() {
    let agent = Agent::start();
    let ran = agent.run(&["get", "handles"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    for words in ["nvidia:0", "fd 3,9, 1 mapping", "HIDDEN FILE OF", "holder_without_grant", "4711"] {
        assert!(ran.out.contains(words), "{words}: {}", ran.out);
    }
    assert!(!ran.out.contains('\x1b'), "a name cannot drive the terminal");
    assert!(ran.err.contains("no BPF LSM") && ran.err.contains("kubelet was not asked"), "{}", ran.err);
}

#[tokio::test]
async fn handles_have_stable_field_names() {
    let agent = Agent::start();
    let json = agent.run(&["get", "handles", "--device", "nvidia:0", "-o", "json"]).await.json();
    assert_eq!(json["handles"][0]["descriptors"], serde_json::json!([3, 9]));
    assert_eq!(json["handles"][0]["granted"], false);
    assert_eq!(json["hidden"][0]["pid"], 7);
    assert_eq!(json["findings"][0]["kind"], "holder_without_grant");
    assert_eq!(json["accountReason"], "no BPF LSM");
}

#[tokio::test]
async fn nobody_is_said_and_wrong_words_are_refused() {
    let agent = Agent::start();
    let ran = agent.run(&["get", "handles", "--device", "nvidia:1"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, ""));
    assert!(ran.err.contains("no process holds"), "{}", ran.err);
    assert_eq!(agent.run(&["get", "handles", "--device", "x:1"]).await.exit, Exit::Refused);
    assert_eq!(agent.run(&["get", "handles", "nvidia:0"]).await.exit, Exit::Usage);
    assert_eq!(agent.run(&["get", "tenants", "--device", "nvidia:0"]).await.exit, Exit::Usage);
    assert_eq!(agent.run(&["get", "handles", "--revision", "3"]).await.exit, Exit::Usage);
}

#[tokio::test]
async fn a_revocation_prints_its_steps_and_what_is_true_now() {
    let agent = Agent::start();
    let args =
        ["revoke", "device", "nvidia:0", "--to", "kill", "--deadline", "2s", "--reason", "test", "--yes"];
    let ran = agent.run(&args).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(ran.out.lines().count(), 6, "{}", ran.out);
    assert!(ran.out.ends_with("\ngone\n"), "{}", ran.out);
    let asked = agent.asked.0.lock().unwrap().pop().unwrap();
    assert_eq!((asked.deadline_ms, asked.reason.as_str(), asked.to.as_str()), (Some(2_000), "test", "kill"));
}

#[tokio::test]
async fn a_revocation_that_did_not_come_as_far_is_an_error() {
    let agent = Agent::start();
    let ran = agent.run(&["revoke", "tenant", "red", "--to", "handles", "-o", "json"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    let lines: Vec<serde_json::Value> =
        ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[1]["outcome"], "absent");
    assert_eq!(lines[2]["strength"], "no new opens");
    assert!(ran.err.contains("no new opens"), "{}", ran.err);
    let cut = agent.run(&["revoke", "tenant", "red", "--to", "freeze", "--yes"]).await;
    assert_eq!(cut.exit, Exit::Unreachable, "a stream without a last word says nothing: {}", cut.err);
}

#[tokio::test]
async fn what_stops_somebody_is_asked_first() {
    let agent = Agent::start();
    let refused = agent.run(&["revoke", "device", "nvidia:0", "--to", "kill"]).await;
    assert_eq!(refused.exit, Exit::Usage);
    let socket = agent.socket();
    let args = ["--socket", &socket, "revoke", "device", "nvidia:0", "--to", "kill"];
    assert_eq!(on_terminal(&args, "n\n").await.exit, Exit::Usage);
    assert!(agent.asked.0.lock().unwrap().is_empty(), "nothing was asked of the agent");
    assert_eq!(on_terminal(&args, "y\n").await.exit, Exit::Ok);
    assert_eq!(agent.run(&["revoke", "device", "nvidia:0", "--to", "gate"]).await.exit, Exit::Ok);
}

#[tokio::test]
async fn the_posture_is_a_table_with_its_digest_and_takes_no_name() {
    let agent = Agent::start();
    let ran = agent.run(&["get", "posture"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.contains("lockdown") && ran.out.contains("weak"), "{}", ran.out);
    assert!(ran.out.contains(&"ab".repeat(32)) && !ran.out.contains('\x1b'), "{}", ran.out);
    let json = agent.run(&["get", "posture", "-o", "json"]).await.json();
    assert_eq!(json["settings"][0]["judgement"], "weak");
    assert_eq!(json["digest"], "ab".repeat(32));
    assert_eq!(agent.run(&["get", "posture", "lockdown"]).await.exit, Exit::Usage);
    assert_eq!(agent.run(&["get", "posture", "--tenant", "red"]).await.exit, Exit::Usage);
}
