//! Who is on the other end of a connection, as the kernel or a certificate says.

use std::fmt;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::policy::model::Name;

/// The other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A process on this node, by the credentials of its socket.
    Local {
        /// Its effective user when it connected.
        uid: u32,
    },
    /// A control plane, by its certificate.
    Remote(SpiffeId),
    /// A node of the fleet, by its certificate: it may ask its authority, and nothing else.
    Node(String),
    /// Somebody of a tenant, by their certificate: they may read that tenant's records, and nothing else.
    Reader {
        /// Who.
        id: SpiffeId,
        /// Of which tenant: the one whose trust domain the ID is in.
        tenant: Name,
    },
    /// Somebody who may not call; every call is refused.
    Refused,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid } => write!(f, "uid:{uid}"),
            Self::Remote(id) | Self::Reader { id, .. } => id.fmt(f),
            Self::Node(name) => write!(f, "node:{name}"),
            Self::Refused => f.write_str("refused"),
        }
    }
}
