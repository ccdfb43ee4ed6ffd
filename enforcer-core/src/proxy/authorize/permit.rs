//! The two answers.

use std::fmt;

use enforcer_common::reason;

use crate::policy::model::{Name, UnixNanos};

/// A flow was authorised. It has no public constructor: whoever holds one was given it by [`super::Court`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) revision: u64,
    pub(super) rule: u32,
    pub(super) rule_name: Name,
    pub(super) source: Name,
    pub(super) destination: Name,
    pub(super) audited: Option<u16>,
    pub(super) shadow: Option<(Name, &'static str)>,
    pub(super) lapses: Option<UnixNanos>,
}

impl Permit {
    /// The revision of the policy that it was made under.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// Number of the rule that allows it, as kernel records have it.
    #[must_use]
    pub const fn rule(&self) -> u32 {
        self.rule
    }

    /// Name of that rule, or of a default.
    #[must_use]
    pub const fn rule_name(&self) -> &Name {
        &self.rule_name
    }

    /// The initiator's tenant.
    #[must_use]
    pub const fn source(&self) -> &Name {
        &self.source
    }

    /// The responder's tenant: which the other end's certificate must name.
    #[must_use]
    pub const fn destination(&self) -> &Name {
        &self.destination
    }

    /// The drop reason of a refusal that is only recorded, because its tenant is in audit mode.
    #[must_use]
    pub const fn audited(&self) -> Option<u16> {
        self.audited
    }

    /// An audit rule that would change the answer, and the word for what it would be.
    #[must_use]
    pub const fn shadow(&self) -> Option<&(Name, &'static str)> {
        self.shadow.as_ref()
    }

    /// When the first lease ends on which it depends.
    #[must_use]
    pub const fn lapses(&self) -> Option<UnixNanos> {
        self.lapses
    }
}

/// A flow was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// A drop reason of `enforcer_common::reason`.
    pub reason: u16,
    /// The rule behind it; a default's name when no rule spoke, `None` when none was asked.
    pub rule: Option<Name>,
    /// What exactly was wrong, for operators.
    pub detail: String,
}

impl Refusal {
    pub(super) const fn unasked(reason: u16, detail: String) -> Self {
        Self { reason, rule: None, detail }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", reason::name(self.reason), self.detail)
    }
}

impl std::error::Error for Refusal {}
