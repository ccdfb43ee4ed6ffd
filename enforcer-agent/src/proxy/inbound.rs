//! A connection of another agent, or of whoever speaks as one, to a workload of this node: handshake → identify →
//! register → authorize → connect → tunnel.

use std::net::SocketAddr;
use std::sync::Arc;

use enforcer_common::reason;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::{Inbound, Parties, Permit, Refusal};
use enforcer_core::proxy::hbone::authority::Host;
use enforcer_core::proxy::hbone::baggage::Baggage;
use enforcer_core::proxy::native::{Open, RefuseCode};
use enforcer_core::proxy::tenant_of;
use enforcer_core::proxy::trace::TraceId;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::dial::{self, Failed};
use super::flow::{Registered, met};
use super::hbone::server::call::{Call, Malformed, Refusal as Status};
use super::hbone::server::{Answer, serve};
use super::hbone::{Closed, Limits};
use super::native::{self, Ended, Next, Side};
use super::outbound::seen;
use super::post::{ConnectError, Namespace, connect_in};
use super::registry::{Direction, Flow, Hop};
use super::shared::{Shared, Tenant};
use super::tls::{self, Configs, Facts, Secured};
use super::{chance, record};
use crate::door::stop::Stop;

/// Takes up a connection to a workload's tunnel port.
pub(super) async fn receive(
    shared: Arc<Shared>,
    workload: Name,
    namespace: Namespace,
    stream: TcpStream,
    from: SocketAddr,
) {
    let Some(guest) = Guest::of(shared, workload, namespace, &stream, from) else { return };
    let secured = match guest.shake(stream).await {
        Ok(secured) => secured,
        Err(failed) => return guest.refuse(&failed.into()),
    };
    let guest = Arc::new(guest);
    match secured.facts().hop {
        tls::Hop::Native => guest.native(secured).await,
        tls::Hop::Hbone => guest.hbone(secured).await,
    }
}

/// A connection that arrived for a workload.
struct Guest {
    shared: Arc<Shared>,
    tenant: Arc<Tenant>,
    configs: Arc<Configs>,
    own: Name,
    workload: Name,
    namespace: Namespace,
    from: SocketAddr,
    at: SocketAddr,
}

impl Guest {
    fn of(
        shared: Arc<Shared>,
        workload: Name,
        namespace: Namespace,
        stream: &TcpStream,
        from: SocketAddr,
    ) -> Option<Self> {
        let at = stream.local_addr().ok()?;
        let court = shared.registry.court();
        let name = Arc::clone(&court.policy().workloads.get(&workload)?.tenant);
        let tenant = shared.tenant(&name)?;
        let refuse = |failed: Failed| {
            let tunnel = record::unknown(Direction::Inbound.word(), from, at);
            shared.refuse(&tenant, Direction::Inbound, tunnel, &failed.into());
        };
        let Some(configs) = shared.configs(&workload) else {
            refuse(Failed::new(reason::TUNNEL_NOT_READY, format!("workload {workload} has no certificate")));
            return None;
        };
        let Some(own) = tenant_of(configs.id(), &shared.fleet).map(Name::from) else {
            refuse(Failed::new(reason::TUNNEL_IDENTITY, format!("{} is of no tenant", configs.id())));
            return None;
        };
        if let Err(over) = tenant.share.handshake() {
            refuse(Failed::new(reason::TUNNEL_BUDGET, over));
            return None;
        }
        Some(Self { tenant, configs, own, workload, namespace, from, at, shared })
    }

    async fn shake(&self, stream: TcpStream) -> Result<Secured, Failed> {
        let _shaking =
            self.tenant.share.shaking().map_err(|over| Failed::new(reason::TUNNEL_BUDGET, over))?;
        let patience = self.shared.settings.handshake_timeout;
        let shaken = tls::accept(stream, &self.configs, None, &self.tenant.pool);
        let outcome = match timeout(patience, shaken).await {
            Ok(outcome) => outcome.map_err(|error| Failed::from(&error)),
            Err(_) => Err(Failed::new(reason::TUNNEL_PROTOCOL, "the TLS handshake took too long")),
        };
        dial::count(&self.shared, &self.tenant, Direction::Inbound, outcome.as_ref().ok());
        if let Ok(secured) = &outcome
            && let Ok(met) = met(&self.shared, secured.facts(), Hop::Native, false)
        {
            let (registry, now) = (&self.shared.registry, self.shared.now());
            registry.renew(&self.workload, &seen(&self.configs), &met.peer, now);
        }
        outcome
    }

    /// Tells of a connection that carried nothing.
    fn refuse(&self, refusal: &Refusal) {
        let tunnel = record::unknown(Direction::Inbound.word(), self.from, self.at);
        self.shared.refuse(&self.tenant, Direction::Inbound, tunnel, refusal);
    }

    /// One flow after the other, until the peer has no more, or may have no more.
    async fn native(&self, mut secured: Secured) {
        let facts = Arc::clone(secured.facts());
        let settings = &self.shared.settings;
        let mut patience = settings.handshake_timeout;
        let mut is_reused = false;
        loop {
            let left = facts.until.saturating_sub(self.shared.now());
            // A peer that opens flows on as many connections as it may leaves as many behind.
            let Some(waiting) = self.tenant.share.idle() else { return secured.close().await };
            if left.is_zero() {
                return secured.close().await;
            }
            let mut drain = self.shared.drain.clone();
            let next = tokio::select! {
                next = native::next_open::<()>(&mut secured, patience.min(left)) => next,
                () = drain.wait() => return secured.close().await,
                () = self.shared.taken_away(&self.workload, &facts) => return secured.close().await,
            };
            drop(waiting);
            let open = match next {
                Ok(Next::Open(open)) => open,
                Ok(Next::Idle) if !is_reused && left > patience => {
                    let failed = Failed::new(reason::TUNNEL_PROTOCOL, "no flow was asked for in time");
                    self.refuse(&failed.into());
                    return secured.close().await;
                }
                Ok(Next::Closed | Next::Idle) => return secured.close().await,
                Err(ended) => return self.refuse(&broken(&ended).into()),
            };
            match self.flow(&open, &facts, is_reused, &mut secured).await {
                Ok(Ended::Clean) => is_reused = true,
                Ok(_) => return,
                Err(code) => return native::refuse(secured, code).await,
            }
            // A peer keeps its idle connections for as long as we do, and some way longer.
            patience = settings.idle_timeout * 2;
        }
    }

    async fn flow(
        &self,
        open: &Open,
        facts: &Arc<Facts>,
        is_reused: bool,
        secured: &mut Secured,
    ) -> Result<Ended<super::registry::EndReason>, RefuseCode> {
        let ends = (open.source(), open.destination());
        let begun = self.begin(ends, open.trace(), facts, Hop::Native, is_reused);
        let (registered, permit) = begun.map_err(RefuseCode::of_reason)?;
        let local = match self.connect(&registered, ends).await {
            Ok(local) => local,
            Err(error) => return Err(code_of(&error)),
        };
        native::accept(secured);
        match registered.tunnel_native(permit, &local, secured, Side::Server).await {
            Ok(ended) => Ok(ended),
            Err(failed) => {
                registered.refuse(&failed.into());
                Ok(Ended::PeerReset)
            }
        }
    }

    /// Registers and authorises. A refusal is told, and its reason answered with.
    fn begin(
        &self,
        (source, destination): (SocketAddr, SocketAddr),
        trace: TraceId,
        facts: &Facts,
        hop: Hop,
        is_reused: bool,
    ) -> Result<(Registered, Permit), u16> {
        let tell = |failed: Failed| {
            let tunnel = record::unknown(Direction::Inbound.word(), source, destination);
            let number = failed.reason;
            self.shared.refuse(&self.tenant, Direction::Inbound, tunnel, &failed.into());
            number
        };
        let met = met(&self.shared, facts, hop, is_reused).map_err(tell)?;
        let place = self.tenant.share.connection();
        let place = place.map_err(|over| tell(Failed::new(reason::TUNNEL_BUDGET, over)))?;
        let flow = Flow {
            parties: Parties::Inbound(Inbound {
                workload: Arc::clone(&self.workload),
                own: Arc::clone(&self.own),
                carrier: self.from.ip(),
                source,
                destination,
                peer: Arc::clone(&met.tenant),
            }),
            trace,
            cookie: 0,
            since: self.shared.now(),
            own: seen(&self.configs),
            met: Some(met),
        };
        let registered = Registered {
            ticket: self.shared.registry.register(flow),
            shared: Arc::clone(&self.shared),
            tenant: Arc::clone(&self.tenant),
            direction: Direction::Inbound,
            _place: place,
        };
        let allowed = registered.not_revoked(&self.workload);
        match allowed.and_then(|()| registered.ticket.authorize(self.shared.now())) {
            Ok(permit) => Ok((registered, permit)),
            Err(refusal) => {
                registered.refuse(&refusal);
                Err(refusal.reason)
            }
        }
    }

    /// To the workload itself, with the client's address. A failure is told.
    async fn connect(
        &self,
        registered: &Registered,
        (source, destination): (SocketAddr, SocketAddr),
    ) -> Result<TcpStream, ConnectError> {
        let connecting = connect_in(&self.namespace, source, destination);
        let patience = self.shared.settings.connect_timeout;
        let outcome = timeout(patience, connecting).await.unwrap_or(Err(ConnectError::TimedOut));
        if let Err(error) = &outcome {
            let failed = Failed::new(reason::TUNNEL_UNREACHABLE, format!("{destination}: {error}"));
            registered.refuse(&failed.into());
        }
        outcome
    }

    async fn hbone(self: Arc<Self>, secured: Secured) {
        let facts = Arc::clone(secured.facts());
        let until = Instant::now() + facts.until.saturating_sub(self.shared.now());
        let limits = Limits {
            first_request: self.shared.settings.handshake_timeout,
            idle: self.shared.settings.idle_timeout * 2,
        };
        let purse = Arc::clone(&self.tenant.purse);
        let mut drain: Stop = self.shared.drain.clone();
        let answer = Arc::new(Answerer { guest: Arc::clone(&self), facts: Arc::clone(&facts) });
        let drain = async {
            tokio::select! {
                () = drain.wait() => {}
                () = self.shared.taken_away(&self.workload, &facts) => {}
            }
        };
        let closed = serve(secured.into_stream(), &answer, &purse, limits, until, drain).await;
        let failed = match closed {
            Closed::ByPeer | Closed::ByUs | Closed::Lost(_) | Closed::PeerError(_) => {
                debug!(?closed, from = %self.from, "an HBONE connection has ended");
                return;
            }
            Closed::Silent => Failed::new(reason::TUNNEL_PROTOCOL, "the peer went silent"),
            Closed::Protocol(code) => Failed::new(reason::TUNNEL_PROTOCOL, format!("HTTP/2: {code}")),
            Closed::Flood(flood) => {
                Failed::new(reason::TUNNEL_PROTOCOL, format!("HTTP/2: a flood: {flood:?}"))
            }
            Closed::Busy => Failed::new(reason::TUNNEL_BUDGET, "the tenant's buffers are full"),
        };
        self.refuse(&failed.into());
    }
}

/// Answers the calls of one HBONE connection.
struct Answerer {
    guest: Arc<Guest>,
    facts: Arc<Facts>,
}

impl Answer for Answerer {
    async fn answer(&self, mut call: Call) {
        let guest = &self.guest;
        let target = call.target();
        let destination = match (&target.authority.host, target.authority.address()) {
            (_, Some(address)) => address,
            (Host::Name(name), None) => {
                let detail = format!("no host {} is known", name.as_str());
                guest.refuse(&Failed::new(reason::TUNNEL_TARGET, detail).into());
                return call.refuse(Status::Unavailable);
            }
            (Host::Address(_), None) => return call.refuse(Status::BadTarget),
        };
        // What the peer says of the source's port is a hint; its address is what the kernel says.
        let port = target.source.map_or(0, |source| source.port());
        let source = SocketAddr::new(guest.from.ip(), port);
        let trace = target.trace.as_ref().and_then(|trace| TraceId::new(trace.trace_id()));
        let trace = trace.unwrap_or_else(chance::trace_id);
        let ends = (source, destination);
        let (registered, permit) = match guest.begin(ends, trace, &self.facts, Hop::Hbone, false) {
            Ok(begun) => begun,
            Err(number) => return call.refuse(status_of(number, destination, guest.at)),
        };
        let connected = tokio::select! {
            connected = guest.connect(&registered, ends) => connected,
            _gone = call.gone() => return,
        };
        let Ok(local) = connected else { return call.refuse(Status::Unavailable) };
        if let Ok(carried) = call.accept(&Baggage::default()) {
            registered.tunnel_hbone(permit, &local, carried).await;
        }
    }

    fn malformed(&self, malformed: Malformed) {
        let failed = Failed::new(reason::TUNNEL_PROTOCOL, format!("HBONE: {malformed:?}"));
        self.guest.refuse(&failed.into());
    }
}

/// 400 for another address, 503 for a port of ours or when there is no room, 401 when it may not.
fn status_of(number: u16, destination: SocketAddr, at: SocketAddr) -> Status {
    match number {
        reason::TUNNEL_TARGET if destination.ip().to_canonical() != at.ip().to_canonical() => {
            Status::BadTarget
        }
        reason::TUNNEL_TARGET | reason::TUNNEL_BUDGET | reason::TUNNEL_NOT_READY => Status::Unavailable,
        _ => Status::Denied,
    }
}

fn code_of(error: &ConnectError) -> RefuseCode {
    match error {
        ConnectError::Refused => RefuseCode::Refused,
        ConnectError::Unreachable(_) | ConnectError::Families { .. } | ConnectError::Own { .. } => {
            RefuseCode::Unreachable
        }
        ConnectError::TimedOut => RefuseCode::TimedOut,
    }
}

fn broken(ended: &Ended<()>) -> Failed {
    match ended {
        Ended::Protocol(error) => Failed::new(reason::TUNNEL_PROTOCOL, error),
        Ended::Tls(error) => Failed::from(error),
        _ => Failed::new(reason::TUNNEL_PROTOCOL, "no flow was asked for"),
    }
}
