//! Who is at the two ends of a flow, as far as it is known before the policy is asked.

use std::net::{IpAddr, SocketAddr};

use crate::policy::model::Name;

/// Both ends. It holds what was seen, and nothing that a policy says, so that it can be judged again under another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parties {
    /// This node intercepted the flow.
    Outbound(Outbound),
    /// This node hands it to its workload.
    Inbound(Inbound),
}

/// A flow that a workload of this node opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Whose listener took it up.
    pub workload: Name,
    /// The tenant by which the kernel recognised the socket: `OriginValue::identity`.
    pub identity: u32,
    /// The tenant that the workload's own certificate names.
    pub own: Name,
    /// The workload's end.
    pub source: SocketAddr,
    /// Where it was going.
    pub destination: SocketAddr,
    /// The tenant that the other end's certificate names, once it was seen. Before that, the permit says which it
    /// must be.
    pub peer: Option<Name>,
}

/// A flow that arrives for a workload of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// At whose listener.
    pub workload: Name,
    /// The tenant that the workload's own certificate names.
    pub own: Name,
    /// Where the connection that carries it comes from, as the kernel says.
    pub carrier: IpAddr,
    /// The initiator, as the header says.
    pub source: SocketAddr,
    /// Where it asks to go.
    pub destination: SocketAddr,
    /// The tenant that the other end's certificate names.
    pub peer: Name,
}

impl Parties {
    /// The initiator's end.
    #[must_use]
    pub const fn source(&self) -> SocketAddr {
        match self {
            Self::Outbound(Outbound { source, .. }) | Self::Inbound(Inbound { source, .. }) => *source,
        }
    }

    /// The responder's end.
    #[must_use]
    pub const fn destination(&self) -> SocketAddr {
        match self {
            Self::Outbound(Outbound { destination, .. }) | Self::Inbound(Inbound { destination, .. }) => {
                *destination
            }
        }
    }

    /// The workload of this node.
    #[must_use]
    pub const fn workload(&self) -> &Name {
        match self {
            Self::Outbound(Outbound { workload, .. }) | Self::Inbound(Inbound { workload, .. }) => workload,
        }
    }

    /// That workload's tenant, as its own certificate names it: on whose budget the flow is.
    #[must_use]
    pub const fn tenant(&self) -> &Name {
        match self {
            Self::Outbound(Outbound { own, .. }) | Self::Inbound(Inbound { own, .. }) => own,
        }
    }
}
