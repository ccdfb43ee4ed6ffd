//! One response, and how far it is.

use enforcer_proto::v1;
use serde::{Deserialize, Serialize};

use super::Mode;
use crate::detect::alert::timestamp;
use crate::policy::model::{Name, UnixNanos};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// So many new flows a second.
    RateLimit(u32),
    /// No new flow.
    DenyNew,
    /// A workload's certificates are withdrawn.
    Revoke,
}

impl Kind {
    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::RateLimit(_) => "rate-limit",
            Self::DenyNew => "deny-new",
            Self::Revoke => "revoke",
        }
    }

    /// What the kernel does for it; `None` when it does nothing.
    pub(super) const fn mode(self) -> Option<Mode> {
        match self {
            Self::RateLimit(rate) => Some(Mode::Limit(rate)),
            Self::DenyNew => Some(Mode::DenyNew),
            Self::Revoke => None,
        }
    }
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its number; empty for one that was not begun.
    pub id: String,
    /// Whom it is for.
    pub tenant: Name,
    /// The workload, for [`Kind::Revoke`].
    pub workload: Option<Name>,
    /// What is done.
    pub kind: Kind,
    /// The rule that asked for it.
    pub rule: Name,
    /// Nothing is done.
    pub dry_run: bool,
    /// Since when.
    pub started: UnixNanos,
    /// Until when.
    pub expires: UnixNanos,
    /// The alert's sentence.
    pub explanation: String,
}

impl From<&Response> for v1::Response {
    fn from(response: &Response) -> Self {
        let Response { id, tenant, workload, kind, rule, dry_run, started, expires, explanation } = response;
        Self {
            id: id.clone(),
            tenant: tenant.to_string(),
            workload: workload.as_deref().unwrap_or_default().to_owned(),
            kind: kind.word().to_owned(),
            rule: rule.to_string(),
            dry_run: *dry_run,
            started: Some(timestamp(*started)),
            expires: Some(timestamp(*expires)),
            explanation: explanation.clone(),
        }
    }
}

/// How far it is. While something is being done, nothing else is begun for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Being done.
    Starting {
        /// An earlier run of the agent began it.
        resumed: bool,
    },
    /// In force.
    Active,
    /// Being made to last longer.
    Extending {
        /// Its end before.
        before: UnixNanos,
    },
    /// Being undone.
    Ending {
        /// Not for the first time.
        again: bool,
    },
    /// It could not be undone.
    Unended {
        /// When it is tried again.
        retry_at: UnixNanos,
    },
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) response: Response,
    pub(super) phase: Phase,
    /// The operator who ended it.
    pub(super) ended_by: Option<String>,
}

impl Entry {
    /// True for what the kernel should do: not for what only would be done, or ends.
    pub(super) const fn is_meant(&self) -> bool {
        let goes_on = matches!(self.phase, Phase::Starting { .. } | Phase::Active | Phase::Extending { .. });
        goes_on && !self.response.dry_run
    }

    pub(super) fn step_back(&mut self, back: u64) {
        let before = |at: UnixNanos| at.saturating_sub(back);
        self.response.started = before(self.response.started);
        self.response.expires = before(self.response.expires);
        self.phase = match self.phase {
            Phase::Extending { before: end } => Phase::Extending { before: before(end) },
            Phase::Unended { retry_at } => Phase::Unended { retry_at: before(retry_at) },
            other @ (Phase::Starting { .. } | Phase::Active | Phase::Ending { .. }) => other,
        };
    }
}
