//! The workload socket from outside: real clients on real connections, real certificates, and an attestor that
//! is told who comes next. That the real one tells the truth is tested beside it.

mod changes;
mod clients;
mod crowd;
mod delta;
mod material;
mod refused;
mod secrets;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::spiffe::spiffe_workload_api_client::SpiffeWorkloadApiClient;
use hyper_util::rt::TokioIo;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Request, Status};

use super::{Jwt, ServeLimits, ServeParts, WorkloadDoor, run};
use crate::door::stop::Stopper;
use crate::door::upstream::{Target, Upstream, UpstreamError};
use crate::identity::attest::{Attest, AttestError, Process};
use crate::identity::svid::{Member, Places, Standing};
use crate::identity::wallet::Wallet;

const PATIENCE: Duration = Duration::from_secs(20);

/// What a client takes before it reads.
const WINDOW_BYTES: u32 = 65_535;

/// A served workload socket.
struct Scene {
    socket: PathBuf,
    wallet: Wallet,
    attest: Arc<Told>,
    stopper: Stopper,
    tasks: JoinSet<()>,
    _directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(ServeLimits::default())
    }

    fn with(limits: ServeLimits) -> Self {
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("workload.sock");
        let (attest, wallet, stopper) = (Arc::new(Told::default()), Wallet::default(), Stopper::default());
        let parts = ServeParts {
            door: WorkloadDoor::open(&socket).unwrap(),
            attest: Arc::clone(&attest) as Arc<dyn Attest>,
            wallet: wallet.clone(),
            upstream: Arc::new(Signer),
            node: "here".to_owned(),
            tell: Arc::new(|_| {}),
            jwt: Jwt {
                bundle: |bundle| format!(r#"{{"keys":[],"spiffe_sequence":{}}}"#, bundle.sequence),
                validate: Arc::new(validate),
                lifetime: Duration::from_secs(300),
            },
            limits,
            stop: stopper.listener(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { run(parts).await.unwrap() });
        Self { socket, wallet, attest, stopper, tasks, _directory: directory }
    }

    fn grant(&self, workload: &str, standing: Standing) {
        self.wallet.set(&workload.into(), standing);
    }

    /// A connection of a workload.
    async fn channel(&self, workload: &str, tenant: &str) -> Channel {
        self.come(Some(member(workload, tenant))).await
    }

    /// A connection of a process that is whoever it is said to be.
    async fn come(&self, who: Option<Member>) -> Channel {
        let before = self.attest.come(who);
        let channel = channel(&self.socket).await;
        self.attest.received(before).await;
        channel
    }

    async fn client(&self, workload: &str, tenant: &str) -> Client {
        client(self.channel(workload, tenant).await)
    }
}

fn member(workload: &str, tenant: &str) -> Member {
    Member { workload: workload.into(), tenant: tenant.into() }
}

async fn channel(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connect = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { UnixStream::connect(socket).await.map(TokioIo::new) }
    });
    let endpoint = Endpoint::from_static("http://agent").initial_stream_window_size(WINDOW_BYTES);
    endpoint.connect_with_connector(connect).await.unwrap()
}

type Client =
    SpiffeWorkloadApiClient<InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>>;

/// A client of the Workload API that sends the header.
fn client(channel: Channel) -> Client {
    SpiffeWorkloadApiClient::with_interceptor(channel, |mut request| {
        request.metadata_mut().insert("workload.spiffe.io", "true".parse().unwrap());
        Ok(request)
    })
}

/// Waits until something is so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited for: {what}"));
}

/// An attestor that believes what it is told of the next connection, and holds on to real processes.
#[derive(Debug)]
struct Told {
    places: watch::Sender<Arc<Places>>,
    next: Mutex<Option<Member>>,
    known: Mutex<BTreeMap<u64, Option<Member>>>,
}

impl Default for Told {
    fn default() -> Self {
        Self { places: watch::Sender::new(Arc::default()), next: Mutex::default(), known: Mutex::default() }
    }
}

impl Told {
    fn come(&self, who: Option<Member>) -> usize {
        *self.next.lock().unwrap() = who;
        self.known.lock().unwrap().len()
    }

    async fn received(&self, before: usize) {
        until("the connection is received", || self.known.lock().unwrap().len() > before).await;
    }

    /// Every process is this one from now on; the policy says so.
    fn change(&self, who: Option<Member>) {
        self.move_all(who);
        self.places.send_replace(Arc::default());
    }

    /// Every process is this one from now on, and nobody says so.
    fn move_all(&self, who: Option<Member>) {
        self.known.lock().unwrap().values_mut().for_each(|known| known.clone_from(&who));
    }
}

impl Attest for Told {
    fn peer(&self, stream: &UnixStream) -> Result<Process, AttestError> {
        let process = Process::peer(stream)?;
        self.known.lock().unwrap().insert(process.serial(), self.next.lock().unwrap().clone());
        Ok(process)
    }

    fn attest(&self, process: &Process) -> Result<Member, AttestError> {
        let known = self.known.lock().unwrap().get(&process.serial()).cloned().flatten();
        known.ok_or(AttestError::NoWorkload { pid: process.pid() })
    }

    fn places(&self) -> watch::Receiver<Arc<Places>> {
        self.places.subscribe()
    }
}

/// An authority whose tokens say what they are for, and are signed by nobody.
#[derive(Debug)]
struct Signer;

#[tonic::async_trait]
impl Upstream for Signer {
    fn kind(&self) -> &'static str {
        "test"
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    async fn node_ca(
        &self,
        _: &str,
        _: &TrustDomain,
        _: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        Err(UpstreamError::Refused("not here".to_owned()))
    }

    async fn node_svid(&self, _: &str, _: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        Err(UpstreamError::Refused("not here".to_owned()))
    }

    async fn jwt_svid(
        &self,
        node: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError> {
        match audience[0].as_str() {
            "away" => Err(UpstreamError::Away("it sleeps".to_owned())),
            "revoked" => Err(UpstreamError::Revoked(id.to_string())),
            _ if node != "here" => Err(UpstreamError::Request(node.to_owned())),
            _ => Ok(material::token(id.as_str(), audience, lifetime)),
        }
    }

    fn trust(&self) -> watch::Receiver<Arc<Trust>> {
        watch::channel(Arc::default()).1
    }

    async fn revoke(&self, _: &Target) -> Result<(), UpstreamError> {
        Ok(())
    }

    async fn restore(&self, _: &Target) -> Result<(), UpstreamError> {
        Ok(())
    }

    async fn rotate(&self, _: &TrustDomain) -> Result<(), UpstreamError> {
        Ok(())
    }
}

type Claims = serde_json::Map<String, serde_json::Value>;

/// Takes tokens of [`Signer`], whatever their trust domain.
fn validate(token: &str, audience: &str) -> Result<(SpiffeId, Claims), String> {
    let claims = material::claims(token).ok_or("no token")?;
    if !claims["aud"].as_array().ok_or("no audience")?.contains(&serde_json::Value::from(audience)) {
        return Err("another audience".to_owned());
    }
    let id = claims["sub"].as_str().ok_or("no subject")?.parse().map_err(|_| "no ID")?;
    Ok((id, claims))
}
