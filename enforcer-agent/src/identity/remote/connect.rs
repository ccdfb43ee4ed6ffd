//! A connection to the authority: mutual TLS with what the files hold at that moment.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use super::RemoteConfig;
use crate::door::library;
use crate::identity::custody::place::{Stamp, stamp};

/// How long connecting may take, TLS included.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How often a silent authority is asked whether it lives, and how long it may think about it.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// See [`KEEPALIVE_INTERVAL`].
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest PEM file.
const PEM_MAX_BYTES: u64 = 256 << 10;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("cannot read {path}: {error}")]
    File { path: PathBuf, error: io::Error },
    #[error("{path} has mode {mode:04o}: a private key may be readable for its owner and group at most")]
    Permissions { path: PathBuf, mode: u32 },
    #[error("the address {0:?} is not https://host:port")]
    Address(String),
    #[error("cannot connect: {0}")]
    Connect(String),
}

/// The state of certificate, key and authorities.
pub(super) type Stamps = [Stamp; 3];

/// Connects.
pub(super) async fn connect(config: &RemoteConfig) -> Result<Channel, ConnectError> {
    let (certificate, key, ca) = (read(&config.certificate)?, read_key(&config.key)?, read(&config.ca)?);
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(ca.as_slice()))
        .identity(Identity::from_pem(certificate.as_slice(), key.as_slice()));
    if let Some(name) = &config.server_name {
        tls = tls.domain_name(name);
    }
    let address = || ConnectError::Address(config.address.clone());
    if !config.address.starts_with("https://") {
        return Err(address());
    }
    let endpoint = Endpoint::from_shared(config.address.clone()).map_err(|_| address())?;
    library::choose();
    let endpoint = endpoint
        .connect_timeout(CONNECT_MAX)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .tls_config(tls)
        .map_err(|error| ConnectError::Connect(words(&error)))?;
    let connected = tokio::time::timeout(CONNECT_MAX, endpoint.connect()).await;
    let connected = connected.map_err(|_| ConnectError::Connect("no answer in time".to_owned()))?;
    connected.map_err(|error| ConnectError::Connect(words(&error)))
}

/// The state of the files.
pub(super) fn stamps(config: &RemoteConfig) -> Stamps {
    [&config.certificate, &config.key, &config.ca].map(|path| stamp(path))
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    let metadata = fs::metadata(path).map_err(|error| ConnectError::File { path: path.to_owned(), error })?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o027 != 0 {
        return Err(ConnectError::Permissions { path: path.to_owned(), mode });
    }
    read(path)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(PEM_MAX_BYTES).unwrap_or(0)));
    fs::File::open(path)
        .and_then(|file| file.take(PEM_MAX_BYTES).read_to_end(&mut text))
        .map_err(|error| ConnectError::File { path: path.to_owned(), error })?;
    Ok(text)
}

/// An error with its causes: the first of them only says "transport error".
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        words = format!("{words}: {next}");
        cause = next.source();
    }
    words
}
