//! A verdict: the answer, the rule behind it, and the reason of a refusal.

use crate::maps::ACTION_ALLOW;
use crate::reason;

/// Let it pass.
pub const ALLOW: u8 = 1;
/// Refuse it.
pub const DENY: u8 = 2;
/// It would be refused, but its tenant or rule is in audit mode: record it, let it pass.
pub const AUDIT: u8 = 3;

/// What [`crate::policy::decide`] and [`crate::device::decide_device`] answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The rule that decided; `RULE_NO_MATCH` when none spoke.
    pub rule: u32,
    /// An audit rule that would have decided otherwise, or zero.
    pub shadow_rule: u32,
    /// The tenant whose rules were asked; zero when no tenant's were.
    pub owner: u32,
    /// That tenant's generation.
    pub generation: u32,
    /// Why it was refused, also when the refusal is only audited.
    pub reason: u16,
    /// [`ALLOW`], [`DENY`] or [`AUDIT`].
    pub action: u8,
    /// What the action would be with audit rules enforced: [`ALLOW`] or [`DENY`]; equal to the action
    /// when they change nothing.
    pub shadow_action: u8,
    /// 1 when a rule allows the flow through the tunnel, which is all that plaintext lacks.
    pub tunnel: u32,
}

impl Verdict {
    /// Allowed by `rule`.
    #[must_use]
    #[inline(always)]
    pub const fn allow(rule: u32) -> Self {
        Self {
            rule,
            shadow_rule: 0,
            owner: 0,
            generation: 0,
            reason: reason::NONE,
            action: ALLOW,
            shadow_action: ALLOW,
            tunnel: 0,
        }
    }

    /// Refused by `rule` because of `reason`.
    #[must_use]
    #[inline(always)]
    pub const fn deny(rule: u32, reason: u16) -> Self {
        Self {
            rule,
            shadow_rule: 0,
            owner: 0,
            generation: 0,
            reason,
            action: DENY,
            shadow_action: DENY,
            tunnel: 0,
        }
    }

    /// The same verdict with a refusal only recorded.
    #[must_use]
    #[inline(always)]
    pub const fn audited(mut self) -> Self {
        if self.action == DENY {
            self.action = AUDIT;
        }
        self
    }

    /// True when the flow is refused as it is, and the tunnel may take it.
    #[must_use]
    #[inline(always)]
    pub const fn asks_for_tunnel(&self) -> bool {
        self.tunnel != 0 && self.action == DENY
    }

    /// The same verdict, made under an owner's generation.
    #[must_use]
    #[inline(always)]
    pub const fn under(mut self, owner: u32, generation: u32) -> Self {
        self.owner = owner;
        self.generation = generation;
        self
    }

    /// The same verdict, with what an audit rule would have said.
    #[must_use]
    #[inline(always)]
    pub const fn shadowed(mut self, rule: u32, action: u8) -> Self {
        if rule != 0 {
            self.shadow_rule = rule;
            self.shadow_action = if action == ACTION_ALLOW { ALLOW } else { DENY };
        }
        self
    }

    /// True when the packet, socket or open may go on.
    #[must_use]
    #[inline(always)]
    pub const fn passes(&self) -> bool {
        self.action != DENY
    }
}

/// The word for an action.
#[must_use]
pub const fn action_name(action: u8) -> &'static str {
    match action {
        ALLOW => "allow",
        DENY => "deny",
        AUDIT => "audit",
        _ => "unassigned",
    }
}
