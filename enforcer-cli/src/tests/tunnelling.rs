//! `tunnel`: what is carried over mutual TLS.

use enforcer_proto::v1;
use enforcer_proto::v1::tunnel_service_server::{TunnelService, TunnelServiceServer};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Ran, enforcerctl};
use crate::exit::Exit;

/// An agent that carries one flow of red's to blue, and is asked for nobody else's.
struct Fake;

#[tonic::async_trait]
impl TunnelService for Fake {
    async fn list(
        &self,
        request: Request<v1::ListTunnelsRequest>,
    ) -> Result<Response<v1::ListTunnelsResponse>, Status> {
        let is_reds = request.into_inner().tenant.is_none_or(|tenant| tenant == "red");
        Ok(Response::new(if is_reds { listed() } else { v1::ListTunnelsResponse::default() }))
    }

    async fn metrics(
        &self,
        _: Request<v1::TunnelMetricsRequest>,
    ) -> Result<Response<v1::TunnelMetricsResponse>, Status> {
        Err(Status::failed_precondition("there is no tunnel: `tunnel.enabled` is false"))
    }
}

fn listed() -> v1::ListTunnelsResponse {
    let end = |identity: &str, workload: &str, address: &str, port| v1::Endpoint {
        identity: identity.to_owned(),
        workload: workload.to_owned(),
        address: address.to_owned(),
        port,
        ..Default::default()
    };
    let facts = v1::TunnelFacts {
        event: "opened".to_owned(),
        direction: "outbound".to_owned(),
        hop: "native".to_owned(),
        source_id: "spiffe://red.x/web".to_owned(),
        destination_id: "spiffe://blue.x/db".to_owned(),
        source_serial: "0a".to_owned(),
        bytes_back: 7,
        ..v1::TunnelFacts::default()
    };
    v1::ListTunnelsResponse {
        tunnels: vec![v1::Tunnel {
            id: 3,
            source: Some(end("red", "web", "10.0.0.1", 40_000)),
            destination: Some(end("blue", "", "10.0.0.2", 5432)),
            rule: "web-to-db".to_owned(),
            facts: Some(facts),
            opened: None,
            until: Some(prost_types::Timestamp { seconds: 1_793_700_000, nanos: 0 }),
        }],
        budgets: vec![v1::TunnelBudget {
            tenant: "red".to_owned(),
            connections: 1,
            connections_max: 50,
            buffered_bytes_max: 1000,
            refused: [("buffers".to_owned(), 2), ("connections".to_owned(), 0)].into(),
            ..v1::TunnelBudget::default()
        }],
        ends: vec![v1::TunnelEnd {
            workload: "old".to_owned(),
            tenant: "red".to_owned(),
            ready: false,
            reason: "it has no certificate yet".to_owned(),
            serial: String::new(),
        }],
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
        let router = Server::builder().add_service(TunnelServiceServer::new(Fake));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { dir, server }
    }

    async fn run(&self, args: &[&str]) -> Ran {
        let socket = self.dir.path().join("agent.sock").display().to_string();
        enforcerctl(&[&["--socket", &socket, "tunnel"], args].concat(), "").await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[tokio::test]
async fn flows_and_budgets_are_listed_and_an_end_that_does_not_stand_is_a_warning() {
    let ran = Agent::start().run(&["list", "--tenant", "red"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(
        ran.out,
        "FROM                    TO                  RULE       STATE   WAY       HOP     FROM ID             TO ID               UNTIL\n\
         red/web 10.0.0.1:40000  blue 10.0.0.2:5432  web-to-db  opened  outbound  native  spiffe://red.x/web  spiffe://blue.x/db  2026-11-03T10:00:00Z\n\
         \n\
         TENANT  FLOWS  OF  IDLE  BUFFERED  OF    REFUSED\n\
         red     1      50  0     0         1000  buffers 2\n"
    );
    assert!(ran.err.contains("workload old has no tunnel: it has no certificate yet"), "{}", ran.err);
}

#[tokio::test]
async fn programs_find_everything_under_stable_names() {
    let ran = Agent::start().run(&["list", "-o", "json"]).await;
    let json = ran.json();
    assert_eq!(json["tunnels"][0]["facts"]["source"]["serial"], "0a");
    assert_eq!(json["tunnels"][0]["facts"]["bytesBack"], 7);
    assert_eq!(json["tunnels"][0]["until"], "2026-11-03T10:00:00Z");
    assert_eq!(json["budgets"][0]["connectionsMax"], 50);
    assert_eq!(json["ends"][0]["ready"], false);
    assert!(ran.err.is_empty(), "{}", ran.err);
}

#[tokio::test]
async fn nothing_is_no_error_and_no_tunnel_is_one() {
    let agent = Agent::start();
    let ran = agent.run(&["list", "--tenant", "blue"]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, ""));
    assert!(ran.err.contains("no flow is carried"), "{}", ran.err);
    let ran = agent.run(&["metrics"]).await;
    assert_ne!(ran.exit, Exit::Ok);
    assert!(ran.err.contains("there is no tunnel"), "{}", ran.err);
}
