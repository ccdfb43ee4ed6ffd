//! A flow that a workload of this node opens: intercept → identify → register → authorize → handshake → tunnel.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use enforcer_common::maps::TUNNEL_PORT;
use enforcer_common::reason;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::{Outbound, Parties, Permit, Refusal};
use enforcer_core::proxy::hbone::authority::Authority;
use enforcer_core::proxy::hbone::baggage::Baggage;
use enforcer_core::proxy::hbone::traceparent::Traceparent;
use enforcer_core::proxy::native::Open;
use enforcer_core::proxy::tenant_of;
use enforcer_core::proxy::trace::TraceId;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use super::dial::{Dial, Failed};
use super::flow::{Registered, met};
use super::hbone::client::Outgoing;
use super::hbone::client::pool::{Dialled, Key, OpenError};
use super::idle::Pair;
use super::native::{self, Ended, Side};
use super::post::{Namespace, Origin, origin, reset};
use super::registry::{Direction, EndReason, Flow, Hop, Seen};
use super::shared::{Shared, Tenant};
use super::tls::{self, Configs, Facts, Secured, SecuredStream};
use super::{chance, record};

/// How long before a certificate's end newer ones are shown.
const SHOW_AGAIN: Duration = Duration::from_secs(30);
/// How soon it is tried again, at the most and at the least.
const AGAIN_MAX: Duration = Duration::from_secs(5);
const AGAIN_MIN: Duration = Duration::from_secs(1);
/// The longest sleep until then: the time of day may be set, and certificates be extended by others.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Takes up a connection that the kernel turned around.
pub(super) async fn carry(
    shared: Arc<Shared>,
    post: Name,
    namespace: Namespace,
    stream: TcpStream,
    from: SocketAddr,
) {
    let origin = match origin(&stream) {
        Ok(Some(origin)) => origin,
        // Somebody connected to the agent's port by themselves: there is nothing for them here.
        Ok(None) => return reset(stream),
        Err(error) => {
            debug!(%error, "the origin of a connection cannot be asked for");
            return reset(stream);
        }
    };
    let Some(call) = Call::begin(shared, post, namespace, origin, from) else { return reset(stream) };
    if let Err(refusal) = call.run(&mut Some(stream)).await {
        call.registered.refuse(&refusal);
    }
}

/// An intercepted connection, with everything that is known of it before the other end is.
struct Call {
    registered: Registered,
    configs: Arc<Configs>,
    namespace: Namespace,
    workload: Name,
    source: SocketAddr,
    destination: SocketAddr,
    trace: TraceId,
}

/// What came of an attempt.
enum Attempt {
    Over,
    /// The connection was not as good as it looked: nothing is lost, another may be.
    Again,
}

impl Call {
    /// Identifies and registers. `None` when it was refused, which is told.
    fn begin(
        shared: Arc<Shared>,
        post: Name,
        namespace: Namespace,
        origin: Origin,
        from: SocketAddr,
    ) -> Option<Self> {
        let from = match source(&namespace, from, origin.destination) {
            Ok(from) => from,
            Err(error) => {
                debug!(%error, destination = %origin.destination, "there is no way to the destination");
                return None;
            }
        };
        let court = shared.registry.court();
        let tenant_name = court.policy().index.tenant_by_id.get(&origin.identity).cloned()?;
        let tenant = shared.tenant(&tenant_name)?;
        let refuse = |reason, detail: String| {
            let tunnel = record::unknown(Direction::Outbound.word(), from, origin.destination);
            shared.refuse(&tenant, Direction::Outbound, tunnel, &Failed::new(reason, detail).into());
        };
        let workload = if court.policy().workloads.contains_key(&post) {
            post
        } else if let Some(name) = shared.groups.borrow().get(&origin.cgroup) {
            Arc::clone(name)
        } else {
            refuse(reason::TUNNEL_IDENTITY, format!("no workload has control group {}", origin.cgroup));
            return None;
        };
        let Some(configs) = shared.configs(&workload) else {
            refuse(reason::TUNNEL_NOT_READY, format!("workload {workload} has no certificate"));
            return None;
        };
        let Some(own) = tenant_of(configs.id(), &shared.fleet).map(Name::from) else {
            refuse(reason::TUNNEL_IDENTITY, format!("{} is of no tenant", configs.id()));
            return None;
        };
        let place = match tenant.share.connection() {
            Ok(place) => place,
            Err(over) => {
                refuse(reason::TUNNEL_BUDGET, over.to_string());
                return None;
            }
        };
        let trace = chance::trace_id();
        let flow = Flow {
            parties: Parties::Outbound(Outbound {
                workload: Arc::clone(&workload),
                identity: origin.identity,
                own,
                source: from,
                destination: origin.destination,
                peer: None,
            }),
            trace,
            cookie: origin.cookie,
            since: shared.now(),
            own: seen(&configs),
            met: None,
        };
        let ticket = shared.registry.register(flow);
        Some(Self {
            registered: Registered { shared, tenant, direction: Direction::Outbound, ticket, _place: place },
            configs,
            namespace,
            workload,
            source: from,
            destination: origin.destination,
            trace,
        })
    }

    /// Authorises and carries. The stream is taken once it is somebody else's to end; what is left is reset.
    async fn run(&self, stream: &mut Option<TcpStream>) -> Result<(), Refusal> {
        let outcome = self.attempt_all(stream).await;
        if let Some(stream) = stream.take() {
            reset(stream);
        }
        outcome
    }

    async fn attempt_all(&self, stream: &mut Option<TcpStream>) -> Result<(), Refusal> {
        let shared = &self.registered.shared;
        let permit = self.registered.ticket.authorize(shared.now())?;
        let Some(peer) = shared.tenant(permit.destination()) else {
            return Err(Failed::new(reason::TENANT_UNKNOWN, permit.destination()).into());
        };
        let pair = Pair {
            workload: Arc::clone(&self.workload),
            network: self.namespace.cookie(),
            to: SocketAddr::new(self.destination.ip(), TUNNEL_PORT),
        };
        while let Some(secured) = shared.idle.take(&pair, &self.configs, shared.now()) {
            if let Attempt::Over = self.native(&pair, secured, true, stream).await? {
                return Ok(());
            }
        }
        if shared.hops.hbone && shared.hbone_peers.knows(&pair) {
            let outcome = self.hbone(&pair, &peer, None, stream).await;
            // Where it has changed its protocol meanwhile, nothing was said yet that could not be said in another.
            if outcome.is_ok() || shared.hbone_peers.knows(&pair) {
                return outcome;
            }
        }
        let secured = self.dial(&pair, &peer).connect().await?;
        match secured.facts().hop {
            tls::Hop::Native => match self.native(&pair, secured, false, stream).await? {
                Attempt::Over => Ok(()),
                Attempt::Again => {
                    Err(Failed::new(reason::TUNNEL_UNREACHABLE, "the connection broke at once").into())
                }
            },
            tls::Hop::Hbone => {
                shared.hbone_peers.learn(&pair);
                self.hbone(&pair, &peer, Some(secured), stream).await
            }
        }
    }

    fn dial<'a>(&'a self, pair: &Pair, peer: &'a Tenant) -> Dial<'a> {
        Dial {
            shared: &self.registered.shared,
            tenant: &self.registered.tenant,
            configs: &self.configs,
            namespace: &self.namespace,
            to: pair.to,
            peer,
        }
    }

    /// The other end has shown itself: the flow is judged again, with that.
    fn meet(&self, facts: &Facts, hop: Hop, reused: bool) -> Result<Permit, Refusal> {
        let shared = &self.registered.shared;
        self.registered.not_revoked(&self.workload)?;
        let met = met(shared, facts, hop, reused)?;
        self.registered.ticket.met(met, shared.now())
    }

    /// For a stream of HTTP/2: a connection, its greeting, and the answer of the workload behind it.
    fn patience(&self) -> Duration {
        let settings = &self.registered.shared.settings;
        (settings.connect_timeout + settings.handshake_timeout) * 2
    }

    async fn native(
        &self,
        pair: &Pair,
        mut secured: Secured,
        reused: bool,
        stream: &mut Option<TcpStream>,
    ) -> Result<Attempt, Refusal> {
        let shared = &self.registered.shared;
        let facts = Arc::clone(secured.facts());
        let permit = match self.meet(&facts, Hop::Native, reused) {
            Ok(permit) => permit,
            // It was made when somebody else was there.
            Err(_) if reused => return Ok(Attempt::Again),
            Err(refusal) => return Err(refusal),
        };
        let open = Open::new(self.source, self.destination, self.trace)
            .map_err(|error| Failed::new(reason::TUNNEL_TARGET, error))?;
        native::open(&mut secured, &open);
        let Some(local) = stream.as_ref() else { return Ok(Attempt::Over) };
        let carried = self.registered.tunnel_native(permit, local, &mut secured, Side::Client);
        let ended = tokio::select! {
            ended = carried => ended?,
            never = self.stay_known(pair) => match never {},
        };
        match ended {
            Ended::Unanswered(_) => return Ok(Attempt::Again),
            Ended::Clean => {
                drop(stream.take());
                if let Some(counted) = self.registered.tenant.share.idle() {
                    shared.idle.put(pair.clone(), secured, Arc::clone(&self.configs), counted);
                }
            }
            _ => drop(stream.take()),
        }
        Ok(Attempt::Over)
    }

    /// Shows the other end our latest certificate, and sees theirs, before those end that the flow was opened with: a
    /// rotation is no end of a flow.
    async fn stay_known(&self, pair: &Pair) -> Infallible {
        let Registered { shared, ticket, .. } = &self.registered;
        // Flows of one pair do not all knock at once: the first speaks for the others.
        let early = SHOW_AGAIN + Duration::from_millis(ticket.id() % 64 * 100);
        loop {
            let until = ticket.certified_until().unwrap_or(Duration::MAX);
            let left = until.saturating_sub(shared.now());
            match left.checked_sub(early) {
                Some(wait) if !wait.is_zero() => sleep(wait.min(LOOK_AGAIN)).await,
                _ => {
                    Box::pin(self.show_again(pair)).await;
                    // Whoever has nothing newer yet is about to: the nearer the end, the sooner.
                    sleep((left / 4).clamp(AGAIN_MIN, AGAIN_MAX)).await;
                }
            }
        }
    }

    async fn show_again(&self, pair: &Pair) {
        let Registered { shared, ticket, .. } = &self.registered;
        let peer = ticket.describe().destination.map(|end| Name::from(end.identity));
        let (Some(peer), Some(configs)) =
            (peer.and_then(|name| shared.tenant(&name)), shared.configs(&self.workload))
        else {
            return;
        };
        let dial = Dial { configs: &configs, ..self.dial(pair, &peer) };
        let Ok(secured) = dial.connect().await else { return };
        let facts = Arc::clone(secured.facts());
        if let Ok(met) = met(shared, &facts, Hop::Native, false) {
            shared.registry.renew(&self.workload, &seen(&configs), &met.peer, shared.now());
        }
        secured.close().await;
    }

    async fn hbone(
        &self,
        pair: &Pair,
        peer: &Tenant,
        dialled: Option<Secured>,
        stream: &mut Option<TcpStream>,
    ) -> Result<(), Refusal> {
        let shared = &self.registered.shared;
        let key = Key {
            workload: Arc::clone(&self.workload),
            serial: self.configs.serial().to_owned(),
            network: pair.network,
            tenant: Arc::clone(&peer.name),
            address: pair.to,
        };
        let Some(authority) = Authority::of(self.destination) else {
            return Err(Failed::new(reason::TUNNEL_TARGET, self.destination).into());
        };
        let outgoing = Outgoing {
            authority,
            source: self.source,
            baggage: Baggage::default(),
            trace: Traceparent::new(self.trace.bytes(), chance::parent_id()),
        };
        let dialled = Mutex::new(dialled);
        let dial = || async {
            let made = dialled.lock().unwrap_or_else(PoisonError::into_inner).take();
            let secured = match made {
                Some(secured) => secured,
                None => self.dial(pair, peer).connect().await?,
            };
            let facts = Arc::clone(secured.facts());
            if facts.hop != tls::Hop::Hbone {
                shared.hbone_peers.forget(pair);
                return Err(Failed::new(
                    reason::TUNNEL_UNREACHABLE,
                    "the other end has changed its protocol",
                ));
            }
            let left = facts.until.saturating_sub(shared.now());
            let (until, purse) = (Instant::now() + left, Arc::clone(&self.registered.tenant.purse));
            Ok(Dialled::<SecuredStream, _> { io: secured.into_stream(), mark: facts, until, purse })
        };
        let opening = timeout(self.patience(), shared.hbone.open(&key, &outgoing, dial));
        let (carried, facts) = tokio::select! {
            opened = opening => match opened {
                Ok(opened) => opened.map_err(|error| hbone_failure(&error))?,
                Err(_) => {
                    let detail = "the other end does not answer";
                    return Err(Failed::new(reason::TUNNEL_UNREACHABLE, detail).into());
                }
            },
            why = self.registered.ticket.cancelled() => return Err(called_off(why).into()),
        };
        let permit = self.meet(&facts, Hop::Hbone, false)?;
        if let Some(local) = stream.take() {
            tokio::select! {
                () = self.registered.tunnel_hbone(permit, &local, carried) => {}
                never = self.stay_known(pair) => match never {},
            }
        }
        Ok(())
    }
}

/// Where a flow comes from, as its destination will see it: a workload on the node's network speaks to the agent over
/// loopback, and to the world with the node's address.
fn source(namespace: &Namespace, from: SocketAddr, destination: SocketAddr) -> io::Result<SocketAddr> {
    if !from.ip().is_loopback() {
        return Ok(from);
    }
    let any: IpAddr = match destination {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a datagram socket sends nothing: it asks the kernel for the route.
    let asked = namespace.enter(|| {
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(destination)?;
        socket.local_addr()
    });
    let found = asked.map_err(io::Error::other)??;
    Ok(SocketAddr::new(found.ip(), from.port()))
}

/// A flow that had to end before the other end took it.
fn called_off(why: EndReason) -> Failed {
    let reason = match why {
        EndReason::Policy => reason::TUNNEL_IDENTITY,
        EndReason::Revoked | EndReason::Expired => reason::TUNNEL_CERTIFICATE,
        EndReason::Drained | EndReason::Shutdown => reason::TUNNEL_NOT_READY,
    };
    Failed::new(reason, format!("called off: {}", why.word()))
}

fn hbone_failure(error: &OpenError<Failed>) -> Failed {
    match error {
        OpenError::Dial(failed) => Failed::clone(failed),
        OpenError::Status(status) => {
            let reason = match status.as_u16() {
                400 => reason::TUNNEL_TARGET,
                401 => reason::TUNNEL_IDENTITY,
                _ => reason::TUNNEL_UNREACHABLE,
            };
            Failed::new(reason, format!("the other end answers with status {}", status.as_u16()))
        }
        OpenError::Busy => Failed::new(reason::TUNNEL_BUDGET, error),
        OpenError::Failed(_) | OpenError::Exhausted => Failed::new(reason::TUNNEL_UNREACHABLE, error),
        OpenError::Request(_) => Failed::new(reason::TUNNEL_TARGET, error),
    }
}

/// What a workload of this node shows.
pub(super) fn seen(configs: &Configs) -> Seen {
    Seen { id: configs.id().clone(), serial: configs.serial().to_owned(), not_after: configs.not_after() }
}
