//! Which records were seen, by their numbers: a sliding bitmap behind the highest, as IPsec and its kin refuse replays
//! (RFC 6479). What is told twice counts once, also out of order.

const WORD: u64 = 64;
/// Numbers that are told apart behind the highest.
const SEEN: u64 = 65_536;

/// Numbers that were seen.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    highest: u64,
    words: Vec<u64>,
}

impl Default for Seen {
    fn default() -> Self {
        let words = usize::try_from(SEEN / WORD).unwrap_or(0);
        Self { highest: 0, words: vec![0; words] }
    }
}

impl Seen {
    /// True for a number that was not there before and is not too old to know. 0 is no number, and always new.
    pub(super) fn is_new(&mut self, number: u64) -> bool {
        if number == 0 {
            return true;
        }
        if number > self.highest {
            self.advance(number);
        } else if self.highest - number >= SEEN - WORD {
            return false;
        }
        let bit = 1 << (number % WORD);
        let Some(word) = self.word(number / WORD) else { return true };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Empties the words between the old highest and the new one, the latter's included.
    fn advance(&mut self, number: u64) {
        let (from, to) = (self.highest / WORD, number / WORD);
        for index in (from + 1..=to).rev().take(self.words.len()) {
            if let Some(word) = self.word(index) {
                *word = 0;
            }
        }
        self.highest = number;
    }

    fn word(&mut self, index: u64) -> Option<&mut u64> {
        let place = usize::try_from(index % (SEEN / WORD)).ok()?;
        self.words.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_number_is_new_once(numbers in proptest::collection::vec(1_u64..70_000, 1..500)) {
            let (mut seen, mut all, mut highest) = (Seen::default(), HashSet::new(), 0);
            for number in numbers {
                highest = highest.max(number);
                let is_old = highest - number >= SEEN - WORD;
                prop_assert_eq!(seen.is_new(number), !is_old && all.insert(number));
            }
        }
    }

    #[test]
    fn a_jump_forgets_what_is_far_behind() {
        let mut seen = Seen::default();
        assert!(seen.is_new(5) && !seen.is_new(5));
        assert!(seen.is_new(u64::MAX) && !seen.is_new(u64::MAX));
        assert!(!seen.is_new(5));
        assert!(seen.is_new(u64::MAX - 1));
        assert!(seen.is_new(0) && seen.is_new(0));
    }
}
