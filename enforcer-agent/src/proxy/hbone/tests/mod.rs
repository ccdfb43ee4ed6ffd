//! HBONE against the HTTP/2 library on the other end, and against frames written by hand.

mod bounds;
mod floods;
mod frames;
mod pool;
mod raw;
mod relays;
mod statuses;
mod vitality;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::proxy::hbone::authority::Authority;
use enforcer_core::proxy::hbone::baggage::Baggage;
use h2::client::SendRequest;
use http::{Method, Request, Uri};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::relay::{Ended, relay};
use super::server::call::{Call, Malformed, Refusal, Target};
use super::server::{Answer, serve};
use super::{Carried, Closed, Limits};
use crate::proxy::native::Traffic;
use crate::proxy::tls::Purse;

const LIMITS: Limits = Limits { first_request: Duration::from_secs(10), idle: Duration::from_secs(300) };
const HALF_CLOSE: Duration = Duration::from_secs(30);
/// What no test needs as long for.
const PATIENCE: Duration = Duration::from_secs(20);

/// So many bytes, and the most that were ever taken.
struct Bounded {
    left: Mutex<usize>,
    all: usize,
    most: AtomicUsize,
}

impl Bounded {
    fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: Mutex::new(bytes), all: bytes, most: AtomicUsize::new(0) })
    }

    fn taken(&self) -> usize {
        self.all - *self.left.lock().unwrap()
    }
}

impl Purse for Bounded {
    fn take(&self, bytes: usize) -> bool {
        let mut left = self.left.lock().unwrap();
        let Some(rest) = left.checked_sub(bytes) else { return false };
        *left = rest;
        self.most.fetch_max(self.all - rest, Ordering::Relaxed);
        true
    }

    fn give(&self, bytes: usize) {
        *self.left.lock().unwrap() += bytes;
    }
}

/// Answers by the port that is asked for, and carries what is accepted to one backend.
struct Script {
    backend: Option<SocketAddr>,
    /// Permission to answer 200.
    may_accept: Semaphore,
    malformed: Mutex<Vec<Malformed>>,
    targets: Mutex<Vec<Target>>,
    ended: mpsc::UnboundedSender<(Ended<()>, Arc<Traffic>)>,
    half_close: Duration,
}

/// Ports with an answer of their own.
const BAD_TARGET: u16 = 400;
const DENIED: u16 = 401;
const UNAVAILABLE: u16 = 503;
const DROPPED: u16 = 5;

impl Answer for Script {
    async fn answer(&self, mut call: Call) {
        self.targets.lock().unwrap().push(call.target().clone());
        match call.target().authority.port.get() {
            BAD_TARGET => return call.refuse(Refusal::BadTarget),
            DENIED => return call.refuse(Refusal::Denied),
            UNAVAILABLE => return call.refuse(Refusal::Unavailable),
            DROPPED => return,
            _ => {}
        }
        let permission = tokio::select! {
            permission = self.may_accept.acquire() => permission.unwrap(),
            _ = call.gone() => return,
        };
        permission.forget();
        let Some(backend) = self.backend else { return call.refuse(Refusal::Unavailable) };
        let Ok(local) = TcpStream::connect(backend).await else { return call.refuse(Refusal::Unavailable) };
        let baggage: Baggage = "k8s.namespace.name=there".parse().unwrap();
        let Ok(carried) = call.accept(&baggage) else { return };
        let traffic = Arc::new(Traffic::default());
        let ended = relay(&local, carried, self.half_close, &traffic, std::future::pending()).await;
        let _ = self.ended.send((ended, traffic));
    }

    fn malformed(&self, malformed: Malformed) {
        self.malformed.lock().unwrap().push(malformed);
    }
}

/// A server on one end of a pipe.
struct Server {
    script: Arc<Script>,
    purse: Arc<Bounded>,
    ended: mpsc::UnboundedReceiver<(Ended<()>, Arc<Traffic>)>,
    drain: Option<tokio::sync::oneshot::Sender<()>>,
    closed: JoinHandle<Closed>,
}

struct ServerSetup {
    backend: Option<SocketAddr>,
    permissions: usize,
    limits: Limits,
    half_close: Duration,
    purse: usize,
    lifetime: Duration,
}

impl Default for ServerSetup {
    fn default() -> Self {
        Self {
            backend: None,
            permissions: 1_000_000,
            limits: LIMITS,
            half_close: HALF_CLOSE,
            purse: 1 << 30,
            lifetime: Duration::from_secs(24 * 3600),
        }
    }
}

impl ServerSetup {
    fn to(backend: SocketAddr) -> Self {
        Self { backend: Some(backend), ..Self::default() }
    }

    fn serve(self) -> (DuplexStream, Server) {
        let (near, far) = duplex(256 * 1024);
        (near, self.serve_on(far))
    }

    fn serve_on<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, io: IO) -> Server {
        let (tell, ended) = mpsc::unbounded_channel();
        let script = Arc::new(Script {
            backend: self.backend,
            may_accept: Semaphore::new(self.permissions),
            malformed: Mutex::default(),
            targets: Mutex::default(),
            ended: tell,
            half_close: self.half_close,
        });
        let purse = Bounded::new(self.purse);
        let (drain, draining) = tokio::sync::oneshot::channel();
        let until = Instant::now() + self.lifetime;
        let (answer, pays) = (Arc::clone(&script), Arc::clone(&purse) as Arc<dyn Purse>);
        let closed = tokio::spawn(async move {
            let draining = async move {
                if draining.await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            serve(io, &answer, &pays, self.limits, until, draining).await
        });
        Server { script, purse, ended, drain: Some(drain), closed }
    }
}

impl Server {
    fn drain(&mut self) {
        self.drain.take().unwrap().send(()).unwrap();
    }

    async fn closed(self) -> Closed {
        soon(self.closed).await.unwrap()
    }
}

/// What must come soon.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("in time")
}

/// The HTTP/2 library as client, its connection driven.
async fn client(io: DuplexStream) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = h2::client::handshake(io).await.unwrap();
    (sender, tokio::spawn(connection))
}

fn connect(authority: &str) -> Request<()> {
    let authority: http::uri::Authority = authority.parse().unwrap();
    Request::builder().method(Method::CONNECT).uri(Uri::from(authority)).body(()).unwrap()
}

/// A stream of the library, accepted.
async fn open(sender: &SendRequest<Bytes>, authority: &str) -> (h2::SendStream<Bytes>, h2::RecvStream) {
    let mut sender = sender.clone().ready().await.unwrap();
    let (response, send) = sender.send_request(connect(authority), false).unwrap();
    let response = soon(response).await.unwrap();
    assert_eq!(response.status(), 200);
    (send, response.into_body())
}

/// A listener on loopback, and its address.
async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Two ends of a TCP connection.
async fn tcp() -> (TcpStream, TcpStream) {
    let (listener, address) = listener().await;
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

fn authority(text: &str) -> Authority {
    text.parse().unwrap()
}

/// Bytes in which no two places within a megabyte look alike.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(length)
    .collect()
}
