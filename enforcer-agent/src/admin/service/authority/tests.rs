//! An authority and its nodes over real mutual TLS: both ends of the conversation, and an authority that answers
//! wrongly.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enforcer_core::identity::bundle::Trust as CoreTrust;
use enforcer_core::identity::x509::leaf::parse_leaf;
use enforcer_proto::v1::authority_service_client::AuthorityServiceClient;
use enforcer_proto::v1::authority_service_server::AuthorityServiceServer;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity, Server, ServerTlsConfig};
use tonic::{Code, Request};

use super::*;
use crate::door::stop::Stopper;
use crate::door::upstream::Target;
use crate::identity::authority::tests::openssl::pem;
use crate::identity::authority::tests::{Fleet, domain, policy};
use crate::identity::authority::{Local, NodeCa, request};
use crate::identity::custody::tests::Home;
use crate::identity::remote::{Remote, RemoteConfig};

const DEADLINE: Duration = Duration::from_secs(20);

/// An authority that serves, and directories with the files of its nodes.
struct Authority {
    fleet: Fleet,
    local: Arc<Local>,
    directory: TempDir,
    stopper: Stopper,
    tasks: JoinSet<()>,
}

fn present() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl Authority {
    fn new() -> Self {
        let mut fleet = Fleet::new();
        fleet.set_clock(present());
        fleet.config.node_names = vec!["localhost".to_owned()];
        let local = fleet.open();
        let directory = TempDir::new().unwrap();
        let anchor = local.trust().borrow().bundles[&domain("fleet.example")].x509[0].clone();
        fs::write(directory.path().join("ca.pem"), pem("CERTIFICATE", &anchor)).unwrap();
        Self { fleet, local, directory, stopper: Stopper::default(), tasks: JoinSet::new() }
    }

    /// Files with a node's certificate and key.
    async fn files(&self, node: &str) -> (PathBuf, PathBuf) {
        let (key, csr) = request().unwrap();
        let chain = self.local.node_svid(node, &csr).await.unwrap();
        let text: String = chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        let path = |end: &str| self.directory.path().join(format!("{node}.{end}"));
        fs::write(path("crt"), text).unwrap();
        private(&path("key"), &pem("PRIVATE KEY", crate::identity::tests_only::expose(&key)));
        (path("crt"), path("key"))
    }

    /// Serves on a port, any when 0.
    async fn serve(&mut self, port: u16) -> SocketAddr {
        let calls = AuthorityCalls::new(
            Arc::clone(&self.local) as Arc<dyn Upstream>,
            self.fleet.policy().subscribe(),
            "node-1".to_owned(),
            self.stopper.listener(),
        );
        self.serve_with(port, calls).await
    }

    async fn serve_with(&mut self, port: u16, calls: impl AuthorityService) -> SocketAddr {
        let (certificate, key) = self.files("node-1").await;
        let identity = Identity::from_pem(fs::read(certificate).unwrap(), fs::read(key).unwrap());
        let ca = Certificate::from_pem(fs::read(self.directory.path().join("ca.pem")).unwrap());
        let tls = ServerTlsConfig::new().identity(identity).client_ca_root(ca);
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = AuthorityServiceServer::with_interceptor(calls, named_by_certificate);
        let mut stop = self.stopper.listener();
        crate::door::library::choose();
        let mut server = Server::builder().tls_config(tls).unwrap();
        let served = server
            .add_service(service)
            .serve_with_incoming_shutdown(TcpListenerStream::new(listener), async move { stop.wait().await });
        self.tasks.spawn(async move { served.await.unwrap() });
        address
    }

    /// Ends the server and every connection to it.
    async fn stop(&mut self) {
        self.stopper.stop();
        let ended =
            tokio::time::timeout(DEADLINE, async { while self.tasks.join_next().await.is_some() {} }).await;
        ended.expect("the server did not end");
        self.stopper = Stopper::default();
    }

    async fn config(&self, node: &str, address: SocketAddr) -> RemoteConfig {
        let (certificate, key) = self.files(node).await;
        RemoteConfig {
            address: format!("https://localhost:{}", address.port()),
            certificate,
            key,
            ca: self.directory.path().join("ca.pem"),
            server_name: None,
        }
    }
}

/// What the network door does with a certificate.
fn named_by_certificate(mut request: Request<()>) -> Result<Request<()>, Status> {
    let certificates = request.peer_certs().unwrap();
    let leaf = parse_leaf(certificates.first().unwrap()).unwrap();
    let name = leaf.id.path().strip_prefix("/node/").unwrap().to_owned();
    request.extensions_mut().insert(Caller::Node(name));
    Ok(request)
}

/// A node whose authority is elsewhere.
struct Node {
    home: Home,
    stopper: Stopper,
    config: RemoteConfig,
}

impl Node {
    fn new(config: RemoteConfig) -> Self {
        Self { home: Home::new(), stopper: Stopper::default(), config }
    }

    fn start(&self, authority: &Authority) -> Arc<Remote> {
        let vault = Arc::new(self.home.open());
        Remote::start(self.config.clone(), vault, authority.fleet.clock(), self.stopper.listener()).unwrap()
    }
}

async fn until(trust: &mut watch::Receiver<Arc<CoreTrust>>, wanted: impl FnMut(&Arc<CoreTrust>) -> bool) {
    let seen = tokio::time::timeout(DEADLINE, trust.wait_for(wanted)).await;
    seen.expect("the trust did not become what it should").unwrap();
}

fn names(trust: &CoreTrust) -> BTreeSet<String> {
    trust.bundles.keys().map(ToString::to_string).collect()
}

fn has(trust: &CoreTrust, name: &str) -> bool {
    trust.bundles.get(&domain(name)).is_some_and(|bundle| !bundle.x509.is_empty())
}

#[tokio::test]
async fn a_node_is_given_what_concerns_its_tenants_and_nothing_else() {
    let mut authority = Authority::new();
    let mut tenants = policy();
    let green = domain("green.fleet.example");
    let lonely = enforcer_core::identity::entitle::Domain { tenant: "green".into(), ..Default::default() };
    tenants.domains.insert(green.clone(), lonely);
    authority.fleet.policy().send_replace(Arc::new(tenants));
    let address = authority.serve(0).await;
    let node = Node::new(authority.config("node-2", address).await);
    let remote = node.start(&authority);
    assert_eq!(remote.kind(), "grpc");
    let mut trust = remote.trust();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
    let expected = ["blue.fleet.example", "fleet.example", "red.fleet.example"].map(str::to_owned);
    assert_eq!(names(&trust.borrow()), BTreeSet::from(expected));
    let (key, csr) = request().unwrap();
    let chain = remote.node_ca("node-2", &domain("red.fleet.example"), &csr).await.unwrap();
    let ca = NodeCa::new(chain, &key).unwrap();
    assert_eq!(ca.domain(), &domain("red.fleet.example"));
    // A name that it gives itself counts for nothing: its certificate says who it is.
    for other in ["blue.fleet.example", "green.fleet.example", "fleet.example"] {
        let answer = remote.node_ca("node-1", &domain(other), &csr).await;
        assert_eq!(answer, Err(UpstreamError::Refused(PERMISSION_DENIED.to_owned())), "{other}");
    }
    let answer = remote.node_ca("node-2", &domain("red.fleet.example"), b"nonsense").await;
    assert!(matches!(answer, Err(UpstreamError::Request(_))), "{answer:?}");
    let own = remote.node_svid("node-1", &csr).await.unwrap();
    assert_eq!(parse_leaf(&own[0]).unwrap().id.as_str(), "spiffe://fleet.example/node/node-2");
    let far = domain("red.fleet.example").member("/ns/a/sa/far").unwrap();
    let web = domain("red.fleet.example").member("/ns/a/sa/web").unwrap();
    let (audience, minute) = (["a".to_owned()], Duration::from_secs(60));
    assert!(remote.jwt_svid("node-2", &far, &audience, minute).await.is_ok());
    let answer = remote.jwt_svid("node-2", &web, &audience, minute).await;
    assert_eq!(answer, Err(UpstreamError::Refused(PERMISSION_DENIED.to_owned())));
    let rotated = remote.rotate(&domain("red.fleet.example")).await;
    assert!(matches!(rotated, Err(UpstreamError::Refused(why)) if why.contains("authority")));
    // The policy takes the tenant away.
    let mut without = policy();
    without.domains.get_mut(&domain("red.fleet.example")).unwrap().nodes.remove(&Some("node-2".into()));
    authority.fleet.policy().send_replace(Arc::new(without));
    until(&mut trust, |trust| names(trust) == BTreeSet::from(["fleet.example".to_owned()])).await;
}

#[tokio::test]
async fn a_revocation_reaches_the_nodes_and_a_revoked_node_loses_everything() {
    let mut authority = Authority::new();
    let address = authority.serve(0).await;
    let node = Node::new(authority.config("node-2", address).await);
    let remote = node.start(&authority);
    let mut trust = remote.trust();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
    let red = Target::Tenant("red".into());
    authority.local.revoke(&red).await.unwrap();
    until(&mut trust, |trust| !has(trust, "red.fleet.example") && trust.revoked.tenants.contains("red"))
        .await;
    let (_, csr) = request().unwrap();
    let answer = remote.node_ca("node-2", &domain("red.fleet.example"), &csr).await;
    assert!(matches!(answer, Err(UpstreamError::Revoked(_))), "{answer:?}");
    // What the authority took, a node does not give back.
    assert!(matches!(remote.restore(&red).await, Err(UpstreamError::Refused(_))));
    authority.local.restore(&red).await.unwrap();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
    let id = domain("fleet.example").member("/node/node-2").unwrap();
    authority.local.revoke(&Target::SpiffeId(id.clone())).await.unwrap();
    until(&mut trust, |trust| trust.bundles.is_empty()).await;
    authority.local.restore(&Target::SpiffeId(id)).await.unwrap();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
}

#[tokio::test]
async fn a_nodes_own_revocations_are_kept_and_joined_with_the_authoritys() {
    let mut authority = Authority::new();
    let address = authority.serve(0).await;
    let node = Node::new(authority.config("node-2", address).await);
    let remote = node.start(&authority);
    let own = Target::Workload("red-far".into());
    remote.revoke(&own).await.unwrap();
    assert!(remote.trust().borrow().revoked.workloads.contains("red-far"));
    authority.local.revoke(&Target::Workload("blue-db".into())).await.unwrap();
    let mut trust = remote.trust();
    until(&mut trust, |trust| trust.revoked.workloads.len() == 2).await;
    assert!(!authority.local.trust().borrow().revoked.workloads.contains("red-far"));
    node.stopper.stop();
    let node = Node { stopper: Stopper::default(), ..node };
    let remote = node.start(&authority);
    assert!(remote.trust().borrow().revoked.workloads.contains("red-far"), "forgotten by a restart");
    remote.restore(&own).await.unwrap();
    assert!(!remote.trust().borrow().revoked.workloads.contains("red-far"));
}

#[tokio::test]
async fn an_authority_that_goes_and_comes_back_is_followed_again() {
    let mut authority = Authority::new();
    let address = authority.serve(0).await;
    let node = Node::new(authority.config("node-2", address).await);
    let remote = node.start(&authority);
    let mut trust = remote.trust();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
    authority.stop().await;
    assert!(has(&trust.borrow(), "red.fleet.example"), "the last good trust stays");
    let before = trust.borrow().bundles[&domain("red.fleet.example")].sequence;
    authority.local.rotate(&domain("red.fleet.example")).await.unwrap();
    authority.serve(address.port()).await;
    until(&mut trust, |trust| trust.bundles[&domain("red.fleet.example")].sequence > before).await;
    let (_, csr) = request().unwrap();
    assert!(remote.node_ca("node-2", &domain("red.fleet.example"), &csr).await.is_ok());
}

#[tokio::test]
async fn trust_that_nobody_confirms_outlasts_a_restart_but_not_a_day() {
    let mut authority = Authority::new();
    let address = authority.serve(0).await;
    let node = Node::new(authority.config("node-2", address).await);
    let remote = node.start(&authority);
    let mut trust = remote.trust();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
    // It is in force before it is kept.
    let kept = node.home.vault_directory().join("fleet/trust");
    let keeping = tokio::time::timeout(DEADLINE, async {
        while !kept.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    keeping.await.expect("the trust was not kept");
    node.stopper.stop();
    authority.stop().await;
    let node = Node { stopper: Stopper::default(), ..node };
    authority.fleet.set_clock(present() + 23 * 3600);
    assert!(has(&node.start(&authority).trust().borrow(), "red.fleet.example"));
    authority.fleet.set_clock(present() + 25 * 3600);
    assert!(node.start(&authority).trust().borrow().bundles.is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_an_authority_every_call_ends_and_says_why() {
    let authority = Authority::new();
    let mut config = authority.config("node-2", "127.0.0.1:1".parse().unwrap()).await;
    let (_, csr) = request().unwrap();
    let why = async |config: &RemoteConfig| {
        let node = Node::new(config.clone());
        let remote = node.start(&authority);
        match remote.node_ca("node-2", &domain("red.fleet.example"), &csr).await {
            Err(UpstreamError::Away(why)) => why,
            other => panic!("{other:?}"),
        }
    };
    let answer = why(&config).await;
    assert!(answer.contains("never there") && answer.contains("cannot connect"), "{answer}");
    fs::set_permissions(&config.key, fs::Permissions::from_mode(0o644)).unwrap();
    let answer = why(&config).await;
    assert!(answer.contains("0644"), "{answer}");
    config.key = "/nonexistent".into();
    let answer = why(&config).await;
    assert!(answer.contains("/nonexistent"), "{answer}");
    config = authority.config("node-2", "127.0.0.1:1".parse().unwrap()).await;
    config.address = "http://localhost:1".to_owned();
    let answer = why(&config).await;
    assert!(answer.contains("https://"), "{answer}");
}

async fn client(authority: &Authority, node: &str, address: SocketAddr) -> AuthorityServiceClient<Channel> {
    let config = authority.config(node, address).await;
    let identity = Identity::from_pem(fs::read(config.certificate).unwrap(), fs::read(config.key).unwrap());
    let ca = Certificate::from_pem(fs::read(config.ca).unwrap());
    let tls = ClientTlsConfig::new().identity(identity).ca_certificate(ca);
    crate::door::library::choose();
    let endpoint = Endpoint::from_shared(config.address).unwrap().tls_config(tls).unwrap();
    AuthorityServiceClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn a_second_stream_of_a_node_ends_the_first_and_no_others() {
    let mut authority = Authority::new();
    let address = authority.serve(0).await;
    let open = async |node: &str| {
        let mut client = client(&authority, node, address).await;
        let mut stream = client.watch_trust(WatchTrustRequest {}).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        stream
    };
    let (mut first, mut other) = (open("node-2").await, open("node-3").await);
    let mut second = open("node-2").await;
    assert_eq!(first.message().await.unwrap_err().code(), Code::Aborted);
    authority.local.rotate(&domain("fleet.example")).await.unwrap();
    assert!(second.message().await.unwrap().is_some());
    assert!(other.message().await.unwrap().is_some());
}

#[tokio::test]
async fn who_is_no_node_is_told_nothing() {
    let authority = Authority::new();
    let calls = AuthorityCalls::new(
        Arc::clone(&authority.local) as Arc<dyn Upstream>,
        authority.fleet.policy().subscribe(),
        "node-1".to_owned(),
        authority.stopper.listener(),
    );
    let plane = "spiffe://fleet.example/plane".parse().unwrap();
    for stranger in [None, Some(Caller::Refused), Some(Caller::Local { uid: 0 }), Some(Caller::Remote(plane))]
    {
        let mut request = Request::new(WatchTrustRequest {});
        request.extensions_mut().insert(stranger.unwrap_or(Caller::Refused));
        let status = calls.watch_trust(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::PermissionDenied, PERMISSION_DENIED));
    }
    assert!(calls.issue_node_svid(Request::new(IssueNodeSvidRequest::default())).await.is_err());
    let mut request = Request::new(IssueNodeCaRequest { trust_domain: "a/b".to_owned(), csr: vec![] });
    request.extensions_mut().insert(Caller::Node("node-2".to_owned()));
    assert_eq!(calls.issue_node_ca(request).await.unwrap_err().code(), Code::InvalidArgument);
}

/// An authority that sends what it should not.
struct Wrong;

#[tonic::async_trait]
impl AuthorityService for Wrong {
    async fn issue_node_ca(
        &self,
        _: Request<IssueNodeCaRequest>,
    ) -> Result<Response<CertificateChain>, Status> {
        Ok(Response::new(CertificateChain { certificates: vec![b"nonsense".to_vec()] }))
    }

    async fn issue_node_svid(
        &self,
        _: Request<IssueNodeSvidRequest>,
    ) -> Result<Response<CertificateChain>, Status> {
        Ok(Response::new(CertificateChain::default()))
    }

    async fn issue_jwt_svid(
        &self,
        _: Request<IssueJwtSvidRequest>,
    ) -> Result<Response<IssueJwtSvidResponse>, Status> {
        Ok(Response::new(IssueJwtSvidResponse::default()))
    }

    type WatchTrustStream = ReceiverStream<Result<Trust, Status>>;

    async fn watch_trust(
        &self,
        _: Request<WatchTrustRequest>,
    ) -> Result<Response<Self::WatchTrustStream>, Status> {
        let (send, stream) = tokio::sync::mpsc::channel(1);
        // No revocations are not the same as empty ones.
        send.send(Ok(Trust::default())).await.unwrap();
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

#[tokio::test]
async fn wrong_answers_are_refused_and_the_last_good_trust_stays() {
    let mut authority = Authority::new();
    let address = authority.serve(0).await;
    let node = Node::new(authority.config("node-2", address).await);
    let remote = node.start(&authority);
    let mut trust = remote.trust();
    until(&mut trust, |trust| has(trust, "red.fleet.example")).await;
    authority.stop().await;
    authority.serve_with(address.port(), Wrong).await;
    let (_, csr) = request().unwrap();
    let web = domain("red.fleet.example").member("/ns/a/sa/web").unwrap();
    let refused = async || {
        let ca = remote.node_ca("node-2", &domain("red.fleet.example"), &csr).await;
        let svid = remote.node_svid("node-2", &csr).await;
        let token = remote.jwt_svid("node-2", &web, &["a".to_owned()], Duration::from_secs(9)).await;
        [ca.map(drop), svid.map(drop), token.map(drop)]
            .iter()
            .all(|answer| matches!(answer, Err(UpstreamError::Refused(why)) if why.contains("it answered")))
    };
    // Connections come and go, as each stream ends with the message that cannot be read.
    let answered = tokio::time::timeout(DEADLINE, async { while !refused().await {} }).await;
    answered.expect("a wrong answer was taken");
    assert!(has(&trust.borrow(), "red.fleet.example"));
}
