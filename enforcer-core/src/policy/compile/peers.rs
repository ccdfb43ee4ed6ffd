//! The rules of an owner, sorted by whom they are about.

use std::collections::BTreeMap;

use enforcer_common::identity;
use enforcer_common::maps::{CIDR_EGRESS, CIDR_INGRESS, PEER_EGRESS};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::policy::model::{Peer, Policy, Rule, Tenant};

use super::cidr::Cover;
use super::clause::Clause;

/// What an owner says of the world in one direction.
#[derive(Default)]
pub(super) struct World<'a> {
    pub(super) clauses: Vec<Clause<'a>>,
    /// Each names its clause by index.
    pub(super) covers: Vec<Cover<'a>>,
}

/// Everything an owner says.
#[derive(Default)]
pub(super) struct Peers<'a> {
    /// By peer number: an identity, with `PEER_EGRESS` when the traffic leaves the owner.
    pub(super) identities: BTreeMap<u32, Vec<Clause<'a>>>,
    /// By `CIDR_INGRESS` or `CIDR_EGRESS`.
    pub(super) world: BTreeMap<u32, World<'a>>,
}

impl<'a> Peers<'a> {
    /// Gathers the rules that `owner` owns, and its egress list.
    pub(super) fn gather(policy: &'a Policy, owner: &'a Tenant) -> Self {
        let mut peers = Self::default();
        let names = policy.index.rules_by_owner.get(&owner.name).into_iter().flatten();
        for rule in names.filter_map(|name| policy.rules.get(name)) {
            peers.add_rule(policy, owner, rule);
        }
        for egress in &owner.egress {
            let world = peers.world.entry(CIDR_EGRESS).or_default();
            world.add(Clause::of_egress(egress), [(egress.block.cidr, egress.block.except.as_slice())]);
        }
        peers
    }

    fn add_rule(&mut self, policy: &'a Policy, owner: &'a Tenant, rule: &'a Rule) {
        let (other, flag, direction) = match (&rule.from, &rule.to) {
            (other, Peer::Tenant(name)) if *name == owner.name => (other, 0, CIDR_INGRESS),
            (Peer::Tenant(name), other) if *name == owner.name => (other, PEER_EGRESS, CIDR_EGRESS),
            _ => return,
        };
        let clause = Clause::of_rule(policy, owner, None, rule);
        match other {
            Peer::Tenant(name) => {
                let Some(peer) = policy.tenants.get(name) else { return };
                let clause = Clause::of_rule(policy, owner, Some(peer), rule);
                self.identities.entry(peer.id).or_default().push(clause);
            }
            Peer::Host => self.identities.entry(identity::HOST | flag).or_default().push(clause),
            Peer::RemoteNode => {
                self.identities.entry(identity::REMOTE_NODE | flag).or_default().push(clause);
            }
            Peer::World => self.world.entry(direction).or_default().add(clause, everything()),
            Peer::Block(block) => {
                let cover = [(block.cidr, block.except.as_slice())];
                self.world.entry(direction).or_default().add(clause, cover);
            }
        }
    }
}

impl<'a> World<'a> {
    fn add(&mut self, clause: Clause<'a>, blocks: impl IntoIterator<Item = (IpNet, &'a [IpNet])>) {
        let index = self.clauses.len();
        self.clauses.push(clause);
        self.covers.extend(blocks.into_iter().map(|(net, except)| Cover { net, except, clause: index }));
    }
}

fn everything<'a>() -> [(IpNet, &'a [IpNet]); 2] {
    [(Ipv4Net::default().into(), &[]), (Ipv6Net::default().into(), &[])]
}
