//! The way to a verdict on a flow, in sentences.

use enforcer_common::identity;
use enforcer_common::maps::{FIRST_RULE, RULE_NEIGHBOUR, RULE_TUNNEL};
use enforcer_common::packet::PROTOCOL_TCP;
use enforcer_common::policy::Question;
use enforcer_common::reason;
use enforcer_common::verdict::{ALLOW, AUDIT, Verdict};

use crate::policy::compile::asks_for_tunnel;
use crate::policy::model::{Policy, Tenant};

use super::party::{Party, identity_name};
use super::{reason_text, rule_name, shadow_word};

pub(super) fn flow_steps(
    policy: &Policy,
    question: &Question,
    verdict: &Verdict,
    source: &Party,
    destination: &Party,
) -> Vec<String> {
    let mut steps = vec![format!("source: {}", source.how), format!("destination: {}", destination.how)];
    steps.push(who_decides(policy, question));
    if question.expired != 0 {
        steps.push("the lease of an end has lapsed: no cross-tenant flow passes".to_owned());
    }
    steps.extend(tiers(policy, question));
    steps.push(ruling(policy, question, verdict));
    if verdict.shadow_rule != 0 {
        let shadow = rule_name(policy, verdict.shadow_rule);
        let action = shadow_word(policy, verdict);
        steps.push(format!("rule {shadow} is in audit mode; enforced, it would make this {action}"));
    }
    if verdict.action == AUDIT {
        steps.push(
            "the deciding tenant is in audit mode: the refusal is recorded, and the packet passes".to_owned(),
        );
    }
    steps
}

fn who_decides(policy: &Policy, question: &Question) -> String {
    let (owner, role) = if identity::is_tenant(question.destination) {
        (question.destination, "the receiving end")
    } else if identity::is_tenant(question.source) {
        (question.source, "the sending end, towards no tenant")
    } else {
        return "no end is a tenant: not this wall's business".to_owned();
    };
    let name = identity_name(policy, owner);
    let rules = policy.index.rules_by_owner.get(name.as_str()).map_or(0, imbl::OrdSet::len);
    format!("the rules of tenant {name} decide ({role}); it has {rules}")
}

/// Tiers matter between two tenants only.
fn tiers(policy: &Policy, question: &Question) -> Option<String> {
    let tenant = |number| policy.tenants.get(policy.index.tenant_by_id.get(number)?);
    let (from, to) = (tenant(&question.source)?, tenant(&question.destination)?);
    if from.id == to.id {
        return Some("both ends are of one tenant: allowed unless a rule denies it".to_owned());
    }
    let words = |tenant: &Tenant| {
        let platform = if tenant.platform_service { ", a platform service" } else { "" };
        format!("{} is {}{platform}", tenant.name, format!("{:?}", tenant.tier).to_lowercase())
    };
    Some(format!(
        "two tenants: denied unless a rule allows it on both tiers' terms ({}; {})",
        words(from),
        words(to)
    ))
}

fn ruling(policy: &Policy, question: &Question, verdict: &Verdict) -> String {
    let name = rule_name(policy, verdict.rule);
    if asks_for_tunnel(policy, verdict.rule) {
        return match (verdict.action, question.protocol) {
            (ALLOW, _) => format!("rule {name}: allowed as it is: both ends are on this node"),
            (_, PROTOCOL_TCP) => {
                format!("rule {name}: allowed over mutual TLS; plaintext is refused with mtls_required")
            }
            (_, _) => {
                format!("rule {name}: refused with mtls_required: only TCP can be carried over mutual TLS")
            }
        };
    }
    let text = reason_text(verdict.reason);
    match (verdict.rule >= FIRST_RULE, verdict.action) {
        (true, ALLOW) => format!("rule {name} allows it"),
        (true, _) if verdict.reason == reason::RULE_DENIED => format!("rule {name} denies it"),
        (true, _) => format!("rule {name} would allow it, but its terms are not met: {text}"),
        (false, ALLOW) if verdict.rule == RULE_TUNNEL => {
            format!(
                "{name}: this connection carries flows over mutual TLS; each of them is decided at its ends"
            )
        }
        (false, _) if verdict.rule == RULE_TUNNEL => {
            format!("{name}: nobody holds the workload's end of the tunnel, so it may not be reached: {text}")
        }
        (false, _) if verdict.rule == RULE_NEIGHBOUR => {
            format!("{name}: allowed for addresses that are the sender's own, whatever the rules say")
        }
        (false, _) if verdict.reason == reason::ICMP_ERROR_UNRELATED => {
            "an ICMP error passes only as the answer to a tracked flow, whatever the rules say".to_owned()
        }
        (false, ALLOW) => format!("no rule speaks of it; {name} allows it"),
        (false, _) => format!("no rule speaks of it: {text}"),
    }
}
