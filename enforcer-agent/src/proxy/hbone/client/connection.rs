//! One connection of ours, and the task that keeps it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::proxy::hbone::BAGGAGE;
use h2::client::{Builder, Connection, SendRequest};
use http::{Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::super::headers::hint;
use super::super::purse::Hold;
use super::super::server::call::STREAM_BYTES;
use super::super::vitals::Vitals;
use super::super::watched::{Role, Watched};
use super::super::windows::Windows;
use super::super::{Carried, Closed, FRAME_MAX, OWN_STREAMS_MAX, SEND_BUFFER, SERVER_HEADERS_MAX};
use crate::proxy::tls::Purse;

/// Streams whose frames are ignored because we have reset them.
const OWN_RESETS_MAX: usize = 50;
/// Streams that a peer may break, over a connection's life.
const BROKEN_MAX: usize = 1024;

/// A connection as the pool sees it.
pub(super) struct Shared {
    /// `None` once nothing more is opened on it: HTTP/2 then closes it behind the last stream.
    sender: Mutex<Option<SendRequest<Bytes>>>,
    active: AtomicUsize,
    is_over: AtomicBool,
    /// A stream has ended, or the connection is to be closed.
    changed: Notify,
    /// When the first of the two certificates ends.
    until: Instant,
    purse: Arc<dyn Purse>,
    vitals: Arc<Vitals>,
    closed: OnceLock<Closed>,
}

/// A place on a connection.
pub(in super::super) struct Lease(Arc<Shared>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// Why a call was not carried.
#[derive(Debug)]
pub(super) enum CallError {
    /// The connection takes no more calls, and has not looked at this one.
    Unprocessed,
    /// The peer answered with another status than 200.
    Status(StatusCode),
    /// The tenant's buffers are full.
    Busy,
    /// The request or its connection failed.
    Failed(Closed),
}

impl Shared {
    /// A place, if a call can be opened now.
    pub(super) fn lease(self: &Arc<Self>) -> Option<Lease> {
        if self.is_over() {
            return None;
        }
        let most = self.places()?;
        let taken = self.active.fetch_update(Ordering::AcqRel, Ordering::Acquire, |active| {
            (active < most).then_some(active + 1)
        });
        taken.ok().map(|_| Lease(Arc::clone(self)))
    }

    fn places(&self) -> Option<usize> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().map(|sender| sender.current_max_send_streams().min(OWN_STREAMS_MAX))
    }

    /// Whether nothing more is opened on it.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire) || Instant::now() >= self.until
    }

    /// Whether it has no stream.
    pub(super) fn is_idle(&self) -> bool {
        self.active.load(Ordering::Acquire) == 0
    }

    /// Opens nothing more; what is open goes on.
    pub(super) fn retire(&self) {
        self.is_over.store(true, Ordering::Release);
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.changed.notify_one();
    }

    /// Once it is known how many streams the peer takes.
    ///
    /// # Errors
    /// The connection has ended.
    pub(super) async fn greeted(&self) -> Result<(), Closed> {
        self.vitals.greeted().await;
        self.closed.get().copied().map_or(Ok(()), Err)
    }

    fn sender(&self) -> Option<SendRequest<Bytes>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens a stream on the place that was leased.
    pub(super) async fn call(&self, lease: Lease, request: Request<()>) -> Result<Carried, CallError> {
        let base = Hold::take(&self.purse, STREAM_BYTES).ok_or(CallError::Busy)?;
        let mut sender = self.sender().ok_or(CallError::Unprocessed)?;
        poll_fn(|cx| sender.poll_ready(cx)).await.map_err(|error| self.failed(&error))?;
        let (response, send) = sender.send_request(request, false).map_err(|error| self.failed(&error))?;
        drop(sender);
        let response = response.await.map_err(|error| self.failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(CallError::Status(response.status()));
        }
        let (parts, recv) = response.into_parts();
        let peer = hint(&parts.headers, BAGGAGE).unwrap_or_default();
        let purse = Arc::clone(&self.purse);
        Ok(Carried { send, recv, purse, peer, _base: base, _lease: Some(lease) })
    }

    /// What the peer did not look at can be asked again elsewhere (RFC 9113, section 8.7).
    fn failed(&self, error: &h2::Error) -> CallError {
        let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
        let is_going =
            error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
        if is_going {
            self.retire();
        }
        if is_refused || is_going { CallError::Unprocessed } else { CallError::Failed(error.into()) }
    }
}

/// Begins a connection: what the pool sees, and what its task is to run.
pub(super) async fn begin<IO>(
    io: IO,
    until: Instant,
    idle: Duration,
    purse: Arc<dyn Purse>,
) -> Result<(Arc<Shared>, impl Future<Output = Closed> + Send), Closed>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (windows, hold) = Windows::paid_by(&purse).ok_or(Closed::Busy)?;
    let vitals = Arc::new(Vitals::default());
    let io = Watched::new(io, Role::Client, Arc::clone(&vitals));
    let (sender, connection) = builder(windows).handshake(io).await.map_err(|error| Closed::from(&error))?;
    let shared = Arc::new(Shared {
        sender: Mutex::new(Some(sender)),
        active: AtomicUsize::new(0),
        is_over: AtomicBool::new(false),
        changed: Notify::new(),
        until,
        purse,
        vitals,
        closed: OnceLock::new(),
    });
    let keeping = Arc::clone(&shared);
    let task = async move {
        let _hold = hold;
        let closed = keep(connection, &keeping, idle).await;
        keeping.retire();
        // Nobody else sets it.
        let _ = keeping.closed.set(closed);
        keeping.vitals.greet();
        closed
    };
    Ok((shared, task))
}

fn builder(windows: Windows) -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_max_send_streams(OWN_STREAMS_MAX)
        .initial_window_size(windows.stream)
        .initial_connection_window_size(windows.connection)
        .max_frame_size(FRAME_MAX)
        .max_header_list_size(SERVER_HEADERS_MAX)
        .max_send_buffer_size(SEND_BUFFER)
        .max_concurrent_reset_streams(OWN_RESETS_MAX)
        .max_local_error_reset_streams(Some(BROKEN_MAX));
    builder
}

async fn keep<IO>(mut connection: Connection<Watched<IO>, Bytes>, shared: &Shared, idle: Duration) -> Closed
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let vitals = &shared.vitals;
    let pings = connection.ping_pong();
    let mut connection = pin!(connection);
    let mut silent = pin!(async {
        match pings {
            Some(pings) => vitals.silent(pings).await,
            None => std::future::pending().await,
        }
    });
    let mut idle_at = Instant::now() + idle;
    loop {
        let is_over = shared.is_over();
        tokio::select! {
            // Whoever has just ended a stream is heard before the clock.
            biased;
            ended = &mut connection => return match ended {
                Ok(()) if is_over => Closed::ByUs,
                Ok(()) => Closed::ByPeer,
                Err(error) if shared.is_idle() => Closed::unused(&error, is_over),
                Err(error) => Closed::from(&error),
            },
            // The library lets no client say why.
            charge = vitals.charged() => return charge.into(),
            () = &mut silent => return Closed::Silent,
            () = shared.changed.notified() => idle_at = Instant::now() + idle,
            () = sleep_until(shared.until), if !shared.is_over.load(Ordering::Acquire) => shared.retire(),
            () = sleep_until(idle_at), if !is_over => {
                if shared.is_idle() {
                    shared.retire();
                }
                idle_at = Instant::now() + idle;
            }
        }
    }
}
