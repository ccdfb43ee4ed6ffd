//! One workload's identity: what the policy says of it, where it is in its life, and what is served.

use std::sync::Arc;

use enforcer_core::identity::entitle::Entitlement;
use enforcer_core::identity::lifecycle::State;
use enforcer_core::identity::spiffe_id::SpiffeId;

use super::domain::RevokedSerial;
use crate::identity::svid::Svid;

/// A workload of this node.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) entitlement: Entitlement,
    pub(super) state: State,
    /// What is served; there exactly when the state has a term.
    pub(super) svid: Option<Arc<Svid>>,
    /// The last question about it, of all that the keeper ever asked; 0 when none is open. An answer to another is
    /// dropped.
    pub(super) question: u64,
    /// The vault was asked for a certificate from before the agent started.
    pub(super) looked: bool,
    /// Certificates issued since the agent started.
    pub(super) issued: u64,
    /// Certificates that were served before, and have not ended: a revocation means them too.
    pub(super) earlier: Vec<RevokedSerial>,
}

impl Member {
    pub(super) const fn new(entitlement: Entitlement) -> Self {
        Self {
            entitlement,
            state: State::Absent,
            svid: None,
            question: 0,
            looked: false,
            issued: 0,
            earlier: Vec::new(),
        }
    }

    /// Its ID, if the policy gives it one.
    pub(super) fn id(&self) -> Option<&SpiffeId> {
        self.entitlement.id.as_ref().ok()
    }
}
