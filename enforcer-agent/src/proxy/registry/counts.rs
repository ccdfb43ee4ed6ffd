//! What is counted under a tenant's name, since the agent started or the tenant came.

use std::collections::BTreeMap;

use enforcer_core::policy::model::Name;

use super::Registry;
use super::flow::{Direction, EndReason, Flow, Hop};

/// How a TLS handshake went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Handshake {
    /// With certificates.
    Full,
    /// By a ticket of an earlier one.
    Resumed,
    /// It did not come to an end.
    Failed,
}

impl Handshake {
    /// The word for metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Resumed => "resumed",
            Self::Failed => "failed",
        }
    }
}

/// Every key is one of an enum's or a drop reason: there are never more than a few dozen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) opened: BTreeMap<(Direction, Hop), u64>,
    pub(super) refused: BTreeMap<(Direction, u16), u64>,
    pub(super) ended: BTreeMap<EndReason, u64>,
    pub(super) handshakes: BTreeMap<(Direction, Handshake), u64>,
    pub(super) reused: u64,
    /// Of flows that are no more: from initiator to responder, and back.
    pub(super) bytes: [u64; 2],
}

impl Counts {
    pub(super) fn opened(&mut self, flow: &Flow) {
        let Some(met) = &flow.met else { return };
        *self.opened.entry((flow.direction(), met.hop)).or_default() += 1;
        self.reused += u64::from(met.reused);
    }

    pub(super) fn ended(&mut self, reason: EndReason) {
        *self.ended.entry(reason).or_default() += 1;
    }

    pub(super) fn add_bytes(&mut self, bytes: [u64; 2]) {
        for (sum, bytes) in self.bytes.iter_mut().zip(bytes) {
            *sum = sum.saturating_add(bytes);
        }
    }
}

impl Registry {
    /// Counts a flow of a workload of this tenant that was not let through.
    pub fn refused(&self, tenant: &Name, direction: Direction, reason: u16) {
        self.count(&self.court(), tenant, |counts| {
            *counts.refused.entry((direction, reason)).or_default() += 1
        });
    }

    /// Counts a handshake of a workload of this tenant.
    pub fn handshake(&self, tenant: &Name, direction: Direction, handshake: Handshake) {
        self.count(&self.court(), tenant, |counts| {
            *counts.handshakes.entry((direction, handshake)).or_default() += 1
        });
    }
}
