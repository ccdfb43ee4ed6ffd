//! The network door's TLS settings from its files: TLS 1.3 only, callers' certificates always asked for, no
//! resumption (a resumed session would not be checked against the list again).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use enforcer_core::identity::spiffe_id::SpiffeId;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};

use super::ListenError;
use super::verifier::AllowedCallers;

/// Certificates of one file.
const CERTIFICATES_MAX: usize = 64;

/// Where the material is, and who may call.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The agent's certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of callers.
    pub client_ca: PathBuf,
    /// Who may call.
    pub allowed: BTreeSet<SpiffeId>,
}

impl TlsFiles {
    /// Reads everything and puts it together.
    ///
    /// # Errors
    /// A file that cannot be read or used, or a key that others may read.
    pub fn load(&self) -> Result<Arc<ServerConfig>, ListenError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let unusable = |error: &dyn std::fmt::Display| ListenError::Tls(error.to_string());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.client_ca)? {
            roots.add(authority).map_err(|error| unusable(&error))?;
        }
        let issuers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unusable(&error))?;
        let callers = AllowedCallers::new(issuers, self.allowed.clone());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(|error| unusable(&error))?
            .with_client_cert_verifier(Arc::new(callers))
            .with_single_cert(certificates(&self.certificate)?, key(&self.key)?)
            .map_err(|error| unusable(&error))?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }

    /// Changes when any of the files does.
    #[must_use]
    pub fn stamp(&self) -> [Option<(u64, u64, SystemTime)>; 3] {
        [&self.certificate, &self.key, &self.client_ca].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
        })
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
