//! Verdict counters by pair of identities. There can be as many as tenants squared: so many have a series of their own,
//! and the rest is one sum.

use std::collections::{BTreeMap, BTreeSet};

use super::Family;

/// What a series is called that sums up others; no tenant can have this name.
pub(super) const OTHER: &str = "_other";
/// What another tenant is called towards a tenant.
const ANOTHER: &str = "another tenant";

/// Which counter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Pair {
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) reason: &'static str,
    pub(super) hook: &'static str,
    pub(super) audited: bool,
}

/// Verdicts and bytes.
pub(super) type Counted = [u64; 2];

/// The pairs with series of their own. A pair that has one keeps it, and one that has none gets none while the agent
/// runs: else a sum would fall.
#[derive(Debug)]
pub(super) struct Kept {
    pairs: BTreeSet<Pair>,
    folded: BTreeSet<Pair>,
    max: usize,
}

impl Kept {
    pub(super) const fn new(max: usize) -> Self {
        Self { pairs: BTreeSet::new(), folded: BTreeSet::new(), max }
    }

    /// The largest that have no place yet take what is free.
    fn settle(&mut self, counters: &BTreeMap<Pair, Counted>) {
        let is_new = |pair: &Pair| !self.pairs.contains(pair) && !self.folded.contains(pair);
        let mut new: Vec<_> = counters.iter().filter(|(pair, _)| is_new(pair)).collect();
        new.sort_by_key(|(_, counted)| std::cmp::Reverse(counted[0]));
        for (pair, _) in new {
            let place = if self.pairs.len() < self.max { &mut self.pairs } else { &mut self.folded };
            place.insert(pair.clone());
        }
        // The kernel's table bounds them; what is gone from it does not come back with its old count.
        self.folded.retain(|pair| counters.contains_key(pair));
    }
}

/// The series for who may see everything.
pub(super) fn everything(counters: &BTreeMap<Pair, Counted>, kept: &mut Kept) -> Vec<Family> {
    kept.settle(counters);
    let [mut verdicts, mut bytes] = families();
    let mut other: Counted = [0, 0];
    let mut folded = 0;
    for (pair, counted) in counters {
        if kept.pairs.contains(pair) {
            push([&mut verdicts, &mut bytes], pair, *counted);
        } else {
            other.iter_mut().zip(counted).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
            folded += 1;
        }
    }
    let labels = ["source", "destination", "reason", "hook", "audited"].map(|label| (label, OTHER));
    if folded > 0 {
        verdicts.push(&labels, other[0]);
        bytes.push(&labels, other[1]);
    }
    let help = "Verdict counters that have no series of their own and are summed up as `_other`.";
    vec![verdicts, bytes, Family::gauge("enforcer_verdict_series_folded", help).with(&[], folded)]
}

/// The series for a tenant's reader: every other tenant is the same.
pub(super) fn of_tenant(
    counters: &BTreeMap<Pair, Counted>,
    tenant: &str,
    is_tenant: impl Fn(&str) -> bool,
) -> Vec<Family> {
    let mut own: BTreeMap<Pair, Counted> = BTreeMap::new();
    let disguise = |name: &str| if name != tenant && is_tenant(name) { ANOTHER } else { name }.to_owned();
    for (pair, counted) in counters {
        if pair.source != tenant && pair.destination != tenant {
            continue;
        }
        let (source, destination) = (disguise(&pair.source), disguise(&pair.destination));
        let sum = own.entry(Pair { source, destination, ..pair.clone() }).or_default();
        sum.iter_mut().zip(counted).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }
    let [mut verdicts, mut bytes] = families();
    for (pair, counted) in own {
        push([&mut verdicts, &mut bytes], &pair, counted);
    }
    vec![verdicts, bytes]
}

fn families() -> [Family; 2] {
    [
        Family::kernel_counter(
            "enforcer_verdicts",
            "Verdicts of the kernel, exact, by who asked, whom for, why and where. No reason: allowed.",
        ),
        Family::kernel_counter("enforcer_verdict_bytes", "Bytes of the packets that were decided on."),
    ]
}

fn push([verdicts, bytes]: [&mut Family; 2], pair: &Pair, [packets, length]: Counted) {
    let Pair { source, destination, reason, hook, audited } = pair;
    let audited = if *audited { "true" } else { "false" };
    let labels = [
        ("source", source.as_str()),
        ("destination", destination.as_str()),
        ("reason", *reason),
        ("hook", *hook),
        ("audited", audited),
    ];
    verdicts.push(&labels, packets);
    if length > 0 {
        bytes.push(&labels, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::metrics::family::Value;

    fn pair(source: &str, destination: &str) -> Pair {
        let (source, destination) = (source.to_owned(), destination.to_owned());
        Pair { source, destination, reason: "", hook: "connect", audited: false }
    }

    fn total(family: &Family) -> u64 {
        let whole = |value| match value {
            Value::Whole(value) => value,
            Value::Real(_) => 0,
        };
        family.samples.iter().map(|sample| whole(sample.value)).sum()
    }

    #[test]
    fn what_has_no_series_of_its_own_is_in_the_sum_and_no_series_ever_falls() {
        let mut kept = Kept::new(3);
        let mut counters: BTreeMap<Pair, Counted> =
            (0..5_u64).map(|n| (pair(&format!("t{n}"), "world"), [n + 1, 10 * n])).collect();
        let families = everything(&counters, &mut kept);
        assert_eq!(families[0].samples.len(), 4);
        assert_eq!((total(&families[0]), total(&families[1]), total(&families[2])), (15, 100, 2));
        let named: Vec<_> = families[0].samples.iter().filter_map(|sample| sample.label("source")).collect();
        assert_eq!(named, ["t2", "t3", "t4", OTHER], "the largest have their own");
        counters.values_mut().for_each(|counted| counted[0] += 1_000);
        counters.insert(pair("t9", "world"), [1_000_000, 0]);
        let later = everything(&counters, &mut kept);
        for (before, after) in families[0].samples.iter().zip(&later[0].samples) {
            assert_eq!(before.labels, after.labels);
        }
        assert_eq!(total(&later[0]), 15 + 5_000 + 1_000_000);
    }

    #[test]
    fn a_tenant_sees_its_own_and_another_tenant() {
        let counters = BTreeMap::from([
            (pair("red", "red"), [1, 0]),
            (pair("red", "blue"), [2, 0]),
            (pair("red", "green"), [4, 0]),
            (pair("blue", "red"), [8, 0]),
            (pair("world", "red"), [16, 0]),
            (pair("blue", "green"), [32, 0]),
        ]);
        let is_tenant = |name: &str| matches!(name, "red" | "blue" | "green");
        let families = of_tenant(&counters, "red", is_tenant);
        let seen: Vec<_> = families[0]
            .samples
            .iter()
            .map(|sample| {
                (sample.label("source").unwrap(), sample.label("destination").unwrap(), sample.value)
            })
            .collect();
        let whole = Value::Whole;
        assert_eq!(
            seen,
            [
                (ANOTHER, "red", whole(8)),
                ("red", ANOTHER, whole(6)),
                ("red", "red", whole(1)),
                ("world", "red", whole(16)),
            ]
        );
    }
}
