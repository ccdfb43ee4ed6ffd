//! A rule by itself.

use enforcer_proto::v1;

use super::scope::{Scope, all};
use super::{name, peer, ports};
use crate::policy::model::{Peer, Rule};
use crate::policy::parse::path::At;
use crate::policy::parse::words::{ACTIONS, MODES};

/// More names than a rule has sides.
const MAX_CARRIERS: usize = 2;

pub(super) fn parse(scope: &mut Scope, list: &At, index: usize, message: &v1::Rule) -> Option<Rule> {
    let v1::Rule { name, from, to, ports, action, mode, mtls_required, carried_by, mtls_always } = message;
    let at = list.object(index, name);
    let name = name::subdomain(scope, &at.field("name"), name);
    let from = peer::parse(scope, &at.field("from"), from.as_ref());
    let to = peer::parse(scope, &at.field("to"), to.as_ref());
    let ports = ports::parse(scope, &at.field("ports"), ports.as_ref());
    let action = scope.word(&at.field("action"), ACTIONS, *action);
    let mode = scope.word(&at.field("mode"), MODES, *mode);
    let carriers = at.field("carriedBy");
    if !scope.at_most(&carriers, carried_by.len(), MAX_CARRIERS) {
        return None;
    }
    let carried_by = all(carried_by
        .iter()
        .enumerate()
        .map(|(index, text)| name::tenant(scope, &carriers.item(index), text)));
    let rule = Rule {
        name: name?,
        from: from?,
        to: to?,
        ports: ports?,
        action: action?,
        mode: mode?,
        mtls_required: *mtls_required,
        mtls_always: *mtls_always,
        carried_by: carried_by?,
    };
    has_a_tenant(scope, &at, &rule).then_some(())?;
    always_is_required(scope, &at, &rule).then_some(())?;
    carriers_are_sides(scope, &carriers, &rule).then_some(rule)
}

fn has_a_tenant(scope: &mut Scope, at: &At, rule: &Rule) -> bool {
    if rule.owner().is_none() {
        let message = "neither side is a tenant, so that no tenant's protection is concerned; name a tenant in from or to";
        scope.refuse("no_tenant_side", at, message);
    }
    rule.owner().is_some()
}

fn always_is_required(scope: &mut Scope, at: &At, rule: &Rule) -> bool {
    let right = rule.mtls_required || !rule.mtls_always;
    if !right {
        let message = "is true, but mtlsRequired is not, so that there is nothing to do always; state mtlsRequired: true";
        scope.refuse("always_without_mtls", &at.field("mtlsAlways"), message);
    }
    right
}

fn carriers_are_sides(scope: &mut Scope, at: &At, rule: &Rule) -> bool {
    let mut right = true;
    for (index, carrier) in rule.carried_by.iter().enumerate() {
        let is_side = |peer: &Peer| matches!(peer, Peer::Tenant(name) if name == carrier);
        if !is_side(&rule.from) && !is_side(&rule.to) {
            let message =
                format!("'{carrier}' is neither from nor to; only a side of the rule can agree to it");
            scope.refuse("carrier_is_no_side", &at.item(index), message);
            right = false;
        }
        if rule.carried_by.iter().take(index).any(|other| other == carrier) {
            scope.refuse(
                "duplicate_item",
                &at.item(index),
                format!("'{carrier}' is listed twice; list it once"),
            );
            right = false;
        }
    }
    right
}
