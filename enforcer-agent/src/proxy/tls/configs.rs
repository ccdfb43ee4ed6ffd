//! rustls' configurations of one credential, both sides, computed once: a connection takes an `Arc`, a rotation
//! makes new ones, and with them begins anew what is resumed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::cipher_suite::{TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
use rustls::crypto::aws_lc_rs::kx_group::{SECP256R1, SECP384R1, X25519};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};

use super::check::PeerCheck;
use super::sessions::Sessions;
use super::verifier::Verifier;
use crate::door::tunnel::Credential;

/// Sessions that a server remembers, of all its clients together.
const SERVER_SESSIONS_MAX: usize = 512;

/// ALPN of our own hop.
pub(super) const NATIVE: &[u8] = b"enforcer/1";
/// ALPN of HBONE.
pub(super) const HBONE: &[u8] = b"h2";

/// Which hops are offered and taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hops {
    /// Our own.
    pub native: bool,
    /// HTTP/2 CONNECT.
    pub hbone: bool,
}

impl Hops {
    fn alpn(self) -> Vec<Vec<u8>> {
        let hops = [(self.native, NATIVE), (self.hbone, HBONE)];
        hops.into_iter().filter(|(is_on, _)| *is_on).map(|(_, name)| name.to_vec()).collect()
    }
}

/// What a workload's connections are made with.
pub struct Configs {
    pub(super) id: SpiffeId,
    pub(super) serial: String,
    pub(super) not_after: Duration,
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    pub(super) check: Arc<PeerCheck>,
}

impl Configs {
    /// Computes both sides' configurations.
    ///
    /// # Errors
    /// The TLS library cannot do what we ask of it.
    pub fn of(credential: &Credential, check: &Arc<PeerCheck>, hops: Hops) -> Result<Self, rustls::Error> {
        let provider = Arc::new(provider());
        let verifier = Arc::new(Verifier::new(Arc::clone(check), provider.signature_verification_algorithms));
        let key = Arc::new(SingleCertAndKey::from(Arc::clone(&credential.key)));
        let mut client = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as _)
            .with_client_cert_resolver(Arc::clone(&key) as _);
        client.alpn_protocols = hops.alpn();
        client.enable_sni = false;
        client.enable_early_data = false;
        client.enable_secret_extraction = true;
        client.resumption = Resumption::store(Arc::new(Sessions::default()));
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(key as Arc<dyn ResolvesServerCert>);
        // rustls takes the first of these that the client has too.
        server.alpn_protocols = hops.alpn();
        server.enable_secret_extraction = true;
        server.max_early_data_size = 0;
        server.send_half_rtt_data = false;
        server.session_storage = ServerSessionMemoryCache::new(SERVER_SESSIONS_MAX);
        // Each connection, new or resumed, brings a ticket, and each resumption uses one up.
        server.send_tls13_tickets = 1;
        Ok(Self {
            id: credential.id.clone(),
            serial: credential.serial.clone(),
            not_after: credential.not_after,
            client: Arc::new(client),
            server: Arc::new(server),
            check: Arc::clone(check),
        })
    }

    /// Whose they are.
    #[must_use]
    pub const fn id(&self) -> &SpiffeId {
        &self.id
    }

    /// Serial number of the leaf, hexadecimal.
    #[must_use]
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// When the certificate ends, since the Unix epoch.
    #[must_use]
    pub const fn not_after(&self) -> Duration {
        self.not_after
    }

    pub(super) fn takes_hbone(&self) -> bool {
        self.server.alpn_protocols.iter().any(|protocol| protocol == HBONE)
    }
}

impl fmt::Debug for Configs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configs").field("id", &self.id).field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// The suites and groups that ztunnel and we have in common, the cheapest first.
fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384],
        kx_groups: vec![X25519, SECP256R1, SECP384R1],
        ..aws_lc_rs::default_provider()
    }
}
