//! One rule as seen from one pair of owner and peer, and the order in which rules prevail.

use std::cmp::Ordering;

use enforcer_common::maps::{ACTION_ALLOW, ACTION_DENY, RULE_NO_MATCH, RULE_TENANT_EGRESS};
use enforcer_common::reason;

use crate::policy::model::{Action, EgressRule, Mode, Name, Policy, PortRange, Rule, Tenant, Tier};

/// What a rule says once the terms of both tenants' tiers were heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ruling {
    /// A deny rule: beats everything.
    Deny,
    /// An allow rule whose terms are met.
    Allow,
    /// An allow rule whose terms are not met. It allows nothing and takes nothing from a rule that does; it
    /// explains the no with this drop reason.
    Withhold(u16),
}

impl Ruling {
    pub(super) const fn action(self) -> u8 {
        match self {
            Self::Allow => ACTION_ALLOW,
            Self::Deny | Self::Withhold(_) => ACTION_DENY,
        }
    }

    pub(super) const fn reason(self) -> u16 {
        match self {
            Self::Allow => reason::NONE,
            Self::Deny => reason::RULE_DENIED,
            Self::Withhold(reason) => reason,
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Deny => 0,
            Self::Allow => 1,
            Self::Withhold(_) => 2,
        }
    }
}

/// A rule of the owner about one peer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clause<'a> {
    /// Number for records.
    pub(super) number: u32,
    /// `None` for the owner's own egress list.
    name: Option<&'a Name>,
    pub(super) ruling: Ruling,
    pub(super) mode: Mode,
    /// Every protocol and service when `None`.
    pub(super) ports: Option<&'a [PortRange]>,
}

impl<'a> Clause<'a> {
    /// `peer` is the tenant on the other side, if there is one.
    pub(super) fn of_rule(policy: &Policy, owner: &Tenant, peer: Option<&Tenant>, rule: &'a Rule) -> Self {
        Self {
            // A rule without a number would still be enforced; its records would not name it.
            number: policy.index.rule_number(&rule.name).unwrap_or(RULE_NO_MATCH),
            name: Some(&rule.name),
            ruling: ruling(owner, peer, rule),
            mode: rule.mode,
            ports: rule.ports.as_deref(),
        }
    }

    pub(super) fn of_egress(egress: &'a EgressRule) -> Self {
        Self {
            number: RULE_TENANT_EGRESS,
            name: None,
            ruling: Ruling::Allow,
            mode: Mode::Enforce,
            ports: egress.ports.as_deref(),
        }
    }

    /// Who prevails: deny, then allow, then what was withheld; among equals the first name, so that records
    /// do not depend on the order of a push. The egress list has no name and comes last.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let key = |clause: &Self| (clause.ruling.rank(), clause.name.is_none());
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }
}

fn ruling(owner: &Tenant, peer: Option<&Tenant>, rule: &Rule) -> Ruling {
    if rule.action == Action::Deny {
        return Ruling::Deny;
    }
    let isolated = peer.is_some_and(|peer| {
        peer.name != owner.name && (peer.tier == Tier::Isolated || owner.tier == Tier::Isolated)
    });
    let carried = |tenant: &Tenant| rule.carried_by.contains(&tenant.name);
    if isolated && !(carried(owner) && peer.is_some_and(carried)) {
        return Ruling::Withhold(reason::NOT_CARRIED_BY_BOTH);
    }
    // Plaintext is all that the kernel sees until there is a tunnel; the isolated tier asks for one anyway.
    if isolated || rule.mtls_required {
        return Ruling::Withhold(reason::MTLS_REQUIRED);
    }
    Ruling::Allow
}
