//! `tests/vm/budget.txt`: instructions that a kernel's verifier looks at before it takes a program, a line each:
//! `PROGRAM MACHINE INSTRUCTIONS`, with `-` where that kernel does not take it at all.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::machine::HeardJob;
use super::verdict::Verdict;
use crate::root;

const FILE: &str = "tests/vm/budget.txt";
/// A program may cost so much more, in hundredths, than its line says: kernels of one name change a little.
const SLACK_PERCENT: u64 = 10;
const HEAD: &str = "\
# Instructions that the verifier looks at before it takes a program: PROGRAM MACHINE INSTRUCTIONS, or `-` where that
# kernel does not take it. A tenth more is an error, as is a program without a line. The kernel's own limit is 1000000.
# Written by `cargo xtask vm --suite cost --write-budget`.
";

/// What each program may cost in each machine; `None` where it must not load.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Budget(BTreeMap<(String, String), Option<u64>>);

/// What a kernel said of one program: a line of the suite `cost`.
#[derive(Debug, Deserialize, PartialEq, Eq)]
struct Cost {
    program: String,
    instructions: Option<u64>,
    refused: Option<String>,
}

impl Budget {
    /// Reads the file.
    ///
    /// # Errors
    /// It is missing, or a line is no line of it.
    pub(super) fn load() -> Result<Self> {
        parse(&fs::read_to_string(root::workspace().join(FILE)).with_context(|| FILE)?)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The disk refused.
    pub(super) fn save(&self) -> Result<()> {
        let mut text = HEAD.to_owned();
        for ((program, machine), limit) in &self.0 {
            let limit = limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string());
            writeln!(text, "{program} {machine} {limit}")?;
        }
        fs::write(root::workspace().join(FILE), text).with_context(|| FILE)
    }

    /// Takes what a machine's kernel said in place of what is written about that machine.
    pub(super) fn learn(&mut self, machine: &str, job: &HeardJob) {
        self.0.retain(|(_, of), _| of != machine);
        for cost in costs(job) {
            self.0.insert((cost.program, machine.to_owned()), cost.instructions);
        }
    }

    /// Judges what a machine's kernel said.
    pub(super) fn judge(&self, machine: &str, job: &HeardJob) -> Verdict {
        let mut verdict = Verdict::default();
        let costs = costs(job);
        for cost in &costs {
            match self.judge_one(machine, cost) {
                Ok(None) => verdict.passed += 1,
                Ok(Some(reason)) => verdict.expected.push((cost.program.clone(), reason)),
                Err(problem) => verdict.problems.push(problem),
            }
        }
        let ours = self.0.keys().filter(|(_, of)| of == machine);
        let gone = ours.filter(|(program, _)| !costs.iter().any(|cost| cost.program == *program));
        verdict
            .problems
            .extend(gone.map(|(program, _)| format!("{program} has a line in {FILE} and is no program")));
        if costs.is_empty() {
            verdict
                .problems
                .push(format!("nothing was measured. It said:\n      {}", job.lines.join("\n      ")));
        }
        verdict
    }

    fn judge_one(&self, machine: &str, cost: &Cost) -> Result<Option<String>, String> {
        let program = &cost.program;
        let said = cost.refused.as_deref().unwrap_or_default();
        match (self.0.get(&(program.clone(), machine.to_owned())), cost.instructions) {
            (None, Some(now)) => Err(format!("add to {FILE}: {program} {machine} {now}")),
            (None, None) => Err(format!("{program} is refused, and {FILE} has no line about it: {said}")),
            (Some(None), None) => Ok(Some(said.to_owned())),
            (Some(None), Some(now)) => Err(format!("{program} loads now: write {now} in its line of {FILE}")),
            (Some(Some(_)), None) => Err(format!("{program} is refused: {said}")),
            (Some(Some(limit)), Some(now)) if now * 100 > limit * (100 + SLACK_PERCENT) => {
                Err(format!("{program} costs {now} instructions, {limit} are budgeted"))
            }
            (Some(Some(_)), Some(_)) => Ok(None),
        }
    }
}

fn costs(job: &HeardJob) -> Vec<Cost> {
    job.lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn parse(text: &str) -> Result<Budget> {
    let mut budget = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let limit = match words[..] {
            [_, _, "-"] => Some(None),
            [_, _, limit] => limit.parse().ok().map(Some),
            _ => None,
        };
        let (Some(limit), [program, machine, ..]) = (limit, &words[..]) else {
            bail!("{FILE}:{}: expected PROGRAM MACHINE INSTRUCTIONS", number + 1);
        };
        budget.insert(((*program).to_owned(), (*machine).to_owned()), limit);
    }
    Ok(Budget(budget))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(lines: &[&str]) -> HeardJob {
        HeardJob { lines: lines.iter().map(|line| (*line).to_owned()).collect(), ..HeardJob::default() }
    }

    #[test]
    fn a_tenth_more_is_allowed_and_no_instruction_beyond() {
        let budget = parse("# x\np 6.1 1000\nq 6.1 -\n").unwrap();
        let refused = r#"{"program":"q","refused":"no such helper"}"#;
        let good = budget.judge("6.1", &job(&[r#"{"program":"p","instructions":1100}"#, refused, "noise"]));
        assert_eq!((good.passed, good.expected.len(), good.problems.len()), (1, 1, 0), "{good:?}");
        let dear = budget.judge("6.1", &job(&[r#"{"program":"p","instructions":1101}"#, refused]));
        assert_eq!(dear.problems, ["p costs 1101 instructions, 1000 are budgeted"]);
    }

    #[test]
    fn what_has_no_line_or_no_program_is_a_problem() {
        let budget = parse("gone 6.1 10\nq 6.1 -\n").unwrap();
        let verdict = budget.judge(
            "6.1",
            &job(&[r#"{"program":"new","instructions":5}"#, r#"{"program":"q","instructions":5}"#]),
        );
        assert_eq!(verdict.problems.len(), 3, "{verdict:?}");
        assert!(verdict.problems[0].ends_with("new 6.1 5"));
        assert!(!budget.judge("6.1", &job(&["it crashed"])).problems.is_empty());
        assert!(parse("p 6.1 many\n").is_err() && parse("p 6.1\n").is_err());
    }

    #[test]
    fn learning_replaces_one_machines_lines() {
        let mut budget = parse("old 6.1 10\nold 6.12 10\n").unwrap();
        budget.learn("6.1", &job(&[r#"{"program":"new","instructions":5}"#]));
        assert_eq!(budget, parse("new 6.1 5\nold 6.12 10\n").unwrap());
    }
}
