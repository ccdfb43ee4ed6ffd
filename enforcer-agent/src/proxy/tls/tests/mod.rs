//! Certificates, peers and wires for the tests of the tunnel.

mod garbage;
mod interop;
mod keys;
mod refused;
mod resumed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use enforcer_core::identity::bundle::{Bundle, Trust};
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::chain;
use enforcer_core::identity::x509::leaf::parse_leaf;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::OffsetDateTime;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::door::identity::{Peer, VerifyPeer};
use crate::door::tunnel::Credential;
use crate::identity::crypto::Checker;

pub(in crate::proxy) const RED: &str = "red.fleet.example";
pub(in crate::proxy) const BLUE: &str = "blue.fleet.example";
pub(super) const BOTH: Hops = Hops { native: true, hbone: true };
pub(in crate::proxy) const NATIVE_ONLY: Hops = Hops { native: true, hbone: false };
pub(super) const HBONE_ONLY: Hops = Hops { native: false, hbone: true };

pub(in crate::proxy) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

pub(in crate::proxy) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

/// A tenant's authority.
pub(in crate::proxy) struct Authority {
    name: &'static str,
    params: CertificateParams,
    key: KeyPair,
}

fn params(name: &str, uri: &str, valid: (i64, i64)) -> CertificateParams {
    let at = |seconds: i64| OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (at(valid.0), at(valid.1));
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(uri).unwrap())];
    params
}

impl Authority {
    pub(in crate::proxy) fn new(name: &'static str) -> Self {
        let mut params = params(name, &format!("spiffe://{name}"), (-3600, 36_000));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { name, params, key: KeyPair::generate().unwrap() }
    }

    fn certificate(&self) -> CertificateDer<'static> {
        self.params.self_signed(&self.key).unwrap().der().clone()
    }

    /// A workload's certificate, valid for so many seconds from now on.
    pub(in crate::proxy) fn issue(&self, workload: &str, seconds: i64) -> Credential {
        self.issue_valid(workload, (-60, seconds))
    }

    pub(super) fn issue_valid(&self, workload: &str, valid: (i64, i64)) -> Credential {
        let id = format!("spiffe://{}/ns/default/sa/{workload}", self.name);
        let mut params = params(workload, &id, valid);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    fn sign(&self, params: &CertificateParams) -> Credential {
        let key = KeyPair::generate().unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let der = params.signed_by(&key, &issuer).unwrap().der().clone();
        let leaf = parse_leaf(&der).unwrap();
        let signer = any_supported_type(&PrivateKeyDer::try_from(key.serialize_der()).unwrap()).unwrap();
        Credential {
            id: leaf.id,
            serial: leaf.serial.iter().map(|byte| format!("{byte:02x}")).collect(),
            not_after: leaf.not_after,
            key: Arc::new(CertifiedKey::new(vec![der], signer)),
        }
    }
}

/// What one node trusts, and at which time.
pub(in crate::proxy) struct Node {
    pub(super) trust: watch::Sender<Arc<Trust>>,
    pub(in crate::proxy) check: Arc<PeerCheck>,
    pub(in crate::proxy) pool: Arc<Pool>,
    pub(super) later: Arc<std::sync::atomic::AtomicU64>,
    pub(super) verified: Arc<std::sync::atomic::AtomicU64>,
}

impl Node {
    pub(in crate::proxy) fn trusting(authorities: &[&Authority]) -> Self {
        use std::sync::atomic::{AtomicU64, Ordering};

        let bundle = |authority: &&Authority| {
            let domain = domain(authority.name);
            let bundle = Bundle {
                trust_domain: domain.clone(),
                x509: vec![authority.certificate()],
                jwt: Vec::new(),
                sequence: 1,
                refresh_hint_seconds: 300,
            };
            (domain, Arc::new(bundle))
        };
        let bundles: BTreeMap<_, _> = authorities.iter().map(bundle).collect();
        let trust = watch::Sender::new(Arc::new(Trust { bundles, ..Trust::default() }));
        let (later, verified) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (seen, count) = (trust.subscribe(), Arc::clone(&verified));
        let verify: VerifyPeer = Arc::new(move |certificates, now| {
            count.fetch_add(1, Ordering::Relaxed);
            let trust = Arc::clone(&seen.borrow());
            let verified = chain::verify(certificates, &trust, &domain("fleet.example"), now, &Checker)?;
            Ok(Peer { id: verified.leaf.id, not_after: verified.until })
        });
        let clock: Clock = {
            let later = Arc::clone(&later);
            Arc::new(move || now() + Duration::from_secs(later.load(Ordering::Relaxed)))
        };
        let check = Arc::new(PeerCheck::new(verify, trust.subscribe(), clock));
        Self { trust, check, pool: Pool::new(Arc::new(Boundless)), later, verified }
    }

    pub(in crate::proxy) fn configs(&self, credential: &Credential, hops: Hops) -> Configs {
        Configs::of(credential, &self.check, hops).unwrap()
    }
}

/// Two ends of a connection over loopback.
pub(in crate::proxy) async fn wire() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Red's client and server on one node that trusts red.
pub(in crate::proxy) struct Pair {
    pub(in crate::proxy) node: Node,
    pub(super) red: Authority,
    pub(in crate::proxy) client: Configs,
    pub(in crate::proxy) server: Configs,
}

impl Pair {
    pub(in crate::proxy) fn new(hops: Hops) -> Self {
        let red = Authority::new(RED);
        let node = Node::trusting(&[&red]);
        let (client, server) = (red.issue("client", 3_600), red.issue("server", 3_600));
        Self { client: node.configs(&client, hops), server: node.configs(&server, hops), node, red }
    }

    /// Shakes hands, whatever comes of it.
    pub(in crate::proxy) async fn meet(&self) -> (Result<Secured, TlsError>, Result<Secured, TlsError>) {
        meet(&self.client, &self.server, &self.node.pool).await
    }

    /// Shakes hands.
    pub(in crate::proxy) async fn met(&self) -> (Secured, Secured) {
        let (client, server) = self.meet().await;
        (client.unwrap(), server.unwrap())
    }

    /// Shakes hands, each end with buffers of its own.
    pub(in crate::proxy) async fn met_with(&self, near: &Arc<Pool>, far: &Arc<Pool>) -> (Secured, Secured) {
        let (client, server) = wire().await;
        let red = domain(RED);
        let to = Destination { address: ([10, 0, 0, 1], 15008).into(), trust_domain: &red };
        let (client, server) =
            tokio::join!(connect(client, &self.client, to, near), accept(server, &self.server, None, far));
        (client.unwrap(), server.unwrap())
    }
}

pub(super) async fn meet(
    client: &Configs,
    server: &Configs,
    pool: &Arc<Pool>,
) -> (Result<Secured, TlsError>, Result<Secured, TlsError>) {
    let (near, far) = wire().await;
    let red = domain(RED);
    let to = Destination { address: ([10, 0, 0, 1], 15008).into(), trust_domain: &red };
    tokio::join!(async { heard(connect(near, client, to, pool).await?).await }, async {
        heard(accept(far, server, None, pool).await?).await
    })
}

/// Waits a moment for what comes first: a ticket, or the alert of a peer that refuses us after our last word.
async fn heard(mut secured: Secured) -> Result<Secured, TlsError> {
    let first = std::future::poll_fn(|cx| secured.poll_plain(cx));
    match tokio::time::timeout(Duration::from_millis(100), first).await {
        Ok(Err(error)) => Err(error),
        _ => Ok(secured),
    }
}
