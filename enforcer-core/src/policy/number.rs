//! The numbers that stand for rules and workloads in the kernel. A number comes from the name, so that every
//! node finds the same one, and stays while the object exists.

use enforcer_common::maps::FIRST_RULE;
use imbl::OrdMap;
use sha2::{Digest as _, Sha256};

use crate::policy::model::{Index, Name};

/// The largest number: the highest bit marks a direction in peer numbers.
pub const LAST_NUMBER: u32 = u32::MAX >> 1;
/// The first number of a workload; zero is "no workload".
pub const FIRST_WORKLOAD: u32 = 1;

impl Index {
    /// The number of a rule of this policy.
    #[must_use]
    pub fn rule_number(&self, name: &str) -> Option<u32> {
        find(&self.rule_numbers, &self.displaced_rules, FIRST_RULE, name)
    }

    /// The number of a workload of this policy.
    #[must_use]
    pub fn workload_number(&self, name: &str) -> Option<u32> {
        find(&self.workload_numbers, &self.displaced_workloads, FIRST_WORKLOAD, name)
    }

    pub(crate) fn take_rule_number(&mut self, name: &Name) {
        take(&mut self.rule_numbers, &mut self.displaced_rules, FIRST_RULE, name);
    }

    pub(crate) fn free_rule_number(&mut self, name: &str) {
        free(&mut self.rule_numbers, &mut self.displaced_rules, FIRST_RULE, name);
    }

    pub(crate) fn take_workload_number(&mut self, name: &Name) {
        take(&mut self.workload_numbers, &mut self.displaced_workloads, FIRST_WORKLOAD, name);
    }

    pub(crate) fn free_workload_number(&mut self, name: &str) {
        free(&mut self.workload_numbers, &mut self.displaced_workloads, FIRST_WORKLOAD, name);
    }
}

/// The number that a name asks for: the first four bytes of its SHA-256, folded into the range.
fn wanted(name: &str, first: u32) -> u32 {
    let digest: [u8; 32] = Sha256::digest(name.as_bytes()).into();
    let [a, b, c, d, ..] = digest;
    first + u32::from_be_bytes([a, b, c, d]) % (LAST_NUMBER - first + 1)
}

fn find(numbers: &OrdMap<u32, Name>, displaced: &OrdMap<Name, u32>, first: u32, name: &str) -> Option<u32> {
    let number = wanted(name, first);
    match numbers.get(&number) {
        Some(holder) if **holder == *name => Some(number),
        _ => displaced.get(name).copied(),
    }
}

/// Gives a name its number: the one it asks for, or the next free one.
fn take(numbers: &mut OrdMap<u32, Name>, displaced: &mut OrdMap<Name, u32>, first: u32, name: &Name) {
    if find(numbers, displaced, first, name).is_some() {
        return;
    }
    let asked = wanted(name, first);
    let mut number = asked;
    // Ends: the limits keep the table far from full.
    while numbers.contains_key(&number) {
        number = if number == LAST_NUMBER { first } else { number + 1 };
    }
    if number != asked {
        displaced.insert(Name::clone(name), number);
    }
    numbers.insert(number, Name::clone(name));
}

fn free(numbers: &mut OrdMap<u32, Name>, displaced: &mut OrdMap<Name, u32>, first: u32, name: &str) {
    if let Some(number) = find(numbers, displaced, first, name) {
        numbers.remove(&number);
        displaced.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_from_the_name_alone() {
        let mut index = Index::default();
        for name in ["a", "b", "c"] {
            index.take_rule_number(&Name::from(name));
        }
        let mut reversed = Index::default();
        for name in ["c", "b", "a"] {
            reversed.take_rule_number(&Name::from(name));
        }
        assert_eq!(index, reversed);
        assert!(index.rule_numbers.keys().all(|number| (FIRST_RULE..=LAST_NUMBER).contains(number)));
    }

    #[test]
    fn a_displaced_name_keeps_its_number_when_the_first_comer_leaves() {
        let name = Name::from("web");
        let squatter = Name::from("squatter");
        let mut index = Index::default();
        index.rule_numbers.insert(wanted("web", FIRST_RULE), squatter);
        index.take_rule_number(&name);
        let number = index.rule_number("web").unwrap();
        assert_ne!(number, wanted("web", FIRST_RULE));
        index.rule_numbers.remove(&wanted("web", FIRST_RULE));
        index.take_rule_number(&name);
        assert_eq!(index.rule_number("web"), Some(number));
        index.free_rule_number("web");
        assert_eq!(index, Index::default());
    }
}
