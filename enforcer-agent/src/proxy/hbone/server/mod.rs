//! The receiving end: one connection, whose requests become calls that somebody answers.

pub mod call;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::purse::Hold;
use super::vitals::Vitals;
use super::watched::{Role, Watched};
use super::windows::Windows;
use super::{CLIENT_HEADERS_MAX, Closed, FRAME_MAX, Limits, SEND_BUFFER, STREAMS_MAX};
use crate::proxy::tls::Purse;
use call::{Call, Malformed, STREAM_BYTES};

/// How long the last words of a connection may take.
const FAREWELL: Duration = Duration::from_secs(5);
/// Streams that were reset before anybody saw their requests.
const UNSEEN_RESETS_MAX: usize = 50;
/// Streams whose frames are ignored because we have reset them.
const OWN_RESETS_MAX: usize = 50;
/// Streams that a peer may break, over a connection's life.
const BROKEN_MAX: usize = 1024;

/// Who answers the calls of a connection.
pub trait Answer: Send + Sync + 'static {
    /// Answers one call, and carries its flow to the end. A call that is dropped unanswered is refused with 503.
    fn answer(&self, call: Call) -> impl Future<Output = ()> + Send;

    /// A request that was no call was refused.
    fn malformed(&self, malformed: Malformed);
}

/// Serves a connection to its end, and until every call on it was answered. Once `drain` is ready the peer is told with
/// GOAWAY, and so it is at `until`, when the first of the two certificates ends: streams that are open go on.
pub async fn serve<IO, A>(
    io: IO,
    answer: &Arc<A>,
    purse: &Arc<dyn Purse>,
    limits: Limits,
    until: Instant,
    drain: impl Future<Output = ()>,
) -> Closed
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answer,
{
    let Some((windows, _hold)) = Windows::paid_by(purse) else { return Closed::Busy };
    let vitals = Arc::new(Vitals::default());
    let io = Watched::new(io, Role::Server, Arc::clone(&vitals));
    let connection = match timeout(limits.first_request, builder(windows).handshake(io)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Closed::from(&error),
        Err(_) => return Closed::Silent,
    };
    let mut serving = Serving {
        connection,
        vitals,
        answer: Arc::clone(answer),
        purse: Arc::clone(purse),
        calls: JoinSet::new(),
        is_draining: false,
    };
    let drain = async {
        tokio::select! {
            () = drain => {}
            () = sleep_until(until) => {}
        }
    };
    let closed = serving.run(limits, drain).await;
    let Serving { connection, mut calls, .. } = serving;
    // Streams learn from this that there is nobody left.
    drop(connection);
    while calls.join_next().await.is_some() {}
    closed
}

fn builder(windows: Windows) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(CLIENT_HEADERS_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .max_concurrent_reset_streams(OWN_RESETS_MAX)
        .max_local_error_reset_streams(Some(BROKEN_MAX));
    builder
}

struct Serving<IO, A> {
    connection: Connection<Watched<IO>, Bytes>,
    vitals: Arc<Vitals>,
    answer: Arc<A>,
    purse: Arc<dyn Purse>,
    calls: JoinSet<()>,
    is_draining: bool,
}

impl<IO, A> Serving<IO, A>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    A: Answer,
{
    async fn run(&mut self, limits: Limits, drain: impl Future<Output = ()>) -> Closed {
        let vitals = Arc::clone(&self.vitals);
        let pings = self.connection.ping_pong();
        let mut silent = pin!(async {
            match pings {
                Some(pings) => vitals.silent(pings).await,
                None => std::future::pending().await,
            }
        });
        let mut drain = pin!(drain);
        let mut idle_at = Instant::now() + limits.first_request;
        let mut has_called = false;
        loop {
            tokio::select! {
                charge = vitals.charged() => {
                    self.connection.abrupt_shutdown(charge.reason());
                    self.farewell().await;
                    return charge.into();
                }
                () = &mut drain, if !self.is_draining => self.drain(),
                () = sleep_until(idle_at), if self.calls.is_empty() && !self.is_draining => {
                    if !has_called {
                        self.connection.abrupt_shutdown(Reason::NO_ERROR);
                        self.farewell().await;
                        return Closed::Silent;
                    }
                    self.drain();
                }
                () = &mut silent => return Closed::Silent,
                Some(_) = self.calls.join_next() => idle_at = Instant::now() + limits.idle,
                accepted = self.connection.accept() => match accepted {
                    Some(Ok((request, respond))) => {
                        has_called = true;
                        self.call(request, respond);
                    }
                    Some(Err(error)) => {
                        while self.calls.try_join_next().is_some() {}
                        let is_unused = self.calls.is_empty();
                        return if is_unused { Closed::unused(&error, self.is_draining) } else { Closed::from(&error) };
                    }
                    None if self.is_draining => return Closed::ByUs,
                    None => return Closed::ByPeer,
                },
            }
        }
    }

    /// The peer is told, and opens nothing more; what is open goes on.
    fn drain(&mut self) {
        self.is_draining = true;
        self.connection.graceful_shutdown();
    }

    async fn farewell(&mut self) {
        let closed = std::future::poll_fn(|cx| self.connection.poll_closed(cx));
        // Whether it got through or not, the connection is dropped.
        let _ = timeout(FAREWELL, closed).await;
    }

    fn call(&mut self, request: Request<RecvStream>, respond: h2::server::SendResponse<Bytes>) {
        let base = Hold::take(&self.purse, STREAM_BYTES);
        match Call::new(request, respond, &self.purse, base) {
            Ok(call) => {
                let answer = Arc::clone(&self.answer);
                self.calls.spawn(async move { answer.answer(call).await });
            }
            Err(malformed) => self.answer.malformed(malformed),
        }
    }
}
