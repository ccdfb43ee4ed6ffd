//! The table at the end.

use std::fmt;

use super::verdict::Verdict;
use crate::test::tally::Tally;

/// What came of every suite in every machine.
#[derive(Default)]
pub(super) struct Report {
    pub(super) rows: Vec<Row>,
    problems: Vec<String>,
}

/// A suite in a machine.
pub(super) struct Row {
    pub(super) machine: String,
    pub(super) suite: String,
    pub(super) seconds: f64,
    pub(super) verdict: Verdict,
}

impl Report {
    /// Something about a machine as a whole is not as it should be.
    pub(super) fn problem(&mut self, machine: &str, what: &str, words: &str) {
        let words = words.replace('\n', "\n    ");
        self.problems.push(format!("{machine}: {what}\n    {words}"));
    }

    /// Everything together. What is listed as not passing has been looked at here, and is no skip of the level.
    pub(super) fn tally(&self) -> Tally {
        let failed: usize = self.rows.iter().map(|row| row.verdict.problems.len()).sum();
        Tally {
            passed: self.rows.iter().map(|row| row.verdict.passed).sum(),
            failed: u64::try_from(failed + self.problems.len()).unwrap_or(u64::MAX),
            skipped: Vec::new(),
            broken: false,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<16} {:<10} {:>6} {:>9} {:>8} {:>7}",
            "machine", "suite", "passed", "expected", "problems", "s"
        )?;
        for row in &self.rows {
            let Verdict { passed, expected, problems } = &row.verdict;
            writeln!(
                f,
                "{:<16} {:<10} {passed:>6} {:>9} {:>8} {:>7.0}",
                row.machine,
                row.suite,
                expected.len(),
                problems.len(),
                row.seconds
            )?;
        }
        for row in &self.rows {
            for (case, reason) in &row.verdict.expected {
                writeln!(f, "  {} {} {case}: as expected, no: {reason}", row.machine, row.suite)?;
            }
        }
        for row in &self.rows {
            for problem in &row.verdict.problems {
                writeln!(f, "  {} {}: {problem}", row.machine, row.suite)?;
            }
        }
        for problem in &self.problems {
            writeln!(f, "  {problem}")?;
        }
        Ok(())
    }
}
