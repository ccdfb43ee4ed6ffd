//! The court says what the reference says, over policies and flows at random.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use enforcer_common::reason;
use enforcer_core::node::NodeFacts;
use enforcer_core::policy::model::{Name, Policy};
use enforcer_core::proxy::authorize::{Court, Inbound, Outbound, Parties};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::reference::{Judgement, judge};
use crate::support::build::Objects;
use crate::support::generate::{NOW, address, facts, objects};

const PORTS: [u16; 10] = [0, 1, 80, 81, 443, 1024, 15_001, 15_008, 15_009, 65535];

/// Parties before the policy is known: an honest flow, and some lies.
#[derive(Clone, Debug)]
struct Sketch {
    is_outbound: bool,
    workload: usize,
    other: IpAddr,
    port: u16,
    own: Option<usize>,
    peer: Option<usize>,
    is_peer_shown: bool,
    identity: Option<u32>,
    carrier: Option<IpAddr>,
    target: Option<IpAddr>,
}

prop_compose! {
    fn sketch()(
        is_outbound in any::<bool>(),
        workload in 0_usize..7,
        other in address(),
        port in select(&PORTS[..]),
        own in option::weighted(0.1, 0_usize..6),
        peer in option::weighted(0.2, 0_usize..6),
        is_peer_shown in any::<bool>(),
        identity in option::weighted(0.1, 0_u32..60),
        carrier in option::weighted(0.1, address()),
        target in option::weighted(0.1, address()),
    ) -> Sketch {
        Sketch { is_outbound, workload, other, port, own, peer, is_peer_shown, identity, carrier, target }
    }
}

fn tenant(index: usize) -> Name {
    format!("t{index}").into()
}

impl Sketch {
    fn parties(&self, policy: &Policy) -> Parties {
        let name = Name::from(format!("w{}", self.workload));
        let workload = policy.workloads.get(&name);
        let truth = workload.map_or_else(|| tenant(9), |workload| Name::clone(&workload.tenant));
        let own = self.own.map_or_else(|| Name::clone(&truth), tenant);
        let first = workload
            .and_then(|workload| workload.addresses.iter().find(|own| own.is_ipv4() == self.other.is_ipv4()));
        let address = first.copied().unwrap_or(self.other);
        let holder = policy.workloads.values().find(|workload| workload.addresses.contains(&self.other));
        let bound = policy.bindings.get(&self.other).map(|binding| &binding.bound);
        let honest = match (holder, bound) {
            (Some(workload), _) => Name::clone(&workload.tenant),
            (None, Some(enforcer_core::policy::model::Bound::Tenant(name))) => Name::clone(name),
            _ => tenant(usize::from(self.port % 5)),
        };
        let peer = self.peer.map_or(honest, tenant);
        if self.is_outbound {
            let identity = policy.tenants.get(&truth).map_or(0, |tenant| tenant.id);
            return Parties::Outbound(Outbound {
                workload: name,
                identity: self.identity.unwrap_or(identity),
                own,
                source: SocketAddr::new(address, 40_000),
                destination: SocketAddr::new(self.other, self.port),
                peer: self.is_peer_shown.then_some(peer),
            });
        }
        Parties::Inbound(Inbound {
            workload: name,
            own,
            carrier: self.carrier.unwrap_or(self.other),
            source: SocketAddr::new(self.other, 40_000),
            destination: SocketAddr::new(self.target.unwrap_or(address), self.port),
            peer,
        })
    }
}

fn court_says(court: &Court, parties: &Parties) -> Judgement {
    match court.authorize(parties, NOW) {
        Ok(permit) => Ok((permit.rule_name().to_string(), permit.audited().map(reason::name))),
        Err(refusal) => Err(reason::name(refusal.reason)),
    }
}

/// Half of the rules ask for mutual TLS, and half of those always; half are carried by everyone.
fn with_tls(mut objects: Objects, bits: u64) -> Objects {
    let everyone: Vec<Name> = objects.tenants.iter().map(|tenant| Name::clone(&tenant.name)).collect();
    for (index, rule) in objects.rules.iter_mut().enumerate() {
        let is_set = |bit: usize| bits >> (3 * index + bit) & 1 != 0;
        rule.mtls_required = is_set(0);
        rule.mtls_always = is_set(0) && is_set(1);
        if is_set(2) {
            rule.carried_by = everyone.clone();
        }
    }
    objects
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn the_court_says_what_the_reference_says(objects in objects(), bits: u64, sketches in vec(sketch(), 150)) {
        let policy = Arc::new(with_tls(objects, bits).policy());
        let facts: Arc<NodeFacts> = Arc::new(facts(&policy));
        let court = Court::new(Arc::clone(&policy), Arc::clone(&facts), 1);
        for sketch in &sketches {
            let parties = sketch.parties(&policy);
            let expected = judge(&policy, &facts, &parties, NOW);
            prop_assert_eq!(court_says(&court, &parties), expected, "{:?}", parties);
        }
    }
}
