//! An identity wall that repeats what it was told to say to operators, and remembers what it was asked.

use std::sync::{Arc, Mutex};

use enforcer_proto::v1;
use enforcer_proto::v1::identity_service_server::{IdentityService, IdentityServiceServer};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Ran, enforcerctl, on_terminal};

type Said<T> = Option<Result<T, Status>>;
type Enroll = dyn Fn(&v1::EnrollNodeRequest) -> Result<v1::EnrollNodeResponse, Status> + Send + Sync;

/// What it says to each request; a request without an answer fails.
#[derive(Clone, Default)]
pub(super) struct Answers {
    pub(super) list: Said<v1::ListIdentitiesResponse>,
    pub(super) show: Said<v1::ShowIdentityResponse>,
    pub(super) revoke: Said<v1::RevokeIdentityResponse>,
    pub(super) restore: Said<v1::RestoreIdentityResponse>,
    pub(super) rotate: Said<v1::RotateIdentityResponse>,
    pub(super) metrics: Said<v1::IdentityMetricsResponse>,
    /// The answer depends on the key.
    pub(super) enroll: Option<Arc<Enroll>>,
}

/// What it was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) list: Vec<v1::ListIdentitiesRequest>,
    pub(super) show: Vec<String>,
    pub(super) revoke: Vec<v1::RevokeIdentityRequest>,
    pub(super) restore: Vec<v1::RestoreIdentityRequest>,
    pub(super) rotate: Vec<v1::RotateIdentityRequest>,
    pub(super) enroll: Vec<String>,
}

/// The wall; it stops when it is dropped.
pub(super) struct Wall {
    dir: TempDir,
    asked: Arc<Mutex<Asked>>,
    server: JoinHandle<()>,
}

impl Wall {
    /// Listens on a socket of its own.
    pub(super) fn start(answers: Answers) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let asked = Arc::new(Mutex::new(Asked::default()));
        let fake = Fake { answers, asked: Arc::clone(&asked) };
        let listener = UnixListener::bind(dir.path().join("agent.sock")).unwrap();
        let router = Server::builder().add_service(IdentityServiceServer::new(fake));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { dir, asked, server }
    }

    /// Runs `enforcerctl identity` against it.
    pub(super) async fn run(&self, args: &[&str]) -> Ran {
        enforcerctl(&[&["--socket", &self.socket(), "identity"], args].concat(), "").await
    }

    /// The same where a person sits, who types `answer`.
    pub(super) async fn run_on_terminal(&self, args: &[&str], answer: &str) -> Ran {
        on_terminal(&[&["--socket", &self.socket(), "identity"], args].concat(), answer).await
    }

    pub(super) fn asked(&self) -> Asked {
        self.asked.lock().unwrap().clone()
    }

    fn socket(&self) -> String {
        self.dir.path().join("agent.sock").display().to_string()
    }
}

impl Drop for Wall {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Fake {
    answers: Answers,
    asked: Arc<Mutex<Asked>>,
}

impl Fake {
    fn note(&self, note: impl FnOnce(&mut Asked)) {
        note(&mut self.asked.lock().unwrap());
    }
}

fn say<T: Clone>(said: &Said<T>) -> Result<Response<T>, Status> {
    said.clone().unwrap_or_else(|| Err(Status::internal("was not told what to say"))).map(Response::new)
}

#[tonic::async_trait]
impl IdentityService for Fake {
    async fn list(
        &self,
        request: Request<v1::ListIdentitiesRequest>,
    ) -> Result<Response<v1::ListIdentitiesResponse>, Status> {
        self.note(|asked| asked.list.push(request.into_inner()));
        say(&self.answers.list)
    }

    async fn show(
        &self,
        request: Request<v1::ShowIdentityRequest>,
    ) -> Result<Response<v1::ShowIdentityResponse>, Status> {
        self.note(|asked| asked.show.push(request.into_inner().workload));
        say(&self.answers.show)
    }

    async fn revoke(
        &self,
        request: Request<v1::RevokeIdentityRequest>,
    ) -> Result<Response<v1::RevokeIdentityResponse>, Status> {
        self.note(|asked| asked.revoke.push(request.into_inner()));
        say(&self.answers.revoke)
    }

    async fn restore(
        &self,
        request: Request<v1::RestoreIdentityRequest>,
    ) -> Result<Response<v1::RestoreIdentityResponse>, Status> {
        self.note(|asked| asked.restore.push(request.into_inner()));
        say(&self.answers.restore)
    }

    async fn rotate(
        &self,
        request: Request<v1::RotateIdentityRequest>,
    ) -> Result<Response<v1::RotateIdentityResponse>, Status> {
        self.note(|asked| asked.rotate.push(request.into_inner()));
        say(&self.answers.rotate)
    }

    async fn enroll_node(
        &self,
        request: Request<v1::EnrollNodeRequest>,
    ) -> Result<Response<v1::EnrollNodeResponse>, Status> {
        let request = request.into_inner();
        self.note(|asked| asked.enroll.push(request.node.clone()));
        self.answers.enroll.as_ref().map_or_else(
            || Err(Status::internal("was not told what to say")),
            |enroll| enroll(&request).map(Response::new),
        )
    }

    async fn metrics(
        &self,
        _: Request<v1::IdentityMetricsRequest>,
    ) -> Result<Response<v1::IdentityMetricsResponse>, Status> {
        say(&self.answers.metrics)
    }
}
