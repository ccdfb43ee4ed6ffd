//! The network door's TLS settings, from files or from the identity wall: TLS 1.3 only, callers' certificates always asked for, no
//! resumption (a resumed session would not be checked against the list again).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::watch;

use super::ListenError;
use super::guests::Guests;
use super::verifier::{Doorkeeper, Issuers};
use crate::door::identity::VerifyPeer;

/// Certificates of one file.
const CERTIFICATES_MAX: usize = 64;

/// Where the agent's own certificate comes from.
#[derive(Clone, Debug)]
pub enum Own {
    /// From files, PEM.
    Files {
        /// The chain.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
    /// From the identity wall, which renews it.
    Wall(watch::Receiver<Option<Arc<CertifiedKey>>>),
}

/// Who vouches for callers.
#[derive(Clone)]
pub enum Callers {
    /// The authorities of a file, PEM.
    File(PathBuf),
    /// The bundles of the identity wall.
    Wall(VerifyPeer),
}

/// Where the material is, and who may call.
#[derive(Clone)]
pub struct TlsSource {
    /// The agent's certificate.
    pub own: Own,
    /// Who vouches for callers.
    pub callers: Callers,
    /// Who may call.
    pub guests: Guests,
}

impl TlsSource {
    /// Reads everything and puts it together.
    ///
    /// # Errors
    /// A file that cannot be read or used, or a key that others may read.
    pub fn load(&self) -> Result<Arc<ServerConfig>, ListenError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unusable = |error: rustls::Error| ListenError::Tls(error.to_string());
        let issuers = self.issuers(&provider)?;
        let doorkeeper =
            Doorkeeper::new(issuers, self.guests.clone(), provider.signature_verification_algorithms);
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_client_cert_verifier(Arc::new(doorkeeper));
        let mut config = match &self.own {
            Own::Files { certificate, key } => {
                builder.with_single_cert(certificates(certificate)?, self::key(key)?).map_err(unusable)?
            }
            Own::Wall(own) => builder.with_cert_resolver(Arc::new(Current(own.clone()))),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    fn issuers(&self, provider: &Arc<CryptoProvider>) -> Result<Issuers, ListenError> {
        let path = match &self.callers {
            Callers::Wall(verify) => return Ok(Issuers::Wall(Arc::clone(verify))),
            Callers::File(path) => path,
        };
        let mut roots = RootCertStore::empty();
        for authority in certificates(path)? {
            roots.add(authority).map_err(|error| ListenError::Tls(error.to_string()))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map(Issuers::File)
            .map_err(|error| ListenError::Tls(error.to_string()))
    }

    /// Changes when any of the files does.
    #[must_use]
    pub fn stamp(&self) -> Vec<Option<(u64, u64, SystemTime)>> {
        let mut files: Vec<&Path> = Vec::new();
        if let Own::Files { certificate, key } = &self.own {
            files.extend([certificate.as_path(), key.as_path()]);
        }
        if let Callers::File(path) = &self.callers {
            files.push(path);
        }
        let stamp = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
        };
        files.into_iter().map(stamp).collect()
    }
}

/// The identity wall's latest certificate, for each handshake anew.
#[derive(Debug)]
struct Current(watch::Receiver<Option<Arc<CertifiedKey>>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let wrong = |what: String| ListenError::Pem { path: path.display().to_string(), what };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| wrong(error.to_string()))?
        .take(CERTIFICATES_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    match found.len() {
        0 => Err(wrong("it holds no certificate".to_owned())),
        1..=CERTIFICATES_MAX => Ok(found),
        _ => Err(wrong(format!("it holds more than {CERTIFICATES_MAX} certificates"))),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, ListenError> {
    let metadata = fs::metadata(path).map_err(|error| ListenError::io("look at", path.display(), error))?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(ListenError::KeyPermissions { path: path.display().to_string(), mode });
    }
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| ListenError::Pem { path: path.display().to_string(), what: error.to_string() })
}
