//! What a policy entitles to: which workload has which SPIFFE ID, on which node, and whose bundles it may have.

use std::collections::{BTreeMap, BTreeSet};

use super::spiffe_id::{SpiffeId, SpiffeIdError};
use super::trust_domain::TrustDomain;
use crate::policy::model::{Action, Mode, Name, Peer, Policy, Rule, Workload};

/// Everything that a policy says of identities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlements {
    /// The fleet's own trust domain.
    pub fleet: TrustDomain,
    /// By workload.
    pub members: BTreeMap<Name, Entitlement>,
    /// Trust domains of the policy's tenants.
    pub domains: BTreeMap<TrustDomain, Domain>,
}

/// A workload's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entitlement {
    /// Its tenant.
    pub tenant: Name,
    /// Its tenant's trust domain; the fleet's, which vouches for no workload, when the tenant can have none.
    pub domain: TrustDomain,
    /// Its ID, or why the policy gives it none.
    pub id: Result<SpiffeId, NoIdentity>,
    /// Its node; `None` for the node that reads the policy.
    pub node: Option<Name>,
}

/// Why a workload has no ID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIdentity {
    /// The ID is made of both.
    #[error("the policy gives it no namespace and service account")]
    NoAccount,
    /// Longer than an ID may be, or with a character that none may have.
    #[error("its names make no SPIFFE ID: {0}")]
    Id(#[from] SpiffeIdError),
    /// No certificate is taken for such a name (ID-3), so none is issued.
    #[error("its tenant's trust domain {0} would be an address")]
    Address(TrustDomain),
}

/// A tenant's trust domain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domain {
    /// The tenant.
    pub tenant: Name,
    /// Trust domains whose bundles its workloads are given: those that an allow rule in force connects it with,
    /// either way. Never its own.
    pub federates_with: BTreeSet<TrustDomain>,
    /// Nodes that have a workload of it; `None` for the node that reads the policy.
    pub nodes: BTreeSet<Option<Name>>,
}

/// Reads a policy, once through its tenants, workloads and rules.
#[must_use]
pub fn entitle(policy: &Policy, fleet: &TrustDomain) -> Entitlements {
    let names: BTreeMap<&Name, Result<TrustDomain, NoIdentity>> =
        policy.tenants.keys().map(|tenant| (tenant, domain_of(tenant, fleet))).collect();
    let mut domains = BTreeMap::new();
    for (tenant, domain) in &names {
        if let Ok(domain) = domain {
            domains.insert(domain.clone(), Domain { tenant: Name::clone(tenant), ..Domain::default() });
        }
    }
    let mut members = BTreeMap::new();
    for (name, workload) in &policy.workloads {
        let domain =
            names.get(&workload.tenant).cloned().unwrap_or_else(|| domain_of(&workload.tenant, fleet));
        if let Some(place) = domain.as_ref().ok().and_then(|domain| domains.get_mut(domain)) {
            place.nodes.insert(workload.node.clone());
        }
        members.insert(Name::clone(name), entitlement(workload, domain, fleet));
    }
    for (one, other) in policy.rules.values().filter_map(|rule| connected(rule)) {
        let both = names.get(one).zip(names.get(other));
        if let Some((Ok(one), Ok(other))) = both {
            federate(&mut domains, one, other);
            federate(&mut domains, other, one);
        }
    }
    Entitlements { fleet: fleet.clone(), members, domains }
}

fn domain_of(tenant: &Name, fleet: &TrustDomain) -> Result<TrustDomain, NoIdentity> {
    let domain = TrustDomain::of_tenant(tenant, fleet)?;
    if domain.is_address() { Err(NoIdentity::Address(domain)) } else { Ok(domain) }
}

fn entitlement(
    workload: &Workload,
    domain: Result<TrustDomain, NoIdentity>,
    fleet: &TrustDomain,
) -> Entitlement {
    let (domain, id) = match domain {
        Ok(domain) => {
            let id = id(workload, &domain);
            (domain, id)
        }
        Err(error) => (fleet.clone(), Err(error)),
    };
    Entitlement { tenant: Name::clone(&workload.tenant), domain, id, node: workload.node.clone() }
}

fn id(workload: &Workload, domain: &TrustDomain) -> Result<SpiffeId, NoIdentity> {
    let Workload { namespace, service_account, .. } = workload;
    if namespace.is_empty() || service_account.is_empty() {
        return Err(NoIdentity::NoAccount);
    }
    Ok(domain.member(&format!("/ns/{namespace}/sa/{service_account}"))?)
}

/// The two tenants that a rule lets meet. A deny connects nobody; nor does a rule that is only being tried out, since
/// a bundle that was handed out is trust that was given.
fn connected(rule: &Rule) -> Option<(&Name, &Name)> {
    match (&rule.from, &rule.to, rule.action, rule.mode) {
        (Peer::Tenant(from), Peer::Tenant(to), Action::Allow, Mode::Enforce) if from != to => {
            Some((from, to))
        }
        _ => None,
    }
}

fn federate(domains: &mut BTreeMap<TrustDomain, Domain>, one: &TrustDomain, other: &TrustDomain) {
    if let Some(domain) = domains.get_mut(one) {
        domain.federates_with.insert(other.clone());
    }
}

impl Entitlements {
    /// True when a workload of `domain` is placed on `node`; `own` is the node that reads the policy.
    #[must_use]
    pub fn is_placed(&self, domain: &TrustDomain, node: &str, own: &str) -> bool {
        let Some(domain) = self.domains.get(domain) else { return false };
        domain.nodes.iter().any(|placed| placed.as_deref().unwrap_or(own) == node)
    }

    /// True when a workload of `node` has this ID.
    #[must_use]
    pub fn may_have(&self, id: &SpiffeId, node: &str, own: &str) -> bool {
        self.members
            .values()
            .any(|member| member.id.as_ref() == Ok(id) && member.node.as_deref().unwrap_or(own) == node)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::policy::model::{DataClassification, Tenant, Tier};

    const TENANTS: [&str; 4] = ["red", "blue", "green", "grey"];

    fn fleet() -> TrustDomain {
        "fleet.example".parse().unwrap()
    }

    fn tenant(name: &str) -> Arc<Tenant> {
        Arc::new(Tenant {
            name: name.into(),
            id: 16,
            tier: Tier::Shared,
            data_classification: DataClassification::Internal,
            mode: Mode::Enforce,
            platform_service: false,
            egress: Vec::new(),
            devices: Vec::new(),
        })
    }

    fn workload(name: &str, tenant: &str, account: (&str, &str), node: Option<&str>) -> Arc<Workload> {
        Arc::new(Workload {
            name: name.into(),
            tenant: tenant.into(),
            node: node.map(Into::into),
            cgroup: None,
            interface: None,
            network_namespace: None,
            host_network: false,
            addresses: Vec::new(),
            namespace: account.0.to_owned(),
            service_account: account.1.to_owned(),
            lease_until: None,
            encapsulations: 0,
        })
    }

    fn rule(name: &str, from: Peer, to: Peer, action: Action, mode: Mode) -> Arc<Rule> {
        Arc::new(Rule {
            name: name.into(),
            from,
            to,
            ports: None,
            action,
            mode,
            mtls_required: false,
            mtls_always: false,
            carried_by: Vec::new(),
        })
    }

    fn peer(name: &str) -> Peer {
        Peer::Tenant(name.into())
    }

    fn allow(name: &str, from: &str, to: &str) -> Arc<Rule> {
        rule(name, peer(from), peer(to), Action::Allow, Mode::Enforce)
    }

    fn policy(workloads: &[Arc<Workload>], rules: &[Arc<Rule>]) -> Policy {
        Policy {
            tenants: TENANTS.iter().map(|name| (Name::from(*name), tenant(name))).collect(),
            workloads: workloads.iter().map(|one| (Name::clone(&one.name), Arc::clone(one))).collect(),
            rules: rules.iter().map(|one| (Name::clone(&one.name), Arc::clone(one))).collect(),
            ..Policy::default()
        }
    }

    fn federated(rules: &[Arc<Rule>], tenant: &str) -> Vec<String> {
        let entitlements = entitle(&policy(&[], rules), &fleet());
        let domain = TrustDomain::of_tenant(tenant, &fleet()).unwrap();
        entitlements.domains[&domain].federates_with.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_workload_is_named_below_its_own_tenants_trust_domain() {
        let web = workload("web", "red", ("shop", "front"), Some("node-1"));
        let local = workload("local", "red", ("shop", "front"), None);
        let bare = workload("bare", "blue", ("shop", ""), Some("node-2"));
        let nowhere = workload("nowhere", "blue", ("", "front"), None);
        let entitlements = entitle(&policy(&[web, local, bare, nowhere], &[]), &fleet());
        let web = &entitlements.members["web"];
        let id = web.id.as_ref().unwrap();
        assert_eq!(id.as_str(), "spiffe://red.fleet.example/ns/shop/sa/front");
        assert_eq!((web.tenant.as_ref(), web.domain.as_str()), ("red", "red.fleet.example"));
        assert_eq!(entitlements.members["bare"].id, Err(NoIdentity::NoAccount));
        assert_eq!(entitlements.members["nowhere"].id, Err(NoIdentity::NoAccount));

        let red: TrustDomain = "red.fleet.example".parse().unwrap();
        assert!(
            entitlements.is_placed(&red, "node-1", "self") && entitlements.is_placed(&red, "self", "self")
        );
        assert!(!entitlements.is_placed(&red, "node-2", "self"));
        assert!(!entitlements.is_placed(&fleet(), "node-1", "self"));
        assert!(entitlements.may_have(id, "node-1", "self") && !entitlements.may_have(id, "node-2", "self"));
    }

    #[test]
    fn an_account_may_have_every_name_that_a_policy_may_give_it() {
        let dotted = workload("web", "red", ("shop", "front.v2-a"), None);
        let entitlements = entitle(&policy(&[dotted], &[]), &fleet());
        assert!(entitlements.members["web"].id.is_ok());
    }

    /// ID-3, ID-5.
    #[test]
    fn a_tenant_whose_trust_domain_cannot_be_has_no_members() {
        let long: TrustDomain = "a".repeat(253).parse().unwrap();
        let web = workload("web", "red", ("shop", "front"), None);
        let entitlements = entitle(&policy(&[Arc::clone(&web)], &[allow("a", "red", "blue")]), &long);
        let refused = NoIdentity::Id(SpiffeIdError::TrustDomainTooLong(257));
        assert_eq!(entitlements.members["web"].id, Err(refused));
        assert!(entitlements.domains.is_empty());

        let mut numbered = policy(&[workload("web", "10", ("shop", "front"), None)], &[]);
        numbered.tenants.insert("10".into(), tenant("10"));
        let entitlements = entitle(&numbered, &"0.0.1".parse().unwrap());
        assert!(matches!(entitlements.members["web"].id, Err(NoIdentity::Address(_))));
    }

    #[test]
    fn an_allow_rule_federates_two_tenants_both_ways() {
        let rules = [allow("a", "red", "blue"), allow("b", "green", "red")];
        assert_eq!(federated(&rules, "red"), ["blue.fleet.example", "green.fleet.example"]);
        assert_eq!(federated(&rules, "blue"), ["red.fleet.example"]);
        assert_eq!(federated(&rules, "grey"), [""; 0]);
    }

    #[test]
    fn removing_the_only_allow_rule_withdraws_the_bundles() {
        let rules = [allow("a", "red", "blue"), allow("b", "blue", "red")];
        assert_eq!(federated(&rules[..1], "blue"), ["red.fleet.example"]);
        assert_eq!(federated(&rules[1..], "blue"), ["red.fleet.example"]);
        assert_eq!(federated(&[], "blue"), [""; 0]);
        assert_eq!(federated(&[], "red"), [""; 0]);
    }

    #[test]
    fn what_is_no_allow_rule_in_force_between_two_tenants_federates_nobody() {
        let nothing = [
            rule("a", peer("red"), peer("blue"), Action::Deny, Mode::Enforce),
            rule("b", peer("red"), peer("blue"), Action::Allow, Mode::Audit),
            rule("c", Peer::World, peer("red"), Action::Allow, Mode::Enforce),
            rule("d", peer("red"), Peer::Host, Action::Allow, Mode::Enforce),
            allow("e", "red", "red"),
            allow("f", "red", "unknown"),
        ];
        assert_eq!(federated(&nothing, "red"), [""; 0]);
    }

    fn any_rules() -> impl Strategy<Value = Vec<Arc<Rule>>> {
        let one = (0..TENANTS.len(), 0..TENANTS.len(), any::<bool>(), any::<bool>());
        prop::collection::vec(one, 0..12).prop_map(|rules| {
            let made = rules.into_iter().enumerate().map(|(index, (from, to, allows, enforces))| {
                let action = if allows { Action::Allow } else { Action::Deny };
                let mode = if enforces { Mode::Enforce } else { Mode::Audit };
                rule(&format!("rule-{index}"), peer(TENANTS[from]), peer(TENANTS[to]), action, mode)
            });
            made.collect()
        })
    }

    proptest! {
        #[test]
        fn an_added_deny_never_widens_federation(mut rules in any_rules(), from in 0..4_usize, to in 0..4_usize) {
            let before = entitle(&policy(&[], &rules), &fleet());
            rules.push(rule("added", peer(TENANTS[from]), peer(TENANTS[to]), Action::Deny, Mode::Enforce));
            prop_assert_eq!(entitle(&policy(&[], &rules), &fleet()), before);
        }

        #[test]
        fn federation_is_mutual_and_never_with_oneself(rules in any_rules()) {
            let entitlements = entitle(&policy(&[], &rules), &fleet());
            for (name, domain) in &entitlements.domains {
                prop_assert!(!domain.federates_with.contains(name));
                for other in &domain.federates_with {
                    prop_assert!(entitlements.domains[other].federates_with.contains(name));
                }
            }
        }

        #[test]
        fn each_federation_stands_on_a_rule_that_allows_it(rules in any_rules()) {
            let entitlements = entitle(&policy(&[], &rules), &fleet());
            for domain in entitlements.domains.values() {
                for other in &domain.federates_with {
                    let (one, other) = (&domain.tenant, &entitlements.domains[other].tenant);
                    prop_assert!(rules.iter().any(|rule| rule.action == Action::Allow
                        && rule.mode == Mode::Enforce
                        && [(&rule.from, &rule.to), (&rule.to, &rule.from)]
                            .contains(&(&peer(one), &peer(other)))));
                }
            }
        }
    }
}
