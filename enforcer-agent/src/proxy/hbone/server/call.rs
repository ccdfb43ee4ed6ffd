//! One request to carry a flow.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use enforcer_core::proxy::hbone::authority::{Authority, HostName};
use enforcer_core::proxy::hbone::baggage::Baggage;
use enforcer_core::proxy::hbone::forwarded::Forwarded;
use enforcer_core::proxy::hbone::traceparent::Traceparent;
use enforcer_core::proxy::hbone::{BAGGAGE, FORWARDED, TRACEPARENT};
use h2::ext::Protocol;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use super::super::Carried;
use super::super::headers::hint;
use super::super::purse::Hold;
use crate::proxy::tls::Purse;

/// What a stream costs while nothing flows: its state, its headers, its task.
pub(in super::super) const STREAM_BYTES: usize = 8 * 1024;

/// What a request asks for, and what it says of itself: only the target is more than a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where the flow wants to go.
    pub authority: Authority,
    /// Where it comes from, as the peer says.
    pub source: Option<SocketAddr>,
    /// The service that was asked for, as the peer says.
    pub service: Option<HostName>,
    /// The trace it belongs to, as the peer says.
    pub trace: Option<Traceparent>,
    /// The workload it comes from, as the peer says.
    pub baggage: Baggage,
}

/// Why a request was no call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Not CONNECT: 400.
    Method,
    /// Extended CONNECT (RFC 8441), which was not offered: RST_STREAM with PROTOCOL_ERROR.
    Extended,
    /// No authority, or one that is no host and port: 400.
    Authority,
    /// It ends where the flow would begin: 400.
    Ended,
    /// The tenant's buffers are full: 503.
    Busy,
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The target is not the connection's own: 400.
    BadTarget,
    /// Policy says no: 401.
    Denied,
    /// Unknown host, a port of our own, nobody there, or no room: 503.
    Unavailable,
}

impl Refusal {
    /// The status that peers understand.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::BadTarget => StatusCode::BAD_REQUEST,
            Self::Denied => StatusCode::UNAUTHORIZED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// The peer has given up before it was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer has given up")]
pub struct Gone;

/// A request that waits for its answer.
pub struct Call {
    target: Target,
    waiting: Option<Waiting>,
}

struct Waiting {
    respond: SendResponse<Bytes>,
    recv: RecvStream,
    purse: Arc<dyn Purse>,
    base: Hold,
}

impl Call {
    pub(super) fn new(
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        purse: &Arc<dyn Purse>,
        base: Option<Hold>,
    ) -> Result<Self, Malformed> {
        let target = match target(&request) {
            Ok(target) => target,
            Err(Malformed::Extended) => {
                respond.send_reset(Reason::PROTOCOL_ERROR);
                return Err(Malformed::Extended);
            }
            Err(malformed) => {
                answer(&mut respond, StatusCode::BAD_REQUEST);
                return Err(malformed);
            }
        };
        let Some(base) = base else {
            answer(&mut respond, StatusCode::SERVICE_UNAVAILABLE);
            return Err(Malformed::Busy);
        };
        let waiting = Waiting { respond, recv: request.into_body(), purse: Arc::clone(purse), base };
        Ok(Self { target, waiting: Some(waiting) })
    }

    /// What is asked for.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Once the peer has given up: whoever connects for it need not go on.
    pub async fn gone(&mut self) -> Gone {
        if let Some(Waiting { respond, .. }) = &mut self.waiting {
            // A code or an error: either way there is nobody left to answer.
            let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
        }
        Gone
    }

    /// Answers with a status, and ends the stream.
    pub fn refuse(mut self, refusal: Refusal) {
        if let Some(Waiting { mut respond, .. }) = self.waiting.take() {
            answer(&mut respond, refusal.status());
        }
    }

    /// Answers 200, and says of the workload behind us what is to be said. Only for a target that has accepted.
    ///
    /// # Errors
    /// The peer has given up.
    pub fn accept(mut self, baggage: &Baggage) -> Result<Carried, Gone> {
        let Waiting { mut respond, recv, purse, base } = self.waiting.take().ok_or(Gone)?;
        let mut response = Response::new(());
        if let (false, Ok(value)) = (baggage.is_empty(), HeaderValue::try_from(baggage.to_string())) {
            response.headers_mut().insert(BAGGAGE, value);
        }
        let send = respond.send_response(response, false).map_err(|_| Gone)?;
        Ok(Carried { send, recv, purse, peer: Baggage::default(), _base: base, _lease: None })
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(Waiting { mut respond, .. }) = self.waiting.take() {
            answer(&mut respond, StatusCode::SERVICE_UNAVAILABLE);
        }
    }
}

fn answer(respond: &mut SendResponse<Bytes>, status: StatusCode) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    // Whoever has reset the stream has heard enough.
    let _ = respond.send_response(response, true);
}

fn target(request: &Request<RecvStream>) -> Result<Target, Malformed> {
    if request.method() != Method::CONNECT {
        return Err(Malformed::Method);
    }
    if request.extensions().get::<Protocol>().is_some() {
        return Err(Malformed::Extended);
    }
    let authority = request.uri().authority().and_then(|authority| authority.as_str().parse().ok());
    let authority = authority.ok_or(Malformed::Authority)?;
    if request.body().is_end_stream() {
        return Err(Malformed::Ended);
    }
    let headers = request.headers();
    let Forwarded { source, host: service } = hint(headers, FORWARDED).unwrap_or_default();
    let trace = hint(headers, TRACEPARENT);
    let baggage = hint(headers, BAGGAGE).unwrap_or_default();
    Ok(Target { authority, source, service, trace, baggage })
}
