//! `detect`: what is unusual, and what is done about it.

use enforcer_proto::v1;
use enforcer_proto::v1::detection_service_server::{DetectionService, DetectionServiceServer};
use prost_types::Timestamp;
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Ran, enforcerctl};
use crate::exit::Exit;

/// An agent with one rule, one baseline of red's and one response to it.
struct Fake;

#[tonic::async_trait]
impl DetectionService for Fake {
    async fn list(
        &self,
        request: Request<v1::ListDetectionRequest>,
    ) -> Result<Response<v1::ListDetectionResponse>, Status> {
        let is_reds = request.into_inner().tenant.is_none_or(|tenant| tenant == "red");
        let own = v1::DetectionRule { tenants: vec!["red".to_owned()], threshold: 5, ..rule() };
        Ok(Response::new(v1::ListDetectionResponse {
            rules: vec![v1::DetectionRule { overrides: vec![own], ..rule() }],
            baselines: if is_reds { vec![baseline(false)] } else { Vec::new() },
            responses: if is_reds { vec![response()] } else { Vec::new() },
            warnings: vec!["9 records were lost before detection saw them".to_owned()],
        }))
    }

    async fn freeze(
        &self,
        request: Request<v1::FreezeRequest>,
    ) -> Result<Response<v1::FreezeResponse>, Status> {
        let v1::FreezeRequest { tenant, rule, frozen } = request.into_inner();
        if tenant != "red" || !matches!(rule.as_str(), "" | "volume") {
            return Err(Status::not_found("nothing is being learned of tenant \"blue\" there"));
        }
        Ok(Response::new(v1::FreezeResponse { baselines: vec![baseline(frozen)] }))
    }

    async fn end_response(
        &self,
        request: Request<v1::EndResponseRequest>,
    ) -> Result<Response<v1::EndResponseResponse>, Status> {
        if request.into_inner().id != "6a2f-3" {
            return Err(Status::not_found("there is no response now"));
        }
        Ok(Response::new(v1::EndResponseResponse { response: Some(response()) }))
    }
}

fn rule() -> v1::DetectionRule {
    v1::DetectionRule {
        name: "volume".to_owned(),
        pattern: "volume".to_owned(),
        window_seconds: 3_600,
        threshold: 1_000,
        factor: 10.0,
        response: "deny-new".to_owned(),
        dry_run: true,
        expires_after_seconds: 300,
        raised: 2,
        level: "high".to_owned(),
        cooldown_seconds: 600,
        per: "tenant".to_owned(),
        ..v1::DetectionRule::default()
    }
}

fn baseline(frozen: bool) -> v1::Baseline {
    v1::Baseline {
        tenant: "red".to_owned(),
        rule: "volume".to_owned(),
        frozen,
        samples: 30,
        samples_min: 24,
        median: 1_000.0,
        deviation: 20.0,
        latest: 1_700.0,
        limit: 1_500.0,
        explanation: "1700 bytes in the last 1h".to_owned(),
    }
}

fn response() -> v1::Response {
    v1::Response {
        id: "6a2f-3".to_owned(),
        tenant: "red".to_owned(),
        kind: "deny-new".to_owned(),
        rule: "volume".to_owned(),
        expires: Some(Timestamp { seconds: 1_793_700_000, nanos: 0 }),
        explanation: "red: 1700 bytes within 1h".to_owned(),
        ..v1::Response::default()
    }
}

struct Agent {
    dir: TempDir,
    server: JoinHandle<()>,
}

impl Agent {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let router = Server::builder().add_service(DetectionServiceServer::new(Fake));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { dir, server }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let socket = self.dir.path().join("agent.sock").display().to_string();
        enforcerctl(&[&["--socket", &socket, "detect"], args].concat(), "").await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn rules_are_listed_with_what_differs_for_tenants() {
    let ran = Agent::start().run(&["rules"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(
        ran.out,
        "RULE    PATTERN  TENANTS  WINDOW  LIMIT              LEVEL  RESPONSE            RAISED\n\
         volume  volume   -        1h      1000, learned x10  high   deny-new (dry run)  2\n\
         volume  volume   red      1h      5, learned x10     high   deny-new (dry run)  2\n"
    );
    assert!(ran.err.contains("9 records were lost"), "{}", ran.err);
    let json = Agent::start().run(&["rules", "-o", "json"]).await.json();
    assert_eq!(json["rules"][0]["response"]["dryRun"], true);
    assert_eq!(json["rules"][0]["overrides"][0]["threshold"], 5);
    assert_eq!(json["warnings"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn baselines_and_responses_say_why() {
    let agent = Agent::start();
    let ran = agent.run(&["baselines"]).await;
    assert!(
        ran.out.contains("red     volume  above  30       1000    1700    1500   1700 bytes"),
        "{}",
        ran.out
    );
    let json = agent.run(&["baselines", "-o", "json"]).await.json();
    assert_eq!(
        (&json["baselines"][0]["limit"], &json["baselines"][0]["samplesMin"]),
        (&1_500.0.into(), &24.into())
    );
    let ran = agent.run(&["responses"]).await;
    assert!(
        ran.out.contains("6a2f-3  deny-new  red     -         volume  2026-11-03T10:00:00Z  red:"),
        "{}",
        ran.out
    );
    let json = agent.run(&["responses", "-o", "json"]).await.json();
    assert_eq!(json["responses"][0]["expires"], "2026-11-03T10:00:00Z");
    let ran = agent.run(&["responses", "--tenant", "blue"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, ""));
    assert!(ran.err.contains("no response is in force"), "{}", ran.err);
}

#[tokio::test]
async fn a_baseline_is_frozen_and_a_response_ended_by_name() {
    let agent = Agent::start();
    let ran = agent.run(&["freeze", "red", "--rule", "volume"]).await;
    assert!(ran.out.contains("frozen"), "{}", ran.out);
    let json = agent.run(&["unfreeze", "red", "-o", "json"]).await.json();
    assert_eq!(json["baselines"][0]["frozen"], false);
    let ran = agent.run(&["freeze", "blue"]).await;
    assert_ne!(ran.exit, Exit::Ok);
    assert!(ran.err.contains("nothing is being learned"), "{}", ran.err);
    let json = agent.run(&["end", "6a2f-3", "-o", "json"]).await.json();
    assert_eq!(json["responses"][0]["id"], "6a2f-3");
    assert_ne!(agent.run(&["end", "other"]).await.exit, Exit::Ok);
}

#[tokio::test]
async fn rule_files_are_checked_without_an_agent() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rules.yaml");
    let path = file.display().to_string();
    let text = |threshold: &str| {
        format!(
            "apiVersion: enforcer.dev/v1\nkind: DetectionRule\nmetadata: {{name: mine}}\nspec:\n  pattern: volume\n  \
             threshold: {threshold}\n"
        )
    };
    std::fs::write(&file, text("5")).unwrap();
    let ran = enforcerctl(&["detect", "validate", &path, "-o", "json"], "").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.json()["rules"].as_array().is_some_and(|rules| rules.contains(&"mine".into())));
    let ran = enforcerctl(&["detect", "validate", "-"], &text("many")).await;
    assert_ne!(ran.exit, Exit::Ok);
    assert!(
        ran.out.starts_with("stdin:6: rules[mine].spec.threshold: 'many' is not a whole number"),
        "{}",
        ran.out
    );
}
