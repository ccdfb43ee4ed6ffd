//! What came of attacks and controls: counted, never judged one by one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A way from one tenant to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// A TCP connection to the other tenant's listener.
    Tcp,
    /// A datagram to the other tenant's socket.
    Udp,
    /// The other tenant's device, opened.
    Open,
    /// A node of the other tenant's device, made.
    Mknod,
}

impl Way {
    /// Every way.
    pub(crate) const ALL: [Self; 4] = [Self::Tcp, Self::Udp, Self::Open, Self::Mknod];
}

/// What came of one way. Attempts go across tenants; controls do the same within a tenant, and must work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Count {
    /// Attempts that came to an end.
    pub(crate) attempts: u64,
    /// Those that succeeded.
    pub(crate) crossed: u64,
    /// Those that failed for a reason that is not the wall's.
    pub(crate) unclear: u64,
    /// Controls that worked.
    pub(crate) controls: u64,
    /// Controls that did not.
    pub(crate) broken: u64,
}

impl Count {
    const fn plus(self, other: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_add(other.attempts),
            crossed: self.crossed.saturating_add(other.crossed),
            unclear: self.unclear.saturating_add(other.unclear),
            controls: self.controls.saturating_add(other.controls),
            broken: self.broken.saturating_add(other.broken),
        }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            attempts: self.attempts.saturating_sub(before.attempts),
            crossed: self.crossed.saturating_sub(before.crossed),
            unclear: self.unclear.saturating_sub(before.unclear),
            controls: self.controls.saturating_sub(before.controls),
            broken: self.broken.saturating_sub(before.broken),
        }
    }
}

/// Counts of every way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub(crate) struct Tally(pub(crate) BTreeMap<Way, Count>);

impl Tally {
    /// Both together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        self.each(other, Count::plus)
    }

    /// What came after `before`.
    pub(crate) fn since(&self, before: &Self) -> Self {
        self.each(before, Count::since)
    }

    fn each(&self, other: &Self, join: impl Fn(Count, Count) -> Count) -> Self {
        Self(Way::ALL.into_iter().map(|way| (way, join(self.of(way), other.of(way)))).collect())
    }

    fn of(&self, way: Way) -> Count {
        self.0.get(&way).copied().unwrap_or_default()
    }

    /// All ways together.
    pub(crate) fn sum(&self) -> Count {
        self.0.values().copied().fold(Count::default(), Count::plus)
    }

    /// Why this proves nothing, or the opposite of what it should; `None` when it proves that nothing crossed.
    pub(crate) fn objection(&self) -> Option<String> {
        self.objections().into_iter().next()
    }

    /// The worst comes first.
    fn objections(&self) -> Vec<String> {
        let say = |of: fn(&Count) -> bool, sentence: fn(Way, &Count) -> String| {
            let counts = Way::ALL.into_iter().map(|way| (way, self.of(way)));
            counts
                .filter(|(_, count)| of(count))
                .map(|(way, count)| sentence(way, &count))
                .collect::<Vec<_>>()
        };
        [
            say(
                |c| c.crossed > 0,
                |way, c| format!("{} of {} attempts crossed ({way:?})", c.crossed, c.attempts),
            ),
            say(
                |c| c.attempts == 0,
                |way, _| format!("nothing was attempted ({way:?}): this proves nothing"),
            ),
            say(
                |c| c.attempts <= c.unclear,
                |way, _| format!("no attempt was refused by the wall ({way:?}): this proves nothing"),
            ),
            say(
                |c| c.controls == 0,
                |way, _| format!("nothing that is allowed worked ({way:?}): this proves nothing"),
            ),
            say(
                |c| c.broken > 0,
                |way, c| format!("{} times, what is allowed did not work ({way:?})", c.broken),
            ),
        ]
        .concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Count = Count { attempts: 9, crossed: 0, unclear: 0, controls: 9, broken: 0 };

    fn with(way: Way, count: Count) -> Tally {
        Tally(Way::ALL.into_iter().map(|each| (each, if each == way { count } else { FINE })).collect())
    }

    #[test]
    fn attempts_without_a_crossing_beside_controls_that_work_prove_it() {
        assert_eq!(with(Way::Tcp, FINE).objection(), None);
    }

    #[test]
    fn one_crossing_on_one_way_is_an_objection_before_all_others() {
        let crossed = with(Way::Mknod, Count { crossed: 1, broken: 3, ..FINE });
        assert_eq!(crossed.objection().unwrap(), "1 of 9 attempts crossed (Mknod)");
    }

    #[test]
    fn a_drill_that_did_nothing_proves_nothing() {
        for (count, why) in [
            (Count { attempts: 0, ..FINE }, "nothing was attempted"),
            (Count { unclear: 9, ..FINE }, "no attempt was refused"),
            (Count { controls: 0, ..FINE }, "nothing that is allowed worked"),
            (Count { broken: 1, ..FINE }, "what is allowed did not work"),
        ] {
            let said = with(Way::Udp, count).objection().unwrap();
            assert!(said.contains(why) && said.contains("Udp"), "{said}");
        }
        assert!(Tally::default().objection().is_some());
    }

    #[test]
    fn only_what_came_after_counts() {
        let before = with(Way::Tcp, Count { crossed: 2, ..FINE });
        let after = before.plus(&with(Way::Tcp, FINE));
        assert_eq!(after.since(&before), with(Way::Tcp, FINE));
        assert_eq!(after.sum().crossed, 2);
    }
}
