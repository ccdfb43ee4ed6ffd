//! `get custody`, `get receipts`, `handover` and `receipt verify`: devices between two tenants.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use enforcer_core::device::custody::receipt::{Evidence, Receipt, ReceiptDevice, Samples, VERSION};
use enforcer_proto::v1;
use enforcer_proto::v1::device_service_server::{DeviceService, DeviceServiceServer};
use enforcer_trace::hex;
use enforcer_trace::keys::{Keys as _, Memory};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio_stream::Stream;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Ran, enforcerctl};
use crate::exit::Exit;

type Steps<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn nothing<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("not asked here"))
}

/// An agent with one device in use, two receipts of it, and a scrubber that fails.
struct Fake {
    keys: Memory,
    asked: Arc<Mutex<Vec<v1::HandoverRequest>>>,
}

#[tonic::async_trait]
impl DeviceService for Fake {
    type RevokeStream = Steps<v1::RevokeStep>;
    type HandoverStream = Steps<v1::HandoverStep>;

    async fn custody(&self, _: Request<v1::CustodyRequest>) -> Result<Response<v1::CustodyResponse>, Status> {
        let device = v1::DeviceName {
            class: "nvidia".to_owned(),
            number: Some(0),
            kind: "char".to_owned(),
            major: 195,
            minor: 0,
        };
        let device = v1::DeviceCustody {
            device: Some(device),
            state: "in_use".to_owned(),
            tenants: vec!["blue".to_owned()],
            reason: "handed to its tenants".to_owned(),
            receipt: "ab".repeat(32),
            scrubber: "nvidia".to_owned(),
            history: ["in_use", "sanitizing", "available", "in_use"].map(str::to_owned).to_vec(),
            ..v1::DeviceCustody::default()
        };
        let unscrubbed = vec!["kfd".to_owned()];
        Ok(Response::new(v1::CustodyResponse { devices: vec![device], unscrubbed }))
    }

    async fn handover(
        &self,
        request: Request<v1::HandoverRequest>,
    ) -> Result<Response<Self::HandoverStream>, Status> {
        let request = request.into_inner();
        let end = if request.verb == "scrub" { "failed" } else { "available" };
        self.asked.lock().unwrap().push(request);
        let step = |state: &str| v1::HandoverStep {
            state: state.to_owned(),
            detail: "because".to_owned(),
            ..v1::HandoverStep::default()
        };
        let steps = ["quarantined", end].map(|state| Ok(step(state)));
        Ok(Response::new(Box::pin(tokio_stream::iter(steps))))
    }

    async fn receipts(
        &self,
        _: Request<v1::ReceiptsRequest>,
    ) -> Result<Response<v1::ReceiptsResponse>, Status> {
        let first = receipt(&self.keys, "", 1);
        let second = receipt(&self.keys, &first.hash(), 2);
        let signed = |receipt: Receipt| v1::SignedReceipt {
            receipt: receipt.to_bytes(),
            signature: self.keys.sign(&receipt.message()).unwrap().to_vec(),
            key: String::new(),
        };
        Ok(Response::new(v1::ReceiptsResponse { receipts: vec![signed(second), signed(first)] }))
    }

    async fn handles(&self, _: Request<v1::HandlesRequest>) -> Result<Response<v1::HandlesResponse>, Status> {
        nothing()
    }

    async fn revoke(&self, _: Request<v1::RevokeRequest>) -> Result<Response<Self::RevokeStream>, Status> {
        nothing()
    }

    async fn posture(&self, _: Request<v1::PostureRequest>) -> Result<Response<v1::PostureResponse>, Status> {
        nothing()
    }

    async fn drill(&self, _: Request<v1::DrillRequest>) -> Result<Response<v1::DrillResponse>, Status> {
        nothing()
    }
}

fn receipt(keys: &Memory, previous: &str, ended_ns: u64) -> Receipt {
    Receipt {
        version: VERSION,
        device: ReceiptDevice {
            class: "nvidia".to_owned(),
            kind: "char".to_owned(),
            major: 195,
            ..ReceiptDevice::default()
        },
        node: "n1".to_owned(),
        previous_tenants: BTreeSet::from(["red".to_owned()]),
        next_tenants: BTreeSet::from(["blue".to_owned()]),
        method: "nvidia".to_owned(),
        detail: String::new(),
        bytes_covered: 10,
        bytes_total: 10,
        samples: Samples { count: 3, seed: "ab".to_owned(), mismatches: 0 },
        settings: String::new(),
        evidence: Evidence::Sampled,
        not_covered: vec!["swap".to_owned()],
        started_ns: 0,
        ended_ns,
        agent: String::new(),
        nonce: "cd".to_owned(),
        previous: previous.to_owned(),
        signer: hex::encode(&keys.public()),
    }
}

/// An agent, and where it listens.
struct Agent {
    dir: TempDir,
    asked: Arc<Mutex<Vec<v1::HandoverRequest>>>,
}

impl Agent {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let asked = Arc::default();
        let fake = Fake { keys: Memory::new(), asked: Arc::clone(&asked) };
        let server = Server::builder().add_service(DeviceServiceServer::new(fake));
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { dir, asked }
    }

    async fn run(&self, words: &[&str]) -> Ran {
        let socket = self.dir.path().join("agent.sock").display().to_string();
        enforcerctl(&[words, &["--socket", &socket]].concat(), "").await
    }
}

#[tokio::test]
async fn custody_is_shown_with_what_is_not_scrubbed_at_all() {
    let agent = Agent::start();
    let ran = agent.run(&["get", "custody"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.out.contains("nvidia:0  in_use  blue"), "{}", ran.out);
    assert!(ran.err.contains("kfd"), "{}", ran.err);
    let ran = agent.run(&["get", "custody", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(json["devices"][0]["history"][1], "sanitizing");
    for wrong in [&["get", "custody", "nvidia"][..], &["get", "devices", "--last", "1"]] {
        assert_eq!(agent.run(wrong).await.exit, Exit::Usage);
    }
}

#[tokio::test]
async fn a_word_is_said_and_what_fails_is_told_by_the_exit_code() {
    let agent = Agent::start();
    assert_eq!(agent.run(&["handover", "drain", "nvidia:0"]).await.exit, Exit::Ok);
    let ran = agent.run(&["handover", "scrub", "nvidia:0", "--reason", "again"]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.out.contains("failed") && ran.err.contains("stays closed"), "{} {}", ran.out, ran.err);
    assert_eq!(agent.run(&["handover", "release", "nvidia:0"]).await.exit, Exit::Usage);
    let asked = agent.asked.lock().unwrap().clone();
    let words: Vec<_> = asked.iter().map(|asked| (asked.verb.as_str(), asked.reason.as_str())).collect();
    assert_eq!(words, [("drain", ""), ("scrub", "again")]);
}

#[tokio::test]
async fn receipts_verify_without_an_agent_and_every_change_is_found() {
    let agent = Agent::start();
    let table = agent.run(&["get", "receipts"]).await.out;
    assert!(table.contains("sampled") && table.contains("10/10"), "{table}");
    let printed = agent.run(&["get", "receipts", "-o", "json"]).await.out;
    let file = agent.dir.path().join("receipts.json");
    let place = file.display().to_string();
    let verify = async |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        enforcerctl(&[&["receipt", "verify", &place][..], more].concat(), "").await
    };
    let ran = verify(&printed, &[]).await;
    assert_eq!(ran.exit, Exit::Ok, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("intact: 2 receipts") && ran.out.contains("not covered: swap"), "{}", ran.out);
    let list: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let signer = list["receipts"][0]["receipt"]["signer"].as_str().unwrap().to_owned();
    assert_eq!(verify(&printed, &["--signer", &signer]).await.exit, Exit::Ok);
    let other = hex::encode(&Memory::new().public());
    assert_eq!(verify(&printed, &["--signer", &other]).await.exit, Exit::Tampered);
    for (from, to) in [
        ("\"red\"", "\"rot\""),
        ("\"sampled\"", "\"full\""),
        ("\"bytesCovered\": 10", "\"bytesCovered\": 11"),
    ] {
        assert!(printed.contains(from), "{from}");
        assert_eq!(verify(&printed.replacen(from, to, 1), &[]).await.exit, Exit::Tampered, "{from}");
    }
    let one = list["receipts"][0].to_string();
    assert_eq!(verify(&one, &[]).await.exit, Exit::Ok);
    let twice = format!("{{\"receipts\":[{one},{one}]}}");
    assert_eq!(verify(&twice, &[]).await.exit, Exit::Tampered, "a chain that does not hang together");
    for nothing in ["{}", "{\"receipts\":[]}", &one.replacen('{', "{\"more\":1,", 1)] {
        assert_eq!(verify(nothing, &[]).await.exit, Exit::Refused, "{nothing}");
    }
}
