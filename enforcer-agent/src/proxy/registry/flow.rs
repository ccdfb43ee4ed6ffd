//! What is known of one flow.

use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::policy::model::Name;
use enforcer_core::proxy::authorize::{Parties, Permit};
use enforcer_core::proxy::trace::TraceId;
use tokio::sync::watch;

use crate::proxy::native::Traffic;

/// A flow, as far as it is known.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Both ends.
    pub parties: Parties,
    /// What both ends call it.
    pub trace: TraceId,
    /// Of the intercepted socket; 0 for a flow that arrives.
    pub cookie: u64,
    /// When it came, since the Unix epoch.
    pub since: Duration,
    /// What the workload of this node shows to the other end.
    pub own: Seen,
    /// What the other end has shown: of a flow that arrives, when it is registered; of one that leaves, later.
    pub met: Option<Met>,
}

/// A certificate that was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whom it names.
    pub id: SpiffeId,
    /// Serial number of the leaf, hexadecimal.
    pub serial: String,
    /// When the first certificate of the chain ends, since the Unix epoch.
    pub not_after: Duration,
}

/// The other end of the connection that carries a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Met {
    /// The other end's certificate.
    pub peer: Seen,
    /// The tenant that it names.
    pub tenant: Name,
    /// How the flow is carried.
    pub hop: Hop,
    /// The TLS session was resumed.
    pub resumed: bool,
    /// The connection had carried an earlier flow.
    pub reused: bool,
}

/// Which way a flow goes, seen from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// This node intercepted it.
    Outbound,
    /// It hands it to its workload.
    Inbound,
}

/// How a flow is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hop {
    /// Our own framing.
    Native,
    /// HTTP/2 CONNECT.
    Hbone,
}

/// Why a flow was told to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndReason {
    /// The policy in force does not allow it.
    Policy,
    /// An identity of it was revoked.
    Revoked,
    /// A certificate, or the lease of an address, ended.
    Expired,
    /// The node drains, and the time for that is over.
    Drained,
    /// The agent stops.
    Shutdown,
}

impl Direction {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Outbound, Self::Inbound];

    /// The word for records and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
        }
    }
}

impl Hop {
    /// Every hop.
    pub const ALL: [Self; 2] = [Self::Native, Self::Hbone];

    /// The word for records and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Hbone => "hbone",
        }
    }
}

impl EndReason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Policy, Self::Revoked, Self::Expired, Self::Drained, Self::Shutdown];

    /// The word for records and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Drained => "drained",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Flow {
    /// Which way it goes.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        match self.parties {
            Parties::Outbound(_) => Direction::Outbound,
            Parties::Inbound(_) => Direction::Inbound,
        }
    }

    /// The tenant of the workload of this node: whose budget it is on, and under whose name it is counted.
    #[must_use]
    pub const fn tenant(&self) -> &Name {
        self.parties.tenant()
    }

    /// Everyone who has shown a certificate.
    pub(super) fn identities(&self) -> impl Iterator<Item = &SpiffeId> {
        let met = self.met.as_ref().map(|met| &met.peer.id);
        std::iter::once(&self.own.id).chain(met)
    }

    /// When the first certificate or lease of it ends.
    pub(super) fn deadline(&self, permit: Option<&Permit>) -> Option<Duration> {
        let met = self.met.as_ref().map(|met| met.peer.not_after);
        let lease = permit.and_then(Permit::lapses).map(Duration::from_nanos);
        [Some(self.own.not_after), met, lease].into_iter().flatten().min()
    }
}

/// What the data path and the registry share of a flow.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) end: watch::Sender<Option<EndReason>>,
    pub(super) traffic: Traffic,
    direction: Direction,
}

impl Live {
    pub(super) fn new(direction: Direction) -> Self {
        Self { end: watch::Sender::new(None), traffic: Traffic::default(), direction }
    }

    /// Tells the flow to end; true when nobody had before.
    pub(super) fn cancel(&self, reason: EndReason) -> bool {
        self.end.send_if_modified(|end| {
            let is_news = end.is_none();
            end.get_or_insert(reason);
            is_news
        })
    }

    /// From the initiator to the responder, and back.
    pub(super) fn bytes(&self) -> [u64; 2] {
        let (sent, received) = (self.traffic.sent(), self.traffic.received());
        match self.direction {
            Direction::Outbound => [sent, received],
            Direction::Inbound => [received, sent],
        }
    }
}
