//! `GET /metrics` over HTTP/1.1: on loopback, or with mutual TLS, or in plaintext where the operator insists.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls_pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::Collector;
use super::text::{Format, write};
use crate::door::accept::rest_after;
use crate::door::records::Scope;
use crate::door::stop::Stop;

/// Scrapers at once.
const CONNECTIONS_MAX: usize = 32;
/// How long a handshake, and the head of a request, may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a connection may stay: then its certificate is looked at anew.
const CONNECTION_MAX: Duration = Duration::from_secs(10 * 60);
/// How often certificates are read again.
const CERTIFICATES_EVERY: Duration = Duration::from_secs(30);
const REQUEST_MAX_BYTES: usize = 16 * 1024;
const HEADERS_MAX: usize = 64;
const PATH: &str = "/metrics";

/// Why there is no endpoint.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address cannot be had.
    #[error("cannot bind {address}: {error}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The certificates cannot be used.
    #[error("{0}")]
    Tls(String),
}

/// What a leaf lets its owner see; `None` for a stranger, and for one that was revoked.
type ScopeOf = Arc<dyn Fn(&CertificateDer<'_>) -> Option<Scope> + Send + Sync>;

/// Mutual TLS: how to load it, and what a caller's certificate lets them see.
#[derive(Clone)]
pub struct Tls {
    /// The latest certificates, and who is let in.
    pub load: Arc<dyn Fn() -> Result<Arc<ServerConfig>, String> + Send + Sync>,
    /// What a leaf lets its owner see; `None` for a stranger, and for one that was revoked.
    pub scope: ScopeOf,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(..)")
    }
}

/// The endpoint, open.
#[derive(Debug)]
pub struct MetricsDoor {
    listener: TcpListener,
    collector: Arc<Collector>,
    tls: Option<(Tls, TlsConfig)>,
}

/// rustls' own, which prints nothing.
type TlsConfig = Arc<ServerConfig>;

impl MetricsDoor {
    /// Loads the certificates, then opens the socket.
    ///
    /// # Errors
    /// The certificates cannot be used, or the address cannot be had.
    pub async fn open(
        address: SocketAddr,
        collector: Arc<Collector>,
        tls: Option<Tls>,
    ) -> Result<Self, MetricsError> {
        let tls = match tls {
            None => None,
            Some(tls) => {
                let config = (tls.load)().map_err(MetricsError::Tls)?;
                Some((tls, config))
            }
        };
        let listener =
            TcpListener::bind(address).await.map_err(|error| MetricsError::Bind { address, error })?;
        if tls.is_none() && !address.ip().is_loopback() {
            warn!(%address, "metrics are given in plaintext to whoever asks: `export.metrics.plaintext` is true");
        }
        Ok(Self { listener, collector, tls })
    }

    /// Where it listens: of use when port 0 was asked for.
    ///
    /// # Errors
    /// The kernel does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is told to stop.
    pub async fn run(mut self, mut stop: Stop) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        let mut poll = interval(CERTIFICATES_EVERY);
        loop {
            tokio::select! {
                () = stop.wait() => return,
                Some(_) = connections.join_next() => {}
                _ = poll.tick() => self.reload(),
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                            debug!(%from, "a scraper was dropped: too many at once");
                            continue;
                        };
                        let (collector, tls) = (Arc::clone(&self.collector), self.tls.clone());
                        connections.spawn(async move {
                            welcome(stream, from, tls, collector).await;
                            drop(place);
                        });
                    }
                    Err(error) => rest_after(&error).await,
                },
            }
        }
    }

    fn reload(&mut self) {
        let Some((tls, config)) = &mut self.tls else { return };
        match (tls.load)() {
            Ok(newer) => *config = newer,
            Err(error) => warn!(error, "new certificates for metrics cannot be used; the old ones stay"),
        }
    }
}

async fn welcome(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<(Tls, TlsConfig)>,
    collector: Arc<Collector>,
) {
    let Some((tls, config)) = tls else {
        return serve(stream, from, collector, || Some(Scope::Everything)).await;
    };
    match timeout(HANDSHAKE_MAX, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => {
            let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
            let Some(leaf) = leaf.map(|leaf| leaf.clone().into_owned()) else { return };
            serve(stream, from, collector, move || (tls.scope)(&leaf)).await;
        }
        Ok(Err(error)) => info!(%from, %error, "a scraper was refused"),
        Err(_) => debug!(%from, "no handshake with a scraper in time"),
    }
}

/// Who may see what is asked at each request: they may have been revoked meanwhile.
async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    from: SocketAddr,
    collector: Arc<Collector>,
    scope: impl Fn() -> Option<Scope>,
) {
    let scope = &scope;
    let service = service_fn(move |request: Request<Incoming>| {
        let collector = Arc::clone(&collector);
        async move { Ok::<_, Infallible>(answer(&request, scope(), &collector).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HANDSHAKE_MAX)
        .max_buf_size(REQUEST_MAX_BYTES)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(CONNECTION_MAX, connection).await {
        debug!(%from, %error, "a scraper's connection ended");
    }
}

async fn answer<B>(
    request: &Request<B>,
    scope: Option<Scope>,
    collector: &Collector,
) -> Response<Full<Bytes>> {
    let Some(scope) = scope else { return plain(StatusCode::FORBIDDEN, "permission denied\n") };
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let accepted = request.headers().get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::wanted(&accepted.collect::<Vec<_>>().join(","));
    let text = write(&collector.families(&scope).await, format);
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
