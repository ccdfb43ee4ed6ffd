//! The door of the identity room: what is asked of it, and what it lets others see. No key passes through but
//! inside a signer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::target::Target;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::chain::ChainError;
use enforcer_core::policy::model::Name;
use enforcer_proto::v1;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use tokio::sync::{mpsc, oneshot, watch};

use super::policy::Closed;
use super::tunnel::Credentials;

/// Commands that wait for the identity room.
pub const WAITING_MAX: usize = 64;

/// What the identity room can be asked.
#[derive(Debug)]
pub enum Command {
    /// Every identity and trust domain, of one tenant or of all.
    List(Option<Name>, oneshot::Sender<v1::ListIdentitiesResponse>),
    /// One workload's; `None` when there is no such workload.
    Show(Name, oneshot::Sender<Option<v1::ShowIdentityResponse>>),
    /// Take identities away.
    Revoke(Order, oneshot::Sender<Answer>),
    /// Give them back.
    Restore(Order, oneshot::Sender<Answer>),
    /// Renew now: certificates, of some workloads or of all.
    Rotate(Option<Target>, oneshot::Sender<Answer>),
    /// Renew the authorities of trust domains, of some tenant or of all.
    RotateAuthority(Option<Target>, oneshot::Sender<Answer>),
    /// A first certificate for another node, for the key of a PKCS#10 request.
    Enroll(String, Vec<u8>, oneshot::Sender<Result<Enrolled, Refused>>),
    /// OpenMetrics text.
    Metrics(oneshot::Sender<String>),
}

/// What another node begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolled {
    /// Its certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// PEM of the authorities that vouch for this node.
    pub authorities_pem: String,
}

/// What was done to whom: names of workloads, or of trust domains; or why nothing was.
pub type Answer = Result<Vec<String>, Refused>;

/// An operator's or a control plane's word about some identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Whom it means.
    pub target: Target,
    /// Why, for the record.
    pub reason: String,
    /// Who says so.
    pub author: String,
}

/// Nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody is meant.
    #[error("{0} is nobody that this node knows")]
    Unknown(Target),
    /// The authority says no, or is away.
    #[error("{0}")]
    Upstream(String),
    /// It makes no sense for this target.
    #[error("{0}")]
    Senseless(&'static str),
}

/// How the identity wall is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// False before an expiry does harm.
    pub ready: bool,
    /// Sentences for a person.
    pub warnings: Vec<String>,
}

/// Whom a chain of certificates names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The leaf's ID.
    pub id: SpiffeId,
    /// When the first certificate of the chain ends, since the Unix epoch.
    pub not_after: Duration,
}

/// What is wrong with a peer's chain, as far as TLS has an alert for it (RFC 8446 section 6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No authority of the peer's trust domain is known here, or none of them signed.
    UnknownAuthority,
    /// A certificate has expired.
    Expired,
    /// A certificate is not valid yet.
    NotYetValid,
    /// The ID, or its tenant, was taken away.
    Revoked,
    /// The chain breaks another rule.
    Bad,
}

/// A chain that vouches for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Unverified {
    /// Which kind of wrong.
    pub fault: Fault,
    /// For the log.
    pub text: String,
}

impl From<ChainError> for Unverified {
    fn from(error: ChainError) -> Self {
        let fault = match &error {
            ChainError::UnknownTrustDomain(_) | ChainError::NoAuthorities(_) | ChainError::NoAnchor(_) => {
                Fault::UnknownAuthority
            }
            ChainError::Expired(_) => Fault::Expired,
            ChainError::NotYetValid(_) => Fault::NotYetValid,
            ChainError::Revoked(_) => Fault::Revoked,
            ChainError::Empty
            | ChainError::TooLong(_)
            | ChainError::Leaf(_)
            | ChainError::Intermediate { .. }
            | ChainError::WrongIssuer(_)
            | ChainError::Signature(_)
            | ChainError::PathLength(_)
            | ChainError::NameConstraint { .. } => Fault::Bad,
        };
        Self { fault, text: error.to_string() }
    }
}

/// Checks a peer's chain against the bundles in force at a time.
pub type VerifyPeer = Arc<dyn Fn(&[CertificateDer<'_>], Duration) -> Result<Peer, Unverified> + Send + Sync>;

/// True when an ID is revoked, or its whole tenant is.
pub type IsRevoked = Arc<dyn Fn(&SpiffeId) -> bool + Send + Sync>;

/// The sending side of the door.
#[derive(Clone)]
pub struct IdentityDoor {
    /// The fleet's trust domain.
    pub fleet: TrustDomain,
    /// True when other nodes may ask this one for their authorities.
    pub is_authority: bool,
    /// Where commands go.
    pub commands: mpsc::Sender<Command>,
    /// How the room is.
    pub health: watch::Receiver<Health>,
    /// The node's own certificate, once it has one.
    pub own: watch::Receiver<Option<Arc<CertifiedKey>>>,
    /// Checks callers from the network.
    pub verify: VerifyPeer,
    /// Checks them again, at each call.
    pub is_revoked: IsRevoked,
    /// Bundles and revocations in force: what [`Self::verify`] and [`Self::is_revoked`] look at.
    pub trust: watch::Receiver<Arc<Trust>>,
    /// What the tunnel shows of this node's workloads.
    pub credentials: Credentials,
}

impl IdentityDoor {
    /// Asks the room.
    ///
    /// # Errors
    /// The agent is stopping.
    pub async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Closed> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| Closed)?;
        answer.await.map_err(|_| Closed)
    }
}

impl fmt::Debug for IdentityDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityDoor").field("fleet", &self.fleet).finish_non_exhaustive()
    }
}
