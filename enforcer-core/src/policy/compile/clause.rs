//! One rule as seen from one pair of owner and peer, and the order in which rules prevail.

use std::cmp::Ordering;

use enforcer_common::maps::{
    ACTION_ALLOW, ACTION_DENY, ACTION_TUNNEL, ACTION_TUNNEL_ALWAYS, RULE_NO_MATCH, RULE_TENANT_EGRESS,
};
use enforcer_common::reason;

use crate::policy::model::{Action, EgressRule, Mode, Name, Peer, Policy, PortRange, Rule, Tenant, Tier};

/// What a rule says once the terms of both tenants' tiers were heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Ruling {
    /// A deny rule: beats everything.
    Deny,
    /// An allow rule whose terms are met.
    Allow,
    /// An allow rule that asks for mutual TLS: between two workloads of one node it allows as it is, elsewhere it
    /// refuses plaintext. It takes nothing from a rule that allows.
    Tunnel,
    /// The same, on one node too. It takes nothing from a rule that asks for less.
    TunnelAlways,
    /// An allow rule whose terms are not met. It allows nothing and takes nothing from a rule that does; it
    /// explains the no with this drop reason.
    Withhold(u16),
}

impl Ruling {
    pub(super) const fn action(self) -> u8 {
        match self {
            Self::Allow => ACTION_ALLOW,
            Self::Tunnel => ACTION_TUNNEL,
            Self::TunnelAlways => ACTION_TUNNEL_ALWAYS,
            Self::Deny | Self::Withhold(_) => ACTION_DENY,
        }
    }

    /// The drop reason where it refuses.
    pub(super) const fn reason(self) -> u16 {
        match self {
            Self::Allow => reason::NONE,
            Self::Deny => reason::RULE_DENIED,
            Self::Tunnel | Self::TunnelAlways => reason::MTLS_REQUIRED,
            Self::Withhold(reason) => reason,
        }
    }

    /// True for a rule that the tunnel carries flows for.
    pub(super) const fn is_tunnel(self) -> bool {
        match self {
            Self::Tunnel | Self::TunnelAlways => true,
            Self::Deny | Self::Allow | Self::Withhold(_) => false,
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Deny => 0,
            Self::Allow => 1,
            Self::Tunnel => 2,
            Self::TunnelAlways => 3,
            Self::Withhold(_) => 4,
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

    /// Who prevails: deny; then what allows, the less a rule asks for the earlier: plaintext, the tunnel between nodes,
    /// the tunnel always; then what was withheld. Among equals the first name, so that records do not depend on the
    /// order of a push. The egress list has no name and comes last.
    pub(super) fn precedence(&self, other: &Self) -> Ordering {
        let key = |clause: &Self| (clause.ruling.rank(), clause.name.is_none());
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }
}

/// What a rule between two tenants says, with the two.
pub(super) fn between_tenants<'a>(
    policy: &'a Policy,
    rule: &'a Rule,
) -> Option<(&'a Tenant, &'a Tenant, Ruling)> {
    let (Peer::Tenant(from), Peer::Tenant(to)) = (&rule.from, &rule.to) else { return None };
    let (from, to) = (policy.tenants.get(from)?, policy.tenants.get(to)?);
    Some((from, to, ruling(to, Some(from), rule)))
}

/// True for the number of a rule that allows over mutual TLS, on its tenants' terms.
#[must_use]
pub fn asks_for_tunnel(policy: &Policy, number: u32) -> bool {
    let name = policy.index.rule_numbers.get(&number);
    let rule = name.and_then(|name| policy.rules.get(name));
    let ruling = rule.and_then(|rule| between_tenants(policy, rule));
    ruling.is_some_and(|(.., ruling)| ruling.is_tunnel())
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
    // The isolated tier asks for mutual TLS whatever the rule says.
    match (isolated || rule.mtls_required, peer.is_some(), rule.mtls_always) {
        (false, _, _) => Ruling::Allow,
        (true, true, false) => Ruling::Tunnel,
        (true, true, true) => Ruling::TunnelAlways,
        // Nobody holds the other end of a tunnel with the host, another node or the world.
        (true, false, _) => Ruling::Withhold(reason::MTLS_REQUIRED),
    }
}
