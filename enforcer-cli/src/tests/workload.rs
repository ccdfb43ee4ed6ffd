//! A Workload API that says what a test tells it to, when the test tells it to, and only to those who send the
//! header (E-2).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use enforcer_proto::spiffe::spiffe_workload_api_server::{SpiffeWorkloadApi, SpiffeWorkloadApiServer};
use enforcer_proto::spiffe::{
    JwtBundlesRequest, JwtBundlesResponse, JwtsvidRequest, JwtsvidResponse, ValidateJwtsvidRequest,
    ValidateJwtsvidResponse, X509BundlesRequest, X509BundlesResponse, X509svidRequest, X509svidResponse,
};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::Stream;
use tokio_stream::wrappers::{ReceiverStream, UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{Ran, enforcerctl};

/// What one stream says, as long as the test holds it.
pub(super) type Updates = mpsc::Sender<Result<X509svidResponse, Status>>;
type Items<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Default)]
struct Script {
    streams: VecDeque<Result<mpsc::Receiver<Result<X509svidResponse, Status>>, Status>>,
    jwt: Option<Result<JwtsvidResponse, Status>>,
    validated: Option<Result<ValidateJwtsvidResponse, Status>>,
    asked_jwt: Vec<JwtsvidRequest>,
    asked_validate: Vec<ValidateJwtsvidRequest>,
    refused_headers: usize,
}

/// The API; it stops when it is dropped.
pub(super) struct WorkloadApi {
    dir: TempDir,
    script: Arc<Mutex<Script>>,
    server: JoinHandle<()>,
}

impl WorkloadApi {
    /// Listens on a socket of its own.
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let script = Arc::new(Mutex::new(Script::default()));
        let listener = UnixListener::bind(dir.path().join("api.sock")).unwrap();
        let router = Server::builder().add_service(SpiffeWorkloadApiServer::new(Fake(Arc::clone(&script))));
        let server = tokio::spawn(async move {
            router.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
        });
        Self { dir, script, server }
    }

    /// The next stream says what the test sends, and ends when the test drops the sender. Streams beyond those that
    /// were prepared are refused as unavailable.
    pub(super) fn stream(&self) -> Updates {
        let (sender, receiver) = mpsc::channel(8);
        self.script.lock().unwrap().streams.push_back(Ok(receiver));
        sender
    }

    /// The next stream is refused.
    pub(super) fn refuse(&self, status: Status) {
        self.script.lock().unwrap().streams.push_back(Err(status));
    }

    pub(super) fn say_jwt(&self, said: Result<JwtsvidResponse, Status>) {
        self.script.lock().unwrap().jwt = Some(said);
    }

    pub(super) fn say_validated(&self, said: Result<ValidateJwtsvidResponse, Status>) {
        self.script.lock().unwrap().validated = Some(said);
    }

    pub(super) fn asked_jwt(&self) -> Vec<JwtsvidRequest> {
        self.script.lock().unwrap().asked_jwt.clone()
    }

    pub(super) fn asked_validate(&self) -> Vec<ValidateJwtsvidRequest> {
        self.script.lock().unwrap().asked_validate.clone()
    }

    pub(super) fn refused_headers(&self) -> usize {
        self.script.lock().unwrap().refused_headers
    }

    pub(super) fn socket(&self) -> String {
        self.dir.path().join("api.sock").display().to_string()
    }

    /// Runs `enforcerctl svid` against it, with something on standard input.
    pub(super) async fn run(&self, args: &[&str], stdin: &str) -> Ran {
        enforcerctl(&[&["svid"], args, &["--workload-socket", &self.socket()]].concat(), stdin).await
    }
}

impl Drop for WorkloadApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Fake(Arc<Mutex<Script>>);

impl Fake {
    fn check<T>(&self, request: &Request<T>) -> Result<(), Status> {
        if request.metadata().get("workload.spiffe.io").is_some_and(|value| value == "true") {
            return Ok(());
        }
        self.0.lock().unwrap().refused_headers += 1;
        Err(Status::invalid_argument("security header missing from request"))
    }
}

#[tonic::async_trait]
impl SpiffeWorkloadApi for Fake {
    type FetchX509SVIDStream = Items<X509svidResponse>;
    type FetchX509BundlesStream = Items<X509BundlesResponse>;
    type FetchJWTBundlesStream = Items<JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        request: Request<X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        self.check(&request)?;
        let stream = self.0.lock().unwrap().streams.pop_front();
        let receiver = stream.unwrap_or_else(|| Err(Status::unavailable("no stream was prepared")))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        Err(Status::internal("no verb asks"))
    }

    async fn fetch_jwtsvid(
        &self,
        request: Request<JwtsvidRequest>,
    ) -> Result<Response<JwtsvidResponse>, Status> {
        self.check(&request)?;
        let mut script = self.0.lock().unwrap();
        script.asked_jwt.push(request.into_inner());
        script
            .jwt
            .clone()
            .unwrap_or_else(|| Err(Status::internal("was not told what to say")))
            .map(Response::new)
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        Err(Status::internal("no verb asks"))
    }

    async fn validate_jwtsvid(
        &self,
        request: Request<ValidateJwtsvidRequest>,
    ) -> Result<Response<ValidateJwtsvidResponse>, Status> {
        self.check(&request)?;
        let mut script = self.0.lock().unwrap();
        script.asked_validate.push(request.into_inner());
        let said = script.validated.clone();
        said.unwrap_or_else(|| Err(Status::internal("was not told what to say"))).map(Response::new)
    }
}
