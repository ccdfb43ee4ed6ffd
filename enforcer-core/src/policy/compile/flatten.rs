//! Precedence resolved ahead of time: overlapping rules about one peer become disjoint regions, each with
//! the one outcome that the kernel will find there.

use std::collections::BTreeMap;

use enforcer_common::maps::{
    ACTION_ALLOW, ACTION_DENY, ACTION_NONE, ACTION_TUNNEL, ACTION_TUNNEL_ALWAYS, PairValue, RULE_NO_MATCH,
    RuleValue, protocol_slot,
};
use enforcer_common::reason;

use crate::policy::model::{Mode, Protocol};

use super::clause::Clause;
use super::prefix::{Prefix, split};

/// What holds for a pair of identities when no rule speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    Allows,
    Refuses,
}

/// All that an owner says of one peer.
pub(super) struct Flat {
    pub(super) pair: PairValue,
    /// Protocol number, prefix, outcome.
    pub(super) ports: Vec<(u8, Prefix, RuleValue)>,
    /// True when some TCP service is answered with the tunnel.
    pub(super) is_tunnelled: bool,
}

/// Flattens the clauses about one peer.
pub(super) fn flatten(clauses: &[Clause<'_>], silence: Silence) -> Flat {
    let mut ranked = clauses.to_vec();
    ranked.sort_by(Clause::precedence);
    let everywhere = Active::everywhere(&ranked);
    let mut flat = Flat {
        pair: PairValue { default: everywhere.outcome(&ranked, silence), ..PairValue::default() },
        ports: Vec::new(),
        is_tunnelled: false,
    };
    for protocol in Protocol::ALL {
        let regions = regions(&ranked, &everywhere, protocol, silence);
        if protocol == Protocol::Tcp {
            flat.is_tunnelled = asks_for_tunnel(&regions, &flat.pair.default);
        }
        for region in regions {
            // Where no region is found the default holds, so a region that repeats it says nothing.
            if region.outcome == flat.pair.default {
                continue;
            }
            for prefix in split(region.first, region.last) {
                note_length(&mut flat.pair, protocol, prefix);
                flat.ports.push((protocol.number(), prefix, region.outcome));
            }
        }
    }
    flat
}

/// The default counts where no region hides it.
fn asks_for_tunnel(regions: &[Region], default: &RuleValue) -> bool {
    let asks = |value: &RuleValue| matches!(value.action, ACTION_TUNNEL | ACTION_TUNNEL_ALWAYS);
    if regions.is_empty() { asks(default) } else { regions.iter().any(|region| asks(&region.outcome)) }
}

/// Announces port entries of a length, so that they are looked up.
pub(super) fn note_length(pair: &mut PairValue, protocol: Protocol, prefix: Prefix) {
    if let Some(lengths) = protocol_slot(protocol.number()).and_then(|slot| pair.prefixes.get_mut(slot)) {
        *lengths |= 1 << prefix.length;
    }
}

/// Services with one outcome.
struct Region {
    first: u16,
    last: u16,
    outcome: RuleValue,
}

/// Sweeps over the services of a protocol, from boundary to boundary; neighbours with one outcome are joined.
fn regions(ranked: &[Clause<'_>], everywhere: &Active, protocol: Protocol, silence: Silence) -> Vec<Region> {
    let boundaries = boundaries(ranked, protocol);
    let mut active = everywhere.clone();
    let mut regions: Vec<Region> = Vec::new();
    let mut ends = boundaries.keys().skip(1).copied().collect::<Vec<_>>();
    ends.push(u32::from(u16::MAX) + 1);
    for ((start, steps), end) in boundaries.iter().zip(ends) {
        for step in steps {
            active.step(*step, ranked);
        }
        let (Ok(first), Ok(last)) = (u16::try_from(*start), u16::try_from(end - 1)) else { continue };
        let outcome = active.outcome(ranked, silence);
        match regions.last_mut() {
            Some(before) if before.outcome == outcome => before.last = last,
            _ => regions.push(Region { first, last, outcome }),
        }
    }
    regions
}

/// A clause begins or ends to match.
#[derive(Clone, Copy)]
enum Step {
    Enter(usize),
    Leave(usize),
}

fn boundaries(ranked: &[Clause<'_>], protocol: Protocol) -> BTreeMap<u32, Vec<Step>> {
    let mut boundaries: BTreeMap<u32, Vec<Step>> = BTreeMap::new();
    for (index, clause) in ranked.iter().enumerate() {
        let ranges = clause.ports.into_iter().flatten().filter(|range| range.protocol == protocol);
        for range in ranges {
            boundaries.entry(u32::from(range.first)).or_default().push(Step::Enter(index));
            boundaries.entry(u32::from(range.last) + 1).or_default().push(Step::Leave(index));
        }
    }
    if !boundaries.is_empty() {
        boundaries.entry(0).or_default();
    }
    boundaries
}

/// The clauses that match where the sweep stands, by rank, with how many of their ranges do.
#[derive(Clone, Default)]
struct Active {
    enforced: BTreeMap<usize, u32>,
    all: BTreeMap<usize, u32>,
}

impl Active {
    /// The clauses that match every service of every protocol.
    fn everywhere(ranked: &[Clause<'_>]) -> Self {
        let mut active = Self::default();
        for (index, _) in ranked.iter().enumerate().filter(|(_, clause)| clause.ports.is_none()) {
            active.step(Step::Enter(index), ranked);
        }
        active
    }

    fn step(&mut self, step: Step, ranked: &[Clause<'_>]) {
        let (Step::Enter(index) | Step::Leave(index)) = step;
        let enforced = ranked.get(index).is_some_and(|clause| clause.mode == Mode::Enforce);
        count(&mut self.all, step);
        if enforced {
            count(&mut self.enforced, step);
        }
    }

    fn outcome(&self, ranked: &[Clause<'_>], silence: Silence) -> RuleValue {
        let first = |active: &BTreeMap<usize, u32>| active.keys().next().and_then(|index| ranked.get(*index));
        outcome(first(&self.enforced), first(&self.all), silence)
    }
}

fn count(active: &mut BTreeMap<usize, u32>, step: Step) {
    match step {
        Step::Enter(index) => *active.entry(index).or_default() += 1,
        Step::Leave(index) => match active.get_mut(&index) {
            Some(ranges) if *ranges > 1 => *ranges -= 1,
            _ => {
                active.remove(&index);
            }
        },
    }
}

/// `real` prevails among the enforced clauses, `shadow` among all of them. A shadow is kept only where it
/// would change what happens; where that depends on the flow, between tunnel and allow or deny, `decide()` sees.
fn outcome(real: Option<&Clause<'_>>, shadow: Option<&Clause<'_>>, silence: Silence) -> RuleValue {
    let action = real.map_or(ACTION_NONE, |clause| clause.ruling.action());
    let mut value = RuleValue {
        rule: real.map_or(RULE_NO_MATCH, |clause| clause.number),
        shadow_rule: RULE_NO_MATCH,
        reason: real.map_or(reason::NONE, |clause| clause.ruling.reason()),
        action,
        shadow_action: action,
    };
    if let Some(clause) = shadow
        && effective(clause.ruling.action(), silence) != effective(action, silence)
    {
        value.shadow_rule = clause.number;
        value.shadow_action = clause.ruling.action();
    }
    value
}

const fn effective(action: u8, silence: Silence) -> u8 {
    match (action, silence) {
        (ACTION_NONE, Silence::Allows) => ACTION_ALLOW,
        (ACTION_NONE, Silence::Refuses) => ACTION_DENY,
        _ => action,
    }
}
