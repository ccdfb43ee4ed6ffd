//! `tests/vm/skips.txt`: what cannot pass in a machine, a line each: `MACHINE SUITE CASE REASON`. `*` stands for every
//! machine, or for every case of a suite.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::root;

const FILE: &str = "tests/vm/skips.txt";
const EVERY: &str = "*";

/// What cannot pass.
#[derive(Debug, Default)]
pub(super) struct Skips(Vec<Skip>);

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skip {
    machine: String,
    suite: String,
    pub(super) case: String,
    pub(super) reason: String,
}

impl Skips {
    /// Reads the list.
    ///
    /// # Errors
    /// It is missing, or a line has no reason.
    pub(super) fn load() -> Result<Self> {
        parse(&fs::read_to_string(root::workspace().join(FILE)).with_context(|| FILE)?)
    }

    /// The lines about a suite in a machine.
    pub(super) fn of(&self, machine: &str, suite: &str) -> Vec<&Skip> {
        let there = [machine, super::kernel_of(machine), EVERY];
        let fits = |skip: &&Skip| there.contains(&skip.machine.as_str()) && skip.suite == suite;
        self.0.iter().filter(fits).collect()
    }

    /// The line that is about all of a suite in a machine.
    pub(super) fn whole(&self, machine: &str, suite: &str) -> Option<&Skip> {
        self.of(machine, suite).into_iter().find(|skip| skip.is_whole_suite())
    }
}

impl Skip {
    /// True for the line that is about all of a suite.
    pub(super) fn is_whole_suite(&self) -> bool {
        self.case == EVERY
    }
}

fn parse(text: &str) -> Result<Skips> {
    let mut skips = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let [machine, suite, case, reason] = words[..] else {
            bail!("{FILE}:{}: expected MACHINE SUITE CASE REASON", number + 1);
        };
        let [machine, suite, case, reason] = [machine, suite, case, reason].map(str::to_owned);
        skips.push(Skip { machine, suite, case, reason });
    }
    Ok(Skips(skips))
}

#[cfg(test)]
pub(super) fn of_text(text: &str) -> Skips {
    parse(text).expect("a list")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_counts_for_its_machine_and_suite_only_and_needs_a_reason() {
        let skips = of_text("# why\n6.1 netns a::b no tcx before 6.6\n* device c everywhere\n");
        assert_eq!(skips.of("6.1", "netns")[0].reason, "no tcx before 6.6");
        assert!(skips.of("6.12", "netns").is_empty());
        assert_eq!(skips.of("6.12", "device").len(), 1);
        assert_eq!(skips.of("6.1-lsm-off", "netns").len(), 1);
        let off = of_text("6.1-lsm-off netns a why\n");
        assert!(off.of("6.1", "netns").is_empty());
        assert!(parse("6.1 netns a::b\n").is_err());
    }
}
