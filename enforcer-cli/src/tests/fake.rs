//! An agent that repeats what it was told to say, and remembers what it was asked.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use enforcer_proto::v1;
use enforcer_proto::v1::node_service_server::{NodeService, NodeServiceServer};
use enforcer_proto::v1::policy_service_server::{PolicyService, PolicyServiceServer};
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::Router;
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use super::{Ran, enforcerctl};

type Said<T> = Option<Result<T, Status>>;
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What it says to each request; a request without an answer fails.
#[derive(Clone, Default)]
pub(super) struct Answers {
    pub(super) apply: Said<v1::ApplyResponse>,
    pub(super) validate: Said<v1::ValidateResponse>,
    pub(super) get: Said<v1::GetResponse>,
    pub(super) list_revisions: Said<v1::ListRevisionsResponse>,
    pub(super) rollback: Said<v1::ApplyResponse>,
    pub(super) explain: Said<v1::ExplainResponse>,
    /// What each stream says in turn; the last one does not end.
    pub(super) watch: Vec<Vec<v1::PolicyChange>>,
    pub(super) status: Vec<v1::StatusResponse>,
    pub(super) counters: Said<v1::CountersResponse>,
    pub(super) devices: Said<v1::DevicesResponse>,
    pub(super) observe: Option<Vec<Result<v1::Record, Status>>>,
    /// Never answers `counters`.
    pub(super) hangs: bool,
}

/// What it was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) apply: Vec<v1::ApplyRequest>,
    pub(super) validate: Vec<v1::ApplyRequest>,
    pub(super) rollback: Vec<u64>,
    pub(super) explain: Vec<v1::ExplainRequest>,
    pub(super) observe: Vec<v1::ObserveRequest>,
    pub(super) watches: usize,
    pub(super) statuses: usize,
}

/// The agent; it stops when it is dropped.
pub(super) struct Agent {
    dir: TempDir,
    asked: Arc<Mutex<Asked>>,
    server: JoinHandle<()>,
}

impl Agent {
    /// Listens on a socket of its own.
    pub(super) fn start(answers: Answers) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let asked = Arc::new(Mutex::new(Asked::default()));
        let fake = Fake { answers: Arc::new(answers), asked: Arc::clone(&asked) };
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let router = fake.router(Server::builder());
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { dir, asked, server }
    }

    /// The same on a port of the loopback interface, over TLS. Returns the port.
    pub(super) async fn start_tls(answers: Answers, tls: ServerTlsConfig) -> (Self, u16) {
        let asked = Arc::new(Mutex::new(Asked::default()));
        let fake = Fake { answers: Arc::new(answers), asked: Arc::clone(&asked) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let _chosen_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let router = fake.router(Server::builder().tls_config(tls).unwrap());
        let server = tokio::spawn(async move {
            router.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        (Self { dir: tempfile::tempdir().unwrap(), asked, server }, port)
    }

    pub(super) fn socket(&self) -> String {
        self.dir.path().join("agent.sock").display().to_string()
    }

    pub(super) fn asked(&self) -> Asked {
        self.asked.lock().unwrap().clone()
    }

    /// Runs `enforcerctl` against it.
    pub(super) async fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "").await
    }

    /// The same with something on standard input.
    pub(super) async fn run_with(&self, args: &[&str], stdin: &str) -> Ran {
        let socket = self.socket();
        enforcerctl(&[&["--socket", &socket], args].concat(), stdin).await
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone)]
struct Fake {
    answers: Arc<Answers>,
    asked: Arc<Mutex<Asked>>,
}

impl Fake {
    fn router(self, mut server: Server) -> Router {
        server.add_service(PolicyServiceServer::new(self.clone())).add_service(NodeServiceServer::new(self))
    }

    fn note(&self, note: impl FnOnce(&mut Asked)) {
        note(&mut self.asked.lock().unwrap());
    }
}

fn say<T: Clone>(said: &Said<T>) -> Result<Response<T>, Status> {
    said.clone().unwrap_or_else(|| Err(Status::internal("was not told what to say"))).map(Response::new)
}

#[tonic::async_trait]
impl PolicyService for Fake {
    type PushStream = Items<v1::PushResponse>;
    type WatchStream = Items<v1::PolicyChange>;

    async fn push(
        &self,
        _: Request<Streaming<v1::PushRequest>>,
    ) -> Result<Response<Self::PushStream>, Status> {
        Err(Status::internal("no verb pushes"))
    }

    async fn apply(&self, request: Request<v1::ApplyRequest>) -> Result<Response<v1::ApplyResponse>, Status> {
        self.note(|asked| asked.apply.push(request.into_inner()));
        say(&self.answers.apply)
    }

    async fn validate(
        &self,
        request: Request<v1::ApplyRequest>,
    ) -> Result<Response<v1::ValidateResponse>, Status> {
        self.note(|asked| asked.validate.push(request.into_inner()));
        say(&self.answers.validate)
    }

    async fn get(&self, _: Request<v1::GetRequest>) -> Result<Response<v1::GetResponse>, Status> {
        say(&self.answers.get)
    }

    async fn list_revisions(
        &self,
        _: Request<v1::ListRevisionsRequest>,
    ) -> Result<Response<v1::ListRevisionsResponse>, Status> {
        say(&self.answers.list_revisions)
    }

    async fn rollback(
        &self,
        request: Request<v1::RollbackRequest>,
    ) -> Result<Response<v1::ApplyResponse>, Status> {
        self.note(|asked| asked.rollback.push(request.into_inner().revision));
        say(&self.answers.rollback)
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        self.note(|asked| asked.explain.push(request.into_inner()));
        say(&self.answers.explain)
    }

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut turn = 0;
        self.note(|asked| {
            turn = asked.watches;
            asked.watches += 1;
        });
        let all = &self.answers.watch;
        let said = all.get(turn).or(all.last()).cloned().unwrap_or_default();
        let items = tokio_stream::iter(said.into_iter().map(Ok));
        let stream: Self::WatchStream = if turn + 1 < all.len() {
            Box::pin(items)
        } else {
            Box::pin(items.chain(tokio_stream::pending()))
        };
        Ok(Response::new(stream))
    }
}

#[tonic::async_trait]
impl NodeService for Fake {
    type ObserveStream = Items<v1::Record>;

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        let mut turn = 0;
        self.note(|asked| {
            turn = asked.statuses;
            asked.statuses += 1;
        });
        let all = &self.answers.status;
        say(&all.get(turn).or(all.last()).cloned().map(Ok))
    }

    async fn counters(
        &self,
        _: Request<v1::CountersRequest>,
    ) -> Result<Response<v1::CountersResponse>, Status> {
        if self.answers.hangs {
            std::future::pending::<()>().await;
        }
        say(&self.answers.counters)
    }

    async fn devices(&self, _: Request<v1::DevicesRequest>) -> Result<Response<v1::DevicesResponse>, Status> {
        say(&self.answers.devices)
    }

    async fn observe(
        &self,
        request: Request<v1::ObserveRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        self.note(|asked| asked.observe.push(request.into_inner()));
        match self.answers.observe.clone() {
            Some(items) => Ok(Response::new(Box::pin(tokio_stream::iter(items)))),
            None => Err(Status::internal("was not told what to say")),
        }
    }
}
