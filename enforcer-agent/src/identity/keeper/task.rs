//! What is done away from the keeper's own thread, and what comes back: the authority is asked, certificates are
//! issued and read. An outcome names the question that it answers.

use std::sync::Arc;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use rustls::sign::CertifiedKey;

use super::domain::RevokedSerials;
use crate::door::identity::Answer;
use crate::door::upstream::UpstreamError;
use crate::identity::authority::NodeCa;
use crate::identity::svid::Svid;

/// A certificate that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) workload: Name,
    pub(super) id: SpiffeId,
    pub(super) question: u64,
}

/// What the vault has of a trust domain, as far as it is still good.
#[derive(Debug, Default)]
pub(super) struct Shelved {
    /// The latest node CA.
    pub(super) latest: Option<Arc<NodeCa>>,
    /// The one before.
    pub(super) before: Option<Arc<NodeCa>>,
    /// What was revoked.
    pub(super) revoked: RevokedSerials,
}

/// What a task found or did.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The vault was asked for certificates from before.
    Looked(TrustDomain, Vec<(Wish, Option<Svid>)>),
    /// Certificates were issued, or not.
    Issued(Vec<(Wish, Result<Svid, String>)>),
    /// What the vault has of a trust domain.
    Shelved(TrustDomain, Shelved),
    /// The authority answered about a node CA.
    NodeCa(TrustDomain, Result<Arc<NodeCa>, UpstreamError>),
    /// The authority answered about the node's own certificate.
    Own(Result<Arc<CertifiedKey>, UpstreamError>),
    /// A batch of chores is done.
    Tidied,
    /// The authority answered about revocations or rotations; whoever asked is told.
    Told(tokio::sync::oneshot::Sender<Answer>, Answer),
}
