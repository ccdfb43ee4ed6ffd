//! Flows over two ends of a tunnel on loopback.

mod bulk;
mod ends;
mod frames;
mod held;

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::proxy::native::Open;
use enforcer_core::proxy::trace::TraceId;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::*;
use crate::proxy::tls::tests::{NATIVE_ONLY, Pair, wire};
use crate::proxy::tls::{Pool, Secured};

pub(super) const LIMITS: Limits =
    Limits { accept: Duration::from_secs(5), half_close: Duration::from_millis(500) };

/// For flows that a busy machine may hold up.
pub(super) const PATIENT: Limits = Limits { half_close: Duration::from_secs(60), ..LIMITS };

pub(super) fn flow() -> Open {
    let trace = TraceId::new([7; 16]).unwrap();
    Open::new("10.0.0.1:40000".parse().unwrap(), "10.0.1.1:80".parse().unwrap(), trace).unwrap()
}

/// One end of a flow while it is carried; gives the connection back.
pub(super) type Carried = JoinHandle<(Ended<&'static str>, Secured, Arc<Traffic>)>;

/// An application at either end, and the two relays between them.
pub(super) struct Flow {
    pub(super) client: TcpStream,
    pub(super) server: TcpStream,
    pub(super) near: Carried,
    pub(super) far: Carried,
}

pub(super) async fn carry_client(
    local: TcpStream,
    mut secured: Secured,
    limits: Limits,
) -> (Ended<&'static str>, Secured, Arc<Traffic>) {
    let traffic = Arc::new(Traffic::default());
    open(&mut secured, &flow());
    let ended = relay(&local, &mut secured, Side::Client, &limits, &traffic, pending()).await;
    (ended, secured, traffic)
}

pub(super) async fn carry_server(
    local: TcpStream,
    mut secured: Secured,
    limits: Limits,
) -> (Ended<&'static str>, Secured, Arc<Traffic>) {
    let next = next_open::<&'static str>(&mut secured, Duration::from_secs(5)).await.unwrap();
    assert!(matches!(next, Next::Open(open) if open == flow()));
    let traffic = Arc::new(Traffic::default());
    accept(&mut secured);
    let ended = relay(&local, &mut secured, Side::Server, &limits, &traffic, pending()).await;
    (ended, secured, traffic)
}

impl Flow {
    /// Over these two ends of one connection.
    pub(super) async fn over(near: Secured, far: Secured, limits: Limits) -> Self {
        let ((client, intercepted), (handed, server)) = tokio::join!(wire(), wire());
        let near = tokio::spawn(carry_client(intercepted, near, limits));
        let far = tokio::spawn(carry_server(handed, far, limits));
        Self { client, server, near, far }
    }

    pub(super) async fn new(limits: Limits) -> Self {
        let (near, far) = Pair::new(NATIVE_ONLY).met().await;
        Self::over(near, far, limits).await
    }
}
