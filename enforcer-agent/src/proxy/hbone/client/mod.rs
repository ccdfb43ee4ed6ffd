//! The sending end: calls on pooled connections.

mod connection;
pub mod pool;

use std::net::SocketAddr;

use enforcer_core::proxy::hbone::authority::Authority;
use enforcer_core::proxy::hbone::baggage::Baggage;
use enforcer_core::proxy::hbone::forwarded::Forwarded;
use enforcer_core::proxy::hbone::traceparent::Traceparent;
use enforcer_core::proxy::hbone::{BAGGAGE, FORWARDED, TRACEPARENT};
use http::uri::{Authority as UriAuthority, Uri};
use http::{HeaderValue, Method, Request};

pub(super) use connection::Lease;

/// What a call asks for, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where the flow wants to go.
    pub authority: Authority,
    /// Where it comes from.
    pub source: SocketAddr,
    /// The workload it comes from.
    pub baggage: Baggage,
    /// The trace it belongs to.
    pub trace: Option<Traceparent>,
}

impl Outgoing {
    /// RFC 9113, section 8.5: no scheme and no path.
    fn request(&self) -> Result<Request<()>, http::Error> {
        let Self { authority, source, baggage, trace } = self;
        let authority: UriAuthority = authority.to_string().parse()?;
        let mut request = Request::new(());
        *request.method_mut() = Method::CONNECT;
        *request.uri_mut() = Uri::from(authority);
        let forwarded = Forwarded { source: Some(*source), host: None };
        let headers = request.headers_mut();
        headers.insert(FORWARDED, HeaderValue::try_from(forwarded.to_string())?);
        if !baggage.is_empty() {
            headers.insert(BAGGAGE, HeaderValue::try_from(baggage.to_string())?);
        }
        if let Some(trace) = trace {
            headers.insert(TRACEPARENT, HeaderValue::try_from(trace.to_string())?);
        }
        Ok(request)
    }
}
