//! The tunnel's terms one by one.

use std::net::SocketAddr;
use std::sync::Arc;

use enforcer_common::reason;
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::{Action, Bound, Mode, Policy, Rule, Tier};
use enforcer_core::proxy::authorize::{Court, Inbound, Outbound, Parties, Permit, Refusal};

use crate::support::build::{Objects, binding, of, rule, tcp, tenant, workload};
use crate::support::generate::{NOW, facts};

const RED: u32 = 16;
const BLUE: u32 = 17;

/// `web` of red is here, `db` of blue elsewhere; red may call blue's port 80 over mutual TLS.
fn objects() -> Objects {
    let mut db = workload("db", "blue", &["10.0.0.2"]);
    db.node = Some("n2".into());
    Objects {
        tenants: vec![tenant("red", RED, Tier::Shared), tenant("blue", BLUE, Tier::Shared)],
        workloads: vec![workload("web", "red", &["10.0.0.1", "fd00::1"]), db],
        bindings: vec![
            binding("10.0.9.1", Bound::RemoteNode),
            binding("10.0.8.1", Bound::Tenant("blue".into())),
        ],
        rules: vec![red_to_blue()],
    }
}

fn red_to_blue() -> Rule {
    let ports = Some(tcp(80, 80));
    Rule { mtls_required: true, ports, ..rule("r1", of("red"), of("blue"), Action::Allow) }
}

fn court(objects: &Objects) -> Court {
    let policy: Arc<Policy> = Arc::new(objects.policy());
    let facts: Arc<NodeFacts> = Arc::new(facts(&policy));
    Court::new(policy, facts, 7)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn outbound() -> Outbound {
    Outbound {
        workload: "web".into(),
        identity: RED,
        own: "red".into(),
        source: address("10.0.0.1:40000"),
        destination: address("10.0.0.2:80"),
        peer: Some("blue".into()),
    }
}

/// From `db` to `web`.
fn inbound() -> Inbound {
    Inbound {
        workload: "web".into(),
        own: "red".into(),
        carrier: address("10.0.0.2:1").ip(),
        source: address("10.0.0.2:40000"),
        destination: address("10.0.0.1:80"),
        peer: "blue".into(),
    }
}

fn out(objects: &Objects, change: impl FnOnce(&mut Outbound)) -> Result<Permit, Refusal> {
    let mut parties = outbound();
    change(&mut parties);
    court(objects).authorize(&Parties::Outbound(parties), NOW)
}

fn arriving(objects: &Objects, change: impl FnOnce(&mut Inbound)) -> Result<Permit, Refusal> {
    let mut parties = inbound();
    change(&mut parties);
    court(objects).authorize(&Parties::Inbound(parties), NOW)
}

fn back() -> Objects {
    let rule = Rule { mtls_required: true, ..rule("r2", of("blue"), of("red"), Action::Allow) };
    objects().with_rule(rule)
}

fn refused(answer: Result<Permit, Refusal>) -> u16 {
    answer.expect_err("a permit").reason
}

#[test]
fn a_permit_says_by_which_rule_and_who_must_be_at_the_other_end() {
    let permit = out(&objects(), |parties| parties.peer = None).unwrap();
    assert_eq!((permit.revision(), &**permit.rule_name(), permit.rule()), (7, "r1", 1001));
    assert_eq!((&**permit.source(), &**permit.destination()), ("red", "blue"));
    assert_eq!((permit.audited(), permit.shadow(), permit.lapses()), (None, None, None));
}

#[test]
fn mutual_tls_is_what_the_rule_asked_for_whatever_else_it_asks() {
    let mut always = objects();
    always.rules[0].mtls_always = true;
    assert!(out(&always, |_| {}).is_ok());
    let mut plain = objects();
    plain.rules[0].mtls_required = false;
    assert!(out(&plain, |_| {}).is_ok(), "what may go in plaintext may go in the tunnel");
}

#[test]
fn other_ports_and_the_other_way_are_not_allowed_with_it() {
    assert_eq!(
        refused(out(&objects(), |parties| parties.destination.set_port(81))),
        reason::CROSS_TENANT_NO_RULE
    );
    assert_eq!(refused(arriving(&objects(), |_| {})), reason::CROSS_TENANT_NO_RULE);
    assert!(arriving(&back(), |_| {}).is_ok());
}

#[test]
fn a_deny_beats_the_tunnel() {
    let denied = objects().with_rule(rule("r0", of("red"), of("blue"), Action::Deny));
    let refusal = out(&denied, |_| {}).unwrap_err();
    assert_eq!((refusal.reason, refusal.rule.as_deref()), (reason::RULE_DENIED, Some("r0")));
}

/// What is withheld for want of the other tenant's word is refused, though plaintext is refused for mutual TLS too.
#[test]
fn an_isolated_tenant_needs_both_words() {
    let mut isolated = objects();
    isolated.tenants[1].tier = Tier::Isolated;
    assert_eq!(refused(out(&isolated, |_| {})), reason::NOT_CARRIED_BY_BOTH);
    isolated.rules[0].carried_by = vec!["red".into(), "blue".into()];
    isolated.rules[0].mtls_required = false;
    assert!(out(&isolated, |_| {}).is_ok(), "the tier asks for mutual TLS by itself");
}

/// A rule that is not carried allows nothing and takes nothing from one that is, whatever their names.
#[test]
fn a_withheld_rule_takes_nothing_from_one_that_is_carried() {
    for name in ["r0", "r2"] {
        let mut isolated = objects().with_rule(Rule { name: name.into(), ..red_to_blue() });
        isolated.tenants[1].tier = Tier::Isolated;
        isolated.rules[0].carried_by = vec!["red".into(), "blue".into()];
        assert_eq!(out(&isolated, |_| {}).map(|permit| permit.rule_name().to_string()), Ok("r1".to_owned()));
    }
}

#[test]
fn the_kernel_and_the_certificate_must_name_one_tenant_at_both_ends() {
    let identity = |answer| assert_eq!(refused(answer), reason::TUNNEL_IDENTITY);
    identity(out(&objects(), |parties| parties.identity = BLUE));
    identity(out(&objects(), |parties| parties.own = "blue".into()));
    identity(out(&objects(), |parties| parties.peer = Some("red".into())));
    identity(out(&objects(), |parties| parties.workload = "db".into()));
    identity(out(&objects(), |parties| parties.workload = "gone".into()));
    identity(arriving(&back(), |parties| parties.peer = "red".into()));
    identity(arriving(&back(), |parties| parties.own = "blue".into()));
    identity(arriving(&back(), |parties| parties.workload = "db".into()));
}

#[test]
fn a_flow_comes_from_where_its_connection_comes_from() {
    let elsewhere = arriving(&back(), |parties| parties.source = address("10.0.8.1:40000"));
    assert_eq!(refused(elsewhere), reason::TUNNEL_IDENTITY);
    let mapped = arriving(&back(), |parties| parties.carrier = "::ffff:10.0.0.2".parse().unwrap());
    assert!(mapped.is_ok());
}

#[test]
fn behind_a_nodes_address_the_certificate_speaks_and_behind_a_strangers_it_does_not() {
    let from = |source: &str, peer: &str| {
        arriving(&back(), |parties| {
            parties.source = address(source);
            parties.carrier = parties.source.ip();
            parties.peer = peer.into();
        })
    };
    assert!(from("10.0.9.1:40000", "blue").is_ok());
    assert!(from("172.18.0.1:40000", "blue").is_ok(), "this node's own address");
    assert_eq!(refused(from("10.0.9.1:40000", "grey")), reason::TENANT_UNKNOWN);
    assert_eq!(refused(from("192.0.2.1:40000", "blue")), reason::TUNNEL_IDENTITY);
}

#[test]
fn a_flow_only_goes_to_the_workload_at_whose_listener_it_arrived() {
    for target in ["10.0.0.2:80", "10.0.0.3:80", "172.18.0.1:80", "127.0.0.1:80"] {
        let asked = arriving(&back(), |parties| parties.destination = address(target));
        assert_eq!(refused(asked), reason::TUNNEL_TARGET, "{target}");
    }
    assert!(arriving(&back(), |parties| parties.destination = address("[fd00::1]:80")).is_ok());
}

#[test]
fn the_agents_own_ports_are_no_target() {
    for port in [15_001, 15_008] {
        assert_eq!(
            refused(out(&objects(), |parties| parties.destination.set_port(port))),
            reason::TUNNEL_TARGET
        );
        assert_eq!(
            refused(arriving(&back(), |parties| parties.destination.set_port(port))),
            reason::TUNNEL_TARGET
        );
    }
}

#[test]
fn nobody_but_a_tenant_is_at_the_other_end() {
    for stranger in ["192.0.2.1:80", "10.0.9.1:80", "172.18.0.1:80"] {
        let asked = out(&objects(), |parties| parties.destination = address(stranger));
        assert_eq!(refused(asked), reason::TUNNEL_IDENTITY, "{stranger}");
    }
}

#[test]
fn a_lapsed_lease_refuses_and_the_permit_says_when_one_will() {
    let leased = |until| {
        let mut objects = objects();
        objects.workloads[0].lease_until = Some(until);
        out(&objects, |_| {})
    };
    assert_eq!(refused(leased(NOW - 1)), reason::LEASE_EXPIRED);
    assert_eq!(leased(NOW + 1).unwrap().lapses(), Some(NOW + 1));
    let mut inside = objects();
    inside.workloads[0].lease_until = Some(NOW - 1);
    let to_itself = out(&inside, |parties| {
        parties.destination = address("10.0.0.1:9");
        parties.peer = Some("red".into());
    });
    assert_eq!(to_itself.unwrap().lapses(), None, "inside a tenant a lease decides nothing");
}

#[test]
fn a_tenant_in_audit_refuses_nothing_and_it_is_marked() {
    let mut audit = objects();
    audit.tenants[1].mode = Mode::Audit;
    assert_eq!(out(&audit, |_| {}).unwrap().audited(), None, "the rule allows it");
    let permit = out(&audit, |parties| parties.destination.set_port(81)).unwrap();
    assert_eq!(permit.audited(), Some(reason::CROSS_TENANT_NO_RULE));
    let stranger = out(&audit, |parties| parties.peer = Some("red".into()));
    assert_eq!(refused(stranger), reason::TUNNEL_IDENTITY, "who somebody is, is no rule");
}

#[test]
fn a_rule_in_audit_is_a_shadow_where_it_changes_the_answer() {
    let trial = |action, mtls_required| {
        let rule = Rule { mode: Mode::Audit, mtls_required, ..rule("r0", of("red"), of("blue"), action) };
        out(&objects().with_rule(rule), |_| {})
            .unwrap()
            .shadow()
            .map(|(name, word)| (name.to_string(), *word))
    };
    assert_eq!(trial(Action::Deny, false), Some(("r0".to_owned(), "deny")));
    assert_eq!(trial(Action::Allow, true), None);
    assert_eq!(trial(Action::Allow, false), None);
}
