//! The https_web federation endpoint (SPIFFE Federation; F-1): bundles of listed trust domains, for anybody (F-3),
//! over HTTPS with a certificate of the public web (F-2). It must not know workloads, nor any private key but
//! its own.

mod answer;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt::{self, Debug};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use enforcer_core::identity::bundle::{Bundle, Trust};
use enforcer_core::identity::trust_domain::TrustDomain;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use self::answer::answer;
pub use self::tls::CertificateError;
use self::tls::Files;
use super::limits::{
    FEDERATION_CERTIFICATE_POLL, FEDERATION_CONNECTION_MAX, FEDERATION_CONNECTIONS_MAX,
    FEDERATION_HANDSHAKE_MAX, FEDERATION_HEADERS_MAX, FEDERATION_REQUEST_MAX_BYTES,
};
use crate::door::accept::rest_after;
use crate::door::stop::Stop;

/// Why the endpoint could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// The address cannot be had.
    #[error("cannot bind {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Its certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
}

/// The endpoint, open.
#[derive(Debug)]
pub struct FederationDoor {
    listener: TcpListener,
    files: Files,
    config: Arc<ServerConfig>,
}

/// What it publishes.
#[derive(Clone)]
pub struct Publication {
    /// Trust domains that the configuration lists; no other is published.
    pub published: BTreeSet<TrustDomain>,
    /// The one whose bundle is at `/`.
    pub fleet: TrustDomain,
    /// Bundles, now and whenever they change.
    pub trust: watch::Receiver<Arc<Trust>>,
    /// A bundle as a JWK Set, with its sequence and its refresh hint (B-1 to B-3).
    pub write: fn(&Bundle) -> String,
}

impl FederationDoor {
    /// Reads the certificate, then opens the socket.
    ///
    /// # Errors
    /// The certificate cannot be used, or the address cannot be had.
    pub async fn open(
        address: SocketAddr,
        certificate: PathBuf,
        key: PathBuf,
    ) -> Result<Self, FederationError> {
        let files = Files { certificate, key };
        let config = files.load()?;
        let listener =
            TcpListener::bind(address).await.map_err(|error| FederationError::Bind { address, error })?;
        Ok(Self { listener, files, config })
    }

    /// Where it listens: of use when port 0 was asked for.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is told to stop. A new certificate is taken up when its files change; they are looked at
    /// on a timer, because events are missed.
    pub async fn run(mut self, publication: Publication, mut stop: Stop) {
        let publication = Arc::new(publication);
        let places = Arc::new(Semaphore::new(FEDERATION_CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        let mut stamp = self.files.stamp();
        let mut poll = interval(FEDERATION_CERTIFICATE_POLL);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                Some(_) = connections.join_next() => {}
                _ = poll.tick() => self.reload(&mut stamp),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                            debug!(%from, "federation connection dropped: too many at once");
                            continue;
                        };
                        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
                        let publication = Arc::clone(&publication);
                        connections.spawn(async move {
                            serve(stream, from, acceptor, publication).await;
                            drop(place);
                        });
                    }
                    Err(error) => rest_after(&error).await,
                },
            }
        }
    }

    fn reload(&mut self, stamp: &mut tls::Stamps) {
        let seen = self.files.stamp();
        if seen == *stamp {
            return;
        }
        *stamp = seen;
        match self.files.load() {
            Ok(config) => {
                self.config = config;
                info!("the federation endpoint's certificate was read again");
            }
            Err(error) => {
                warn!(%error, "the federation endpoint's new certificate cannot be used; the old one stays")
            }
        }
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, acceptor: TlsAcceptor, publication: Arc<Publication>) {
    let stream = match timeout(FEDERATION_HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return debug!(%from, %error, "no handshake with the federation endpoint"),
        Err(_) => return debug!(%from, "no handshake with the federation endpoint in time"),
    };
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let response = answer(&request, &publication);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(FEDERATION_HANDSHAKE_MAX)
        .max_buf_size(FEDERATION_REQUEST_MAX_BYTES)
        .max_headers(FEDERATION_HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(FEDERATION_CONNECTION_MAX, connection).await {
        debug!(%from, %error, "federation connection ended");
    }
}

impl Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication").field("published", &self.published).finish_non_exhaustive()
    }
}
