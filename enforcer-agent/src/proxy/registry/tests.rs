//! The table of flows under changes: policies, revocations, endings.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_common::reason;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::node::{Capabilities, NodeFacts};
use enforcer_core::policy::change::{Change, apply};
use enforcer_core::policy::image::Entries;
use enforcer_core::policy::model::{Name, Policy};
use enforcer_core::policy::parse::yaml;
use enforcer_core::proxy::authorize::{Court, Inbound, Outbound, Parties};
use enforcer_core::proxy::trace::TraceId;

use super::{EndReason, Flow, Handshake, Hop, Met, Registry, Seen, Ticket, follow_deadlines};
use crate::config::settings::TunnelLimits;
use crate::door::stop::Stopper;
use crate::proxy::budget::Budgets;
use crate::proxy::registry::Direction;

const NOW: Duration = Duration::from_secs(1_800_000_000);
const WEB: &str = "spiffe://red.fleet.example/ns/a/sa/web";
const DB: &str = "spiffe://blue.fleet.example/ns/a/sa/db";

const OBJECTS: &str = "
apiVersion: enforcer.dev/v1
kind: Tenant
metadata: {name: red}
spec: {id: 100, tier: shared, dataClassification: internal}
---
apiVersion: enforcer.dev/v1
kind: Tenant
metadata: {name: blue}
spec: {id: 101, tier: shared, dataClassification: internal}
---
apiVersion: enforcer.dev/v1
kind: Workload
metadata: {name: web}
spec: {tenant: red, interface: w1, addresses: [10.0.0.1]}
---
apiVersion: enforcer.dev/v1
kind: Binding
spec: {address: 10.0.0.2, tenant: blue, generation: 1, lease: 90s}
";

const RULE: &str = "---
apiVersion: enforcer.dev/v1
kind: Rule
metadata: {name: web-to-db}
spec: {from: {tenant: red}, to: {tenant: blue}, action: allow}
";

fn policy(text: &str) -> Arc<Policy> {
    let documents = yaml::read(&[("test.yaml", text)]);
    let nanos = u64::try_from(NOW.as_nanos()).unwrap();
    let changed = apply(&Policy::default(), &Change::Documents { documents, prune: true }, nanos).unwrap();
    Arc::new(changed.policy)
}

fn court(revision: u64, text: &str) -> Arc<Court> {
    let facts = NodeFacts {
        name: "here".to_owned(),
        capabilities: Capabilities::all(),
        capacity: Entries::default(),
        ..NodeFacts::default()
    };
    Arc::new(Court::new(policy(text), Arc::new(facts), revision))
}

fn allowing(revision: u64) -> Arc<Court> {
    court(revision, &format!("{OBJECTS}{RULE}"))
}

fn refusing(revision: u64) -> Arc<Court> {
    court(revision, OBJECTS)
}

/// Who was revoked, as the identity room would say.
type Revoked = Arc<Mutex<BTreeSet<String>>>;

fn registry(court: Arc<Court>) -> (Arc<Registry>, Revoked) {
    let limits = TunnelLimits { connections: 10, handshakes_per_second: 10, buffered_bytes: 1000 };
    let revoked = Revoked::default();
    let told = Arc::clone(&revoked);
    let is_revoked = Arc::new(move |id: &SpiffeId| told.lock().unwrap().contains(id.as_str()));
    (Registry::new(court, is_revoked, Arc::new(Budgets::new(limits))), revoked)
}

fn seen(id: &str, seconds: u64) -> Seen {
    Seen { id: id.parse().unwrap(), serial: "0a".to_owned(), not_after: NOW + Duration::from_secs(seconds) }
}

fn met() -> Met {
    Met { peer: seen(DB, 600), tenant: "blue".into(), hop: Hop::Native, resumed: true, reused: false }
}

fn flow() -> Flow {
    Flow {
        parties: Parties::Outbound(Outbound {
            workload: "web".into(),
            identity: 100,
            own: "red".into(),
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:5432".parse().unwrap(),
            peer: None,
        }),
        trace: TraceId::new([7; 16]).unwrap(),
        cookie: 99,
        since: NOW,
        own: seen(WEB, 3600),
        met: None,
    }
}

fn carried(registry: &Arc<Registry>) -> Ticket {
    let ticket = registry.register(flow());
    ticket.authorize(NOW).unwrap();
    ticket.met(met(), NOW).unwrap();
    ticket.carried();
    ticket
}

#[test]
fn a_new_policy_ends_what_it_does_not_allow_and_keeps_the_rest() {
    let (registry, _) = registry(allowing(1));
    let ticket = carried(&registry);
    registry.reauthorize(allowing(2), NOW);
    assert_eq!(ticket.end(), None);
    registry.reauthorize(refusing(3), NOW);
    assert_eq!(ticket.end(), Some(EndReason::Policy));
    registry.reauthorize(allowing(4), NOW);
    assert_eq!(ticket.end(), Some(EndReason::Policy), "a verdict is not taken back");
    assert_eq!(registry.len(), 1, "until its ticket is dropped it is a flow");
    drop(ticket);
    assert!(registry.is_empty());
}

#[test]
fn a_lapsed_lease_ends_a_flow_at_the_next_look() {
    let (registry, _) = registry(allowing(1));
    let ticket = carried(&registry);
    registry.recheck(NOW + Duration::from_secs(91));
    assert_eq!(ticket.end(), Some(EndReason::Policy));
}

#[test]
fn a_later_handshake_of_the_same_two_extends_a_flow_and_of_others_does_not() {
    let (registry, _) = registry(allowing(1));
    let ticket = carried(&registry);
    let at = |seconds| NOW + Duration::from_secs(seconds);
    assert_eq!(ticket.certified_until(), Some(at(600)));
    let other = "spiffe://blue.fleet.example/ns/a/sa/other";
    registry.renew(&"web".into(), &seen(WEB, 7200), &seen(other, 7200), NOW);
    registry.renew(&"api".into(), &seen(WEB, 7200), &seen(DB, 7200), NOW);
    assert_eq!(ticket.certified_until(), Some(at(600)));
    registry.renew(&"web".into(), &seen(WEB, 5000), &seen(DB, 4000), NOW);
    assert_eq!(ticket.certified_until(), Some(at(4000)));
    registry.renew(&"web".into(), &seen(WEB, 100), &seen(DB, 100), at(10));
    assert_eq!(ticket.certified_until(), Some(at(4000)), "an older certificate shortens nothing");
    registry.expire(at(601));
    assert_eq!(ticket.end(), Some(EndReason::Expired), "the binding's lease ends all the same");
}

/// An hour's certificates before, and minutes' now.
#[test]
fn shorter_certificates_than_the_pair_had_before_extend_a_flow_too() {
    let (registry, _) = registry(allowing(1));
    let at = |seconds| NOW + Duration::from_secs(seconds);
    registry.renew(&"web".into(), &seen(WEB, 7200), &seen(DB, 7200), NOW);
    let ticket = carried(&registry);
    registry.renew(&"web".into(), &seen(WEB, 900), &seen(DB, 900), at(5));
    assert_eq!(ticket.certified_until(), Some(at(900)));
}

/// More flows than are heard at once, and all of them are.
#[test]
fn every_flow_is_heard() {
    let (registry, _) = registry(allowing(1));
    let tickets: Vec<Ticket> = (0..1_000).map(|_| carried(&registry)).collect();
    registry.reauthorize(refusing(2), NOW);
    assert!(tickets.iter().all(|ticket| ticket.end() == Some(EndReason::Policy)));
}

#[test]
fn a_revoked_identity_at_either_end_ends_a_flow_and_begins_none() {
    for id in [WEB, DB] {
        let (registry, revoked) = registry(allowing(1));
        let ticket = carried(&registry);
        revoked.lock().unwrap().insert(id.to_owned());
        registry.recheck(NOW);
        assert_eq!(ticket.end(), Some(EndReason::Revoked));
        let late = registry.register(flow());
        let answer = late.authorize(NOW).and_then(|_| late.met(met(), NOW));
        assert_eq!(answer.unwrap_err().reason, reason::TUNNEL_CERTIFICATE);
    }
}

#[test]
fn the_other_ends_certificate_must_name_the_tenant_that_was_permitted() {
    let (registry, _) = registry(allowing(1));
    let ticket = registry.register(flow());
    assert_eq!(&**ticket.authorize(NOW).unwrap().destination(), "blue");
    let imposter = Met { tenant: "red".into(), ..met() };
    assert_eq!(ticket.met(imposter, NOW).unwrap_err().reason, reason::TUNNEL_IDENTITY);
}

/// A flow's life in steps that each hold the table's lock once, or not at all.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Register,
    CheckRevoked,
    Judge,
    Settle,
}

/// What happens to everyone, in such steps.
#[derive(Clone, Copy, Debug)]
enum News {
    Seat,
    Walk,
    Revoke,
}

/// Every order in which two sequences may meet: `true` takes from the first.
fn orders(first: usize, second: usize) -> Vec<Vec<bool>> {
    match (first, second) {
        (0, rest) => vec![vec![false; rest]],
        (rest, 0) => vec![vec![true; rest]],
        _ => {
            let prefixed = |head: bool, tails: Vec<Vec<bool>>| {
                tails.into_iter().map(move |tail| [vec![head], tail].concat())
            };
            prefixed(true, orders(first - 1, second))
                .chain(prefixed(false, orders(first, second - 1)))
                .collect()
        }
    }
}

/// A flow that goes through its steps, one at a time.
struct Stepper {
    registry: Arc<Registry>,
    ticket: Option<Ticket>,
    judged: Option<(
        Arc<Court>,
        Result<enforcer_core::proxy::authorize::Permit, enforcer_core::proxy::authorize::Refusal>,
    )>,
    is_permitted: bool,
    is_refused: bool,
}

impl Stepper {
    fn step(&mut self, step: Step) {
        match (step, &self.ticket) {
            (Step::Register, _) => self.ticket = Some(self.registry.register(flow())),
            (Step::CheckRevoked, Some(ticket)) => self.is_refused = ticket.not_revoked().is_err(),
            (Step::Judge, Some(ticket)) => {
                let (court, parties) = ticket.case();
                let answer = court.authorize(&parties, super::ticket::nanos(NOW));
                self.judged = Some((court, answer));
            }
            (Step::Settle, Some(ticket)) => {
                let (court, answer) = self.judged.take().unwrap();
                match ticket.settle(&court, answer) {
                    Some(answer) => self.is_permitted = answer.is_ok() && !self.is_refused,
                    // What `authorize` does in its loop; the court cannot change again here.
                    None => {
                        self.step(Step::Judge);
                        self.step(Step::Settle);
                    }
                }
            }
            (_, None) => panic!("{step:?} before the flow was registered"),
        }
    }

    fn goes_on(&self) -> bool {
        self.is_permitted && self.ticket.as_ref().is_some_and(|ticket| ticket.end().is_none())
    }
}

const STEPS: [Step; 4] = [Step::Register, Step::CheckRevoked, Step::Judge, Step::Settle];

/// Runs a flow and a change in every order; none may leave the flow going on.
fn in_every_order(changes: &[News], next: fn(u64) -> Arc<Court>) {
    let orders = orders(STEPS.len(), changes.len());
    assert!(orders.len() >= 15);
    for order in orders {
        let (registry, revoked) = registry(allowing(1));
        let mut flow = Stepper {
            registry: Arc::clone(&registry),
            ticket: None,
            judged: None,
            is_permitted: false,
            is_refused: false,
        };
        let (mut steps, mut rest) = (STEPS.iter(), changes.iter());
        for is_flow in &order {
            if *is_flow {
                flow.step(*steps.next().unwrap());
                continue;
            }
            match rest.next().unwrap() {
                News::Seat => registry.seat(&next(2)),
                News::Walk => registry.recheck(NOW),
                News::Revoke => drop(revoked.lock().unwrap().insert(WEB.to_owned())),
            }
        }
        assert!(!flow.goes_on(), "{order:?}");
    }
}

#[test]
fn no_order_of_events_lets_a_flow_slip_past_a_new_policy() {
    in_every_order(&[News::Seat, News::Walk], refusing);
}

#[test]
fn no_order_of_events_lets_a_flow_slip_past_a_revocation() {
    in_every_order(&[News::Revoke, News::Walk], allowing);
}

/// The same with threads, as they come.
#[test]
fn no_flow_slips_past_a_new_policy_in_a_crowd() {
    let (registry, _) = registry(allowing(1));
    let begin = std::sync::Barrier::new(5);
    let open = || {
        begin.wait();
        (0..200)
            .map(|_| registry.register(flow()))
            .map(|ticket| (ticket.authorize(NOW).is_ok(), ticket))
            .collect::<Vec<_>>()
    };
    let flows: Vec<(bool, Ticket)> = std::thread::scope(|scope| {
        let openers: Vec<_> = (0..4).map(|_| scope.spawn(open)).collect();
        begin.wait();
        registry.reauthorize(refusing(2), NOW);
        openers.into_iter().flat_map(|opener| opener.join().unwrap()).collect()
    });
    assert!(flows.iter().all(|(is_permitted, ticket)| !is_permitted || ticket.end().is_some()));
}

#[tokio::test]
async fn a_flow_hears_that_it_must_end() {
    let (registry, _) = registry(allowing(1));
    let ticket = carried(&registry);
    let (reason, ()) = tokio::join!(ticket.cancelled(), async { registry.end_all(EndReason::Drained) });
    assert_eq!(reason, EndReason::Drained);
    registry.end_all(EndReason::Shutdown);
    assert_eq!(ticket.cancelled().await, EndReason::Drained, "the first reason stays");
    let ((), ()) = tokio::join!(registry.emptied(), async { drop(ticket) });
}

#[test]
fn the_first_certificate_or_lease_that_ends_is_the_deadline() {
    let (registry, _) = registry(allowing(1));
    let at = |seconds| NOW + Duration::from_secs(seconds);
    let own = registry.register(flow());
    assert_eq!(registry.expire(NOW), Some(at(3600)));
    own.authorize(NOW).unwrap();
    assert_eq!(registry.expire(NOW), Some(at(90)), "the lease of the other end's address");
    let short = Met { peer: seen(DB, 60), ..met() };
    own.met(short, NOW).unwrap();
    assert_eq!(registry.expire(at(59)), Some(at(60)));
    assert_eq!(own.end(), None);
    assert_eq!(registry.expire(at(60)), None);
    assert_eq!(own.end(), Some(EndReason::Expired));
    drop(own);
    assert_eq!(registry.expire(NOW), None);
}

#[tokio::test(start_paused = true)]
async fn one_timer_ends_each_flow_in_its_time() {
    let (registry, _) = registry(allowing(1));
    let start = tokio::time::Instant::now();
    let clock = Arc::new(move || NOW + start.elapsed());
    let stopper = Stopper::default();
    let timer = tokio::spawn(follow_deadlines(Arc::clone(&registry), clock, stopper.listener()));
    tokio::task::yield_now().await;
    let tickets: Vec<Ticket> = [50, 20, 40]
        .into_iter()
        .map(|seconds| registry.register(Flow { own: seen(WEB, seconds), ..flow() }))
        .collect();
    for (ticket, seconds) in [(&tickets[1], 20), (&tickets[2], 40), (&tickets[0], 50)] {
        assert_eq!(ticket.cancelled().await, EndReason::Expired);
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    stopper.stop();
    timer.await.unwrap();
}

#[test]
fn a_listing_names_both_ends() {
    let (registry, _) = registry(allowing(1));
    let ticket = carried(&registry);
    ticket.traffic().add_sent(10);
    ticket.traffic().add_received(20);
    let place = registry.budgets().share(&"red".into()).connection().unwrap();
    let listed = registry.list(Some(&Name::from("blue")));
    assert!(listed.budgets.is_empty(), "blue has none here");
    let [tunnel] = listed.tunnels.as_slice() else { panic!("{listed:?}") };
    assert_eq!(*tunnel, ticket.describe());
    let (source, destination) = (tunnel.source.as_ref().unwrap(), tunnel.destination.as_ref().unwrap());
    assert_eq!(
        (&*source.identity, &*source.workload, &*source.address, source.port),
        ("red", "web", "10.0.0.1", 40000)
    );
    assert_eq!((&*destination.identity, &*destination.workload, destination.port), ("blue", "", 5432));
    let facts = tunnel.facts.as_ref().unwrap();
    assert_eq!((&*facts.source_id, &*facts.destination_id), (WEB, DB));
    assert_eq!((&*facts.hop, &*facts.direction, &*facts.event), ("native", "outbound", "opened"));
    assert_eq!((facts.bytes_forward, facts.bytes_back, facts.cookie), (10, 20, 99));
    assert_eq!((&*tunnel.rule, tunnel.until.unwrap().seconds), ("web-to-db", 1_800_000_090));
    assert!(registry.list(Some(&Name::from("grey"))).tunnels.is_empty());
    assert_eq!(registry.list(None).budgets[0].connections, 1);
    drop(place);
}

#[test]
fn a_flow_that_arrives_has_its_ends_the_other_way_around() {
    let (registry, _) = registry(court(
        1,
        &format!(
            "{OBJECTS}{}",
            RULE.replace(
                "{from: {tenant: red}, to: {tenant: blue}",
                "{from: {tenant: blue}, to: {tenant: red}"
            )
        ),
    ));
    let parties = Parties::Inbound(Inbound {
        workload: "web".into(),
        own: "red".into(),
        carrier: "10.0.0.2".parse().unwrap(),
        source: "10.0.0.2:40000".parse().unwrap(),
        destination: "10.0.0.1:80".parse().unwrap(),
        peer: "blue".into(),
    });
    let ticket = registry.register(Flow { parties, met: Some(met()), ..flow() });
    ticket.authorize(NOW).unwrap();
    let tunnel = ticket.describe();
    let facts = tunnel.facts.unwrap();
    assert_eq!((&*facts.source_id, &*facts.destination_id), (DB, WEB));
    assert_eq!((&*tunnel.source.unwrap().identity, &*tunnel.destination.unwrap().workload), ("blue", "web"));
}

#[test]
fn metrics_count_by_tenant_and_forget_tenants_that_went() {
    let (registry, _) = registry(allowing(1));
    let red = Name::from("red");
    let (first, _half_open) = (carried(&registry), registry.register(flow()));
    first.traffic().add_sent(5);
    drop(first);
    let second = carried(&registry);
    second.traffic().add_sent(7);
    registry.refused(&red, Direction::Outbound, reason::TUNNEL_BUDGET);
    registry.handshake(&red, Direction::Outbound, Handshake::Resumed);
    let _place = registry.budgets().share(&red).connection().unwrap();
    registry.reauthorize(refusing(2), NOW);
    let text = registry.metrics();
    for line in [
        "enforcer_tunnel_flows{tenant=\"red\",direction=\"outbound\",hop=\"native\"} 1",
        "enforcer_tunnel_flows_half_open{tenant=\"red\"} 1",
        "enforcer_tunnel_flows_opened_total{tenant=\"red\",direction=\"outbound\",hop=\"native\"} 2",
        "enforcer_tunnel_flows_refused_total{tenant=\"red\",direction=\"outbound\",reason=\"tunnel_budget\"} 1",
        "enforcer_tunnel_flows_ended_total{tenant=\"red\",reason=\"policy\"} 1",
        "enforcer_tunnel_handshakes_total{tenant=\"red\",direction=\"outbound\",kind=\"resumed\"} 1",
        "enforcer_tunnel_bytes_total{tenant=\"red\",way=\"forward\"} 12",
        "enforcer_tunnel_budget_connections{tenant=\"red\"} 1",
        "enforcer_tunnel_budget_max{bound=\"connections\"} 10",
    ] {
        assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    let names: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len(), "each family once");
    registry.reauthorize(court(3, "apiVersion: enforcer.dev/v1\nkind: Tenant\nmetadata: {name: blue}\nspec: {id: 101, tier: shared, dataClassification: internal}\n"), NOW);
    drop((second, _half_open, _place));
    assert!(!registry.metrics().contains("tenant=\"red\""), "{}", registry.metrics());
}

#[test]
fn a_workload_that_is_revoked_by_its_name_loses_its_flows_and_no_other() {
    let (registry, _) = registry(allowing(1));
    let ticket = carried(&registry);
    registry.end_of(|workload| &**workload == "db", EndReason::Revoked);
    assert_eq!(ticket.end(), None);
    registry.end_of(|workload| &**workload == "web", EndReason::Revoked);
    assert_eq!(ticket.end(), Some(EndReason::Revoked));
}
