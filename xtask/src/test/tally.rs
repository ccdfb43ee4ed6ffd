//! Counting what test runners print: cargo's, nextest's, and our own.

use std::fmt;

/// What came of some tests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: u64,
    /// Tests that failed.
    pub(crate) failed: u64,
    /// Tests that did not run: name and reason.
    pub(crate) skipped: Vec<(String, String)>,
    /// A runner ended with an error that no test explains: a compile error, a crash.
    pub(crate) broken: bool,
}

impl Tally {
    /// Takes a line of output into account.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.count(counts, ';');
        } else if let Some((_, counts)) =
            line.strip_prefix("Summary [").and_then(|rest| rest.split_once("run: "))
        {
            self.count(counts, ',');
        } else if let Some(rest) = line.strip_prefix("SKIP [").and_then(|rest| rest.split_once("] ")) {
            self.skip(rest.1, "marked #[ignore]");
        } else if let Some((name, reason)) = skipped(line) {
            self.skip(name, reason);
        }
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped.extend(other.skipped.iter().cloned());
        self.broken |= other.broken;
    }

    /// Nothing failed.
    pub(crate) const fn is_good(&self) -> bool {
        self.failed == 0 && !self.broken
    }

    /// Numbers that stand before `passed`, `failed`, `timed out`; other words count for nothing.
    fn count(&mut self, counts: &str, separator: char) {
        for part in counts.split([separator, '.']) {
            let Some((number, word)) = part.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match word.split(' ').next() {
                Some("passed") => self.passed += number,
                Some("failed" | "timed" | "exec") => self.failed += number,
                _ => {}
            }
        }
    }

    fn skip(&mut self, name: &str, reason: &str) {
        let words = name.split_whitespace().collect::<Vec<_>>().join(" ");
        // A runner may say it twice: as it happens, and at the end.
        if !self.skipped.iter().any(|(known, _)| *known == words) {
            self.skipped.push((words, reason.to_owned()));
        }
    }
}

/// `test NAME ... ignored, REASON` and our own `test NAME ... skipped: REASON`.
fn skipped(line: &str) -> Option<(&str, &str)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let reason = outcome.strip_prefix("ignored").or_else(|| outcome.strip_prefix("skipped"))?;
    let reason = reason.trim_start_matches([',', ':', ' ']);
    Some((name, if reason.is_empty() { "marked #[ignore]" } else { reason }))
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passed, failed, skipped, broken } = self;
        write!(f, "{passed} passed, {failed} failed, {} skipped", skipped.len())?;
        if *broken && *failed == 0 {
            write!(f, ", and the run itself FAILED")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        for line in lines {
            tally.read(line);
        }
        tally
    }

    #[test]
    fn cargo_and_nextest_are_understood() {
        let cargo = tally(&["test result: ok. 14 passed; 2 failed; 1 ignored; 0 measured; 3 filtered out"]);
        assert_eq!((cargo.passed, cargo.failed), (14, 2));
        let nextest = tally(&[
            "     Summary [   0.123s] 20 tests run: 17 passed (1 slow), 2 failed, 1 timed out, 3 skipped",
        ]);
        assert_eq!((nextest.passed, nextest.failed), (17, 3));
    }

    #[test]
    fn skipped_tests_keep_their_names_and_reasons() {
        let tally = tally(&[
            "test a::b ... ignored, slow",
            "test c ... skipped: no GPU",
            "        SKIP [         ] core a::d",
            "        SKIP [         ] core a::d",
        ]);
        let expected = [("a::b", "slow"), ("c", "no GPU"), ("core a::d", "marked #[ignore]")]
            .map(|(a, b)| (a.into(), b.into()));
        assert_eq!(tally.skipped, expected);
    }
}
