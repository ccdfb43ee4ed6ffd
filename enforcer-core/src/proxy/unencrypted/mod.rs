//! What a policy leaves in plaintext between nodes, in sentences for a person. Nothing that may cross a wire
//! unencrypted goes unsaid; what stays within a node is not its subject.

mod ports;

use std::collections::BTreeMap;

use crate::policy::model::{Action, EgressRule, IpBlock, Mode, Name, Peer, Policy, Rule, Tenant, Tier};

use ports::{covers, overlaps, ports_text};

/// Sentences about one tenant; more are only counted.
const SENTENCES_MAX: usize = 64;

/// Every tenant that may exchange something with other nodes unencrypted, and what.
#[must_use]
pub fn unencrypted(policy: &Policy) -> Vec<(Name, Vec<String>)> {
    let mut told: BTreeMap<&Name, Vec<String>> = BTreeMap::new();
    for tenant in policy.tenants.values() {
        told.insert(&tenant.name, about(policy, tenant));
    }
    let all_denies = all_denies(policy);
    for rule in policy.rules.values().filter(|rule| is_plain(policy, rule)) {
        let denies = denies(&all_denies, rule);
        if covers(denies.iter().map(|deny| deny.ports.as_deref()), rule.ports.as_deref()) {
            continue;
        }
        for (tenant, sentence) in about_rule(rule, &denies) {
            told.entry(tenant).or_default().push(sentence);
        }
    }
    told.into_iter()
        .filter(|(_, sentences)| !sentences.is_empty())
        .map(|(tenant, sentences)| (Name::clone(tenant), bounded(sentences)))
        .collect()
}

/// What holds without a rule between tenants.
fn about(policy: &Policy, tenant: &Tenant) -> Vec<String> {
    let audit = (tenant.mode == Mode::Audit).then(|| {
        "whatever its rules refuse, mutual TLS or not: the tenant is in audit mode, which only records"
            .to_owned()
    });
    let egress = tenant.egress.iter().map(|EgressRule { block, ports }| {
        format!("egress: to {}, {}", block_text(block), ports_text(ports.as_deref()))
    });
    audit.into_iter().chain(inside(policy, tenant)).chain(egress).collect()
}

/// The default inside the tenant, less what its rules about itself take from it.
fn inside(policy: &Policy, tenant: &Tenant) -> Option<String> {
    let takes = |rule: &&Rule| is_inside(rule, tenant) && (rule.action == Action::Deny || rule.mtls_required);
    let rules: Vec<&Rule> = owned(policy, tenant).filter(takes).collect();
    if covers(rules.iter().map(|rule| rule.ports.as_deref()), None) {
        return None;
    }
    let less = rules.iter().map(|rule| {
        let why = if rule.action == Action::Deny { "denies it" } else { "asks for mutual TLS" };
        format!(", but not {} (rule {} {why})", ports_text(rule.ports.as_deref()), rule.name)
    });
    let has_tunnel = rules.iter().any(|rule| rule.action == Action::Allow);
    let never = if has_tunnel { "; the tunnel carries TCP, and no UDP, SCTP or ICMP" } else { "" };
    let less: String = less.collect();
    Some(format!("inside the tenant, by default: every protocol and port{less}{never}"))
}

fn is_inside(rule: &Rule, tenant: &Tenant) -> bool {
    let is_it = |peer: &Peer| matches!(peer, Peer::Tenant(name) if *name == tenant.name);
    is_it(&rule.from) && is_it(&rule.to)
}

/// Enforced rules of this owner.
fn owned<'a>(policy: &'a Policy, owner: &Tenant) -> impl Iterator<Item = &'a Rule> {
    let names = policy.index.rules_by_owner.get(&owner.name).into_iter().flatten();
    let rules = names.filter_map(|name| policy.rules.get(name)).map(AsRef::as_ref);
    rules.filter(|rule| rule.mode == Mode::Enforce)
}

/// True for a rule by which plaintext may pass between nodes.
fn is_plain(policy: &Policy, rule: &Rule) -> bool {
    if rule.action != Action::Allow || rule.mode != Mode::Enforce || rule.mtls_required {
        return false;
    }
    let tenant = |name: &Name| policy.tenants.get(name).map(AsRef::as_ref);
    match (&rule.from, &rule.to) {
        (Peer::Host, _) | (_, Peer::Host) => false,
        (Peer::Tenant(from), Peer::Tenant(to)) if from == to => {
            tenant(to).is_some_and(|tenant| takes_back(policy, tenant, rule))
        }
        (Peer::Tenant(from), Peer::Tenant(to)) => {
            tenant(from).zip(tenant(to)).is_some_and(|(from, to)| may_meet_in_plaintext(from, to))
        }
        _ => true,
    }
}

/// Inside a tenant the default says it all, unless the rule takes something back from one that asks for mutual TLS.
fn takes_back(policy: &Policy, tenant: &Tenant, rule: &Rule) -> bool {
    let asks =
        |other: &Rule| is_inside(other, tenant) && other.action == Action::Allow && other.mtls_required;
    owned(policy, tenant).any(|other| asks(other) && overlaps(other.ports.as_deref(), rule.ports.as_deref()))
}

/// The tier isolated asks for mutual TLS by itself, and dedicated for a platform service at the other end.
fn may_meet_in_plaintext(from: &Tenant, to: &Tenant) -> bool {
    let is_either = |tier| from.tier == tier || to.tier == tier;
    let is_served = from.platform_service || to.platform_service;
    !is_either(Tier::Isolated) && (is_served || !is_either(Tier::Dedicated))
}

/// Enforced deny rules by owner: few, beside all the rules that an owner may have.
fn all_denies(policy: &Policy) -> BTreeMap<&Name, Vec<&Rule>> {
    let mut denies: BTreeMap<&Name, Vec<&Rule>> = BTreeMap::new();
    for rule in policy.rules.values() {
        if let (Action::Deny, Mode::Enforce, Some(owner)) = (rule.action, rule.mode, rule.owner()) {
            denies.entry(owner).or_default().push(rule);
        }
    }
    denies
}

/// The deny rules that take something from this one everywhere it speaks.
fn denies<'a>(all: &BTreeMap<&Name, Vec<&'a Rule>>, rule: &Rule) -> Vec<&'a Rule> {
    let is_about_it = |deny: &&Rule| {
        speaks_wherever(&deny.from, &rule.from)
            && speaks_wherever(&deny.to, &rule.to)
            && overlaps(deny.ports.as_deref(), rule.ports.as_deref())
    };
    let owned = rule.owner().and_then(|owner| all.get(owner)).into_iter().flatten().copied();
    owned.filter(is_about_it).collect()
}

fn speaks_wherever(deny: &Peer, allow: &Peer) -> bool {
    match (deny, allow) {
        (Peer::World, Peer::World | Peer::Block(_)) => true,
        (Peer::Block(deny), Peer::Block(allow)) => deny.except.is_empty() && deny.cidr.contains(&allow.cidr),
        (deny, allow) => deny == allow,
    }
}

/// A sentence for each tenant that the rule is about.
fn about_rule<'a>(rule: &'a Rule, denies: &[&Rule]) -> Vec<(&'a Name, String)> {
    let less = if denies.is_empty() {
        String::new()
    } else {
        let names: Vec<&str> = denies.iter().map(|deny| &*deny.name).collect();
        format!(", less what {} denies", names.join(", "))
    };
    let ports = ports_text(rule.ports.as_deref());
    let tell =
        |way: &str, peer: &Peer| format!("rule {}: {way} {}, {ports}{less}", rule.name, peer_text(peer));
    match (&rule.from, &rule.to) {
        (Peer::Tenant(from), Peer::Tenant(to)) if from == to => {
            vec![(to, format!("rule {}: inside the tenant, {ports}{less}", rule.name))]
        }
        (Peer::Tenant(from), Peer::Tenant(to)) => {
            vec![(from, tell("to", &rule.to)), (to, tell("from", &rule.from))]
        }
        (Peer::Tenant(from), other) => vec![(from, tell("to", other))],
        (other, Peer::Tenant(to)) => vec![(to, tell("from", other))],
        _ => Vec::new(),
    }
}

fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Tenant(name) => format!("tenant {name}"),
        Peer::Host => "this node".to_owned(),
        Peer::RemoteNode => "other nodes".to_owned(),
        Peer::World => "the world".to_owned(),
        Peer::Block(block) => block_text(block),
    }
}

fn block_text(block: &IpBlock) -> String {
    let except: Vec<String> = block.except.iter().map(ToString::to_string).collect();
    let less = if except.is_empty() { String::new() } else { format!(" less {}", except.join(" and ")) };
    format!("{}{less}", block.cidr)
}

fn bounded(mut sentences: Vec<String>) -> Vec<String> {
    let more = sentences.len().saturating_sub(SENTENCES_MAX);
    if more > 0 {
        sentences.truncate(SENTENCES_MAX);
        sentences.push(format!("and {more} more"));
    }
    sentences
}
