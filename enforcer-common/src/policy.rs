//! `decide()`: the one place that makes the verdict on a flow, in the kernel and on the host.
//!
//! Precedence between rules is resolved when the policy is compiled (see `enforcer-core`); what is decided
//! here is which tenant's rules apply, and what holds when they are silent.

use crate::address::Address;
use crate::identity;
use crate::maps::{
    ACTION_ALLOW, ACTION_DENY, ACTION_TUNNEL, ACTION_TUNNEL_ALWAYS, AddressValue, CIDR_EGRESS, CIDR_INGRESS,
    CidrData, CidrValue, PEER_EGRESS, PairKey, PairValue, PortKey, RULE_HOST_DEFAULT, RULE_INTRA_TENANT,
    RULE_NO_MATCH, RULE_NOT_MANAGED, RuleValue, SLOT_AUDIT, SLOT_HOST_RULES, SLOT_INTRA_RULES, SLOT_PLATFORM,
    SLOT_PRESENT, TenantSlot, protocol_slot, tier,
};
use crate::reason;
use crate::verdict::Verdict;

/// The policy tables as `decide()` sees them: kernel maps, or an image on the host.
pub trait Tables {
    /// The slot of a tenant in the epoch in force.
    fn tenant(&self, identity: u32) -> Option<TenantSlot>;
    /// Who holds an address.
    fn address(&self, address: &Address) -> Option<AddressValue>;
    /// What an owner says of a peer.
    fn pair(&self, key: &PairKey) -> Option<PairValue>;
    /// One port region.
    fn port(&self, key: &PortKey) -> Option<RuleValue>;
    /// The longest prefix that covers `data.address` under the same owner, generation and direction.
    fn cidr(&self, data: &CidrData) -> Option<CidrValue>;
}

/// A flow in its forward direction, with both ends identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Identity of the initiator.
    pub source: u32,
    /// Identity of the responder.
    pub destination: u32,
    /// 1 when the identity of an end has outlived its lease.
    pub expired: u32,
    /// Not 0 when both ends are workloads of this node, as the kernel itself knows: nothing between them crosses a wire.
    pub same_node: u32,
    /// The address of the end that is not a tenant; matters when that end is the world.
    pub remote: Address,
    /// IP protocol number.
    pub protocol: u8,
    /// Destination port, host byte order; for ICMP `type << 8 | code`; 0 for protocols without.
    pub service: u16,
}

/// The verdict on a flow.
#[must_use]
#[inline(always)]
pub fn decide<T: Tables>(tables: &T, question: &Question) -> Verdict {
    let mut verdict = Verdict::deny(RULE_NO_MATCH, reason::NONE);
    verdict.action = decide_into(tables, question, &mut verdict);
    verdict
}

/// A function of its own in the kernel, for its stack; and one that returns a number the caller uses, since
/// the verifier looks at what a function leaves in its return register.
#[inline(never)]
fn decide_into<T: Tables>(tables: &T, question: &Question, out: &mut Verdict) -> u8 {
    *out = evaluate(tables, question);
    out.action
}

#[inline(always)]
fn evaluate<T: Tables>(tables: &T, question: &Question) -> Verdict {
    let inbound = identity::is_tenant(question.destination);
    if !inbound && !identity::is_tenant(question.source) {
        return Verdict::allow(RULE_NOT_MANAGED);
    }
    let (owner, other) = if inbound {
        (question.destination, question.source)
    } else {
        (question.source, question.destination)
    };
    let slot = match tables.tenant(owner) {
        Some(slot) if slot.flags & SLOT_PRESENT != 0 => slot,
        _ => return Verdict::deny(RULE_NO_MATCH, reason::TENANT_UNKNOWN),
    };
    let verdict = match relation(tables, question, &slot, inbound, other) {
        Relation::Settled(verdict) => return verdict.under(owner, slot.generation),
        Relation::Silent(verdict) => verdict,
        Relation::Ask { peer, silent } => by_pair(tables, question, owner, slot.generation, peer, silent),
        Relation::AskWorld { direction, silent } => {
            by_cidr(tables, question, owner, slot.generation, direction, silent)
        }
    };
    let verdict = if slot.flags & SLOT_AUDIT != 0 { verdict.audited() } else { verdict };
    verdict.under(owner, slot.generation)
}

/// How the two ends stand to each other.
enum Relation {
    /// Refused whatever the rules and modes say.
    Settled(Verdict),
    /// The owner has no rules that could speak.
    Silent(Verdict),
    /// Ask the owner's rules about this peer; `silent` holds when they do not speak.
    Ask { peer: u32, silent: Verdict },
    /// Ask the owner's rules about this address of the world.
    AskWorld { direction: u32, silent: Verdict },
}

#[inline(always)]
fn relation<T: Tables>(
    tables: &T,
    question: &Question,
    slot: &TenantSlot,
    inbound: bool,
    other: u32,
) -> Relation {
    if identity::is_tenant(other) {
        if question.source == question.destination {
            let silent = Verdict::allow(RULE_INTRA_TENANT);
            return if slot.flags & SLOT_INTRA_RULES == 0 {
                Relation::Silent(silent)
            } else {
                Relation::Ask { peer: other, silent }
            };
        }
        return cross_tenant(tables, question, slot, other);
    }
    match (inbound, other) {
        (true, identity::HOST) => {
            let silent = Verdict::allow(RULE_HOST_DEFAULT);
            if slot.flags & SLOT_HOST_RULES == 0 {
                Relation::Silent(silent)
            } else {
                Relation::Ask { peer: other, silent }
            }
        }
        (true, identity::REMOTE_NODE) => {
            Relation::Ask { peer: other, silent: refuse(reason::REMOTE_NODE_NO_RULE) }
        }
        (true, identity::WORLD) => {
            Relation::AskWorld { direction: CIDR_INGRESS, silent: refuse(reason::SOURCE_UNBOUND) }
        }
        (false, identity::HOST) => {
            Relation::Ask { peer: other | PEER_EGRESS, silent: refuse(reason::HOST_NO_RULE) }
        }
        (false, identity::REMOTE_NODE) => {
            Relation::Ask { peer: other | PEER_EGRESS, silent: refuse(reason::REMOTE_NODE_NO_RULE) }
        }
        (false, identity::WORLD) => {
            Relation::AskWorld { direction: CIDR_EGRESS, silent: refuse(reason::DESTINATION_UNBOUND) }
        }
        (_, _) => Relation::Settled(refuse(reason::TENANT_UNKNOWN)),
    }
}

/// Two tenants. The destination's slot is `slot`; the source must exist too.
#[inline(always)]
fn cross_tenant<T: Tables>(tables: &T, question: &Question, slot: &TenantSlot, source: u32) -> Relation {
    let from = match tables.tenant(source) {
        Some(from) if from.flags & SLOT_PRESENT != 0 => from,
        _ => return Relation::Settled(refuse(reason::TENANT_UNKNOWN)),
    };
    if question.expired != 0 {
        return Relation::Settled(refuse(reason::LEASE_EXPIRED));
    }
    let platform = (from.flags | slot.flags) & SLOT_PLATFORM != 0;
    if (from.tier == tier::DEDICATED || slot.tier == tier::DEDICATED) && !platform {
        return Relation::Settled(refuse(reason::TIER_DEDICATED));
    }
    Relation::Ask { peer: source, silent: refuse(reason::CROSS_TENANT_NO_RULE) }
}

#[inline(always)]
const fn refuse(reason: u16) -> Verdict {
    Verdict::deny(RULE_NO_MATCH, reason)
}

#[inline(always)]
fn by_pair<T: Tables>(
    tables: &T,
    question: &Question,
    owner: u32,
    generation: u32,
    peer: u32,
    silent: Verdict,
) -> Verdict {
    match tables.pair(&PairKey { owner, generation, peer }) {
        Some(pair) => by_port(tables, question, owner, generation, peer, &pair, silent),
        None => silent,
    }
}

#[inline(always)]
fn by_cidr<T: Tables>(
    tables: &T,
    question: &Question,
    owner: u32,
    generation: u32,
    direction: u32,
    silent: Verdict,
) -> Verdict {
    match tables.cidr(&CidrData { owner, generation, direction, address: question.remote }) {
        Some(cidr) => by_port(tables, question, owner, generation, cidr.peer, &cidr.pair, silent),
        None => silent,
    }
}

/// The port region that covers the service, else the pair's default. Regions are disjoint, so the first one found is
/// the only one there is; a tunnel's port, which lies over the others, is found before them.
#[inline(always)]
fn by_port<T: Tables>(
    tables: &T,
    question: &Question,
    owner: u32,
    generation: u32,
    peer: u32,
    pair: &PairValue,
    silent: Verdict,
) -> Verdict {
    let prefixes = match protocol_slot(question.protocol).and_then(|slot| pair.prefixes.get(slot)) {
        Some(prefixes) => *prefixes,
        None => 0,
    };
    let mut key = PortKey { owner, generation, peer, port: 0, protocol: question.protocol, prefix_len: 0 };
    let mut length: u8 = 17;
    while length > 0 && prefixes != 0 {
        length -= 1;
        if (prefixes >> length) & 1 == 0 {
            continue;
        }
        key.port = question.service & port_mask(length);
        key.prefix_len = length;
        if let Some(value) = tables.port(&key) {
            return outcome(&value, question.same_node, silent);
        }
    }
    outcome(&pair.default, question.same_node, silent)
}

/// The leading `length` bits of a 16-bit port.
#[must_use]
#[inline(always)]
pub const fn port_mask(length: u8) -> u16 {
    let bits = 0xffff_0000_u32 >> (length & 31);
    (bits & 0xffff) as u16
}

#[inline(always)]
fn outcome(value: &RuleValue, same_node: u32, silent: Verdict) -> Verdict {
    let real = plaintext(value.action, same_node);
    let verdict = match real {
        PLAIN_NONE => silent,
        PLAIN_ALLOW => Verdict::allow(value.rule),
        refused => {
            let tunnel = refused & 1;
            // Not a choice but a sum, for the verifier: with the tunnel the value's own reason is this or none.
            let reason = value.reason | (reason::MTLS_REQUIRED * u16::from(tunnel));
            Verdict { tunnel: u32::from(tunnel), ..Verdict::deny(value.rule, reason) }
        }
    };
    let quiet = if silent.passes() { PLAIN_ALLOW } else { PLAIN_DENY };
    let (real, shadow) = (spoken(real, quiet), spoken(plaintext(value.shadow_action, same_node), quiet));
    // Where the two ends are may be all that a shadow would change.
    verdict.shadowed(value.shadow_rule * differ(real, shadow), shadow)
}

/// An answer, or what holds when none was given.
#[inline(always)]
const fn spoken(plain: u8, quiet: u8) -> u8 {
    let none = plain.wrapping_sub(1) >> 7;
    plain + quiet * none
}

/// 1 when two answers are not the same.
#[inline(always)]
const fn differ(one: u8, other: u8) -> u32 {
    let bits = one ^ other;
    ((bits | (bits >> 1)) & 1) as u32
}

/// Nothing is said of the packet.
const PLAIN_NONE: u8 = 0;
/// It passes. The same number as [`ACTION_ALLOW`].
const PLAIN_ALLOW: u8 = 1;
/// It is refused.
const PLAIN_DENY: u8 = 2;
/// It is refused, and the tunnel may take it.
const PLAIN_TUNNEL: u8 = 3;

/// Two bits for each action, of packets between nodes and (upper half) within one: there the kernel itself is the
/// witness that mutual TLS would be, unless the rule wants it always.
const PLAINTEXT: u64 = at(ACTION_ALLOW, PLAIN_ALLOW)
    | at(ACTION_DENY, PLAIN_DENY)
    | at(ACTION_TUNNEL, PLAIN_TUNNEL)
    | at(ACTION_TUNNEL_ALWAYS, PLAIN_TUNNEL)
    | (at(ACTION_ALLOW, PLAIN_ALLOW)
        | at(ACTION_DENY, PLAIN_DENY)
        | at(ACTION_TUNNEL, PLAIN_ALLOW)
        | at(ACTION_TUNNEL_ALWAYS, PLAIN_TUNNEL))
        << 32;

const fn at(action: u8, plain: u8) -> u64 {
    (plain as u64) << (2 * action)
}

/// What a rule's action means for a packet as it is: one of `PLAIN_*`. A table and no branch: each branch here is one
/// for every path that the verifier walks behind it.
#[inline(always)]
const fn plaintext(action: u8, same_node: u32) -> u8 {
    let within = (same_node | same_node.wrapping_neg()) >> 31;
    let place = ((action & 15) as u32 * 2) | within << 5;
    ((PLAINTEXT >> place) & 3) as u8
}
