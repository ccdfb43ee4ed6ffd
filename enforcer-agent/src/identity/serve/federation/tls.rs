//! The endpoint's certificate and key, from files that somebody else renews.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::identity::custody::place::{Stamp, stamp};

/// Certificates of one chain.
const CHAIN_MAX: usize = 16;

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}")]
    File {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A file holds nothing of what it should.
    #[error("{path}: {what}")]
    Pem {
        /// Which.
        path: String,
        /// What is missing or wrong.
        what: String,
    },
    /// The key can be read by others.
    #[error("{path} has mode {mode:04o}: a private key may be readable for its owner and group at most")]
    KeyPermissions {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// The two do not go together.
    #[error("the federation endpoint's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Where they are.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// Changes when a file does.
pub(super) type Stamps = [Stamp; 2];

impl Files {
    /// Reads both.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain(&self.certificate)?, key(&self.key)?)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    pub(super) fn stamp(&self) -> Stamps {
        [&self.certificate, &self.key].map(|path| stamp(path))
    }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let wrong = |what: String| CertificateError::Pem { path: path.display().to_string(), what };
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| wrong(error.to_string()))?
        .take(CHAIN_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    match found.len() {
        0 => Err(wrong("it holds no certificate".to_owned())),
        1..=CHAIN_MAX => Ok(found),
        _ => Err(wrong(format!("it holds more than {CHAIN_MAX} certificates"))),
    }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, CertificateError> {
    let place = || path.display().to_string();
    let metadata = fs::metadata(path).map_err(|error| CertificateError::File { path: place(), error })?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(CertificateError::KeyPermissions { path: place(), mode });
    }
    PrivateKeyDer::from_pem_file(path)
        .map_err(|error| CertificateError::Pem { path: place(), what: error.to_string() })
}
