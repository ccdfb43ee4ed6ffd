//! What came of a suite in a machine, against what was expected of it.

use enforcer_vm::End;

use super::machine::HeardJob;
use super::skips::Skip;
use super::suite::{self, Cases};

/// What came of a suite.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Cases that passed and should.
    pub(super) passed: u64,
    /// Cases that did not pass and are listed, and why.
    pub(super) expected: Vec<(String, String)>,
    /// Everything that is not as it should be.
    pub(super) problems: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Passed,
    Failed,
    Skipped,
}

impl Verdict {
    /// Judges a suite by what it printed and how it ended. Of some cases only those that were asked for must have run.
    pub(super) fn of(job: &HeardJob, skips: &[&Skip], asked: &Cases) -> Self {
        let cases: Vec<(&str, Came)> = job.lines.iter().filter_map(|line| case(line)).collect();
        let mut verdict = Self::default();
        if let Some(skip) = skips.iter().find(|skip| skip.is_whole_suite()) {
            verdict.judge_whole(&cases, skip);
            return verdict;
        }
        for (name, came) in &cases {
            let listed = skips.iter().find(|skip| skip.case == *name);
            verdict.judge(name, *came, listed.map(|skip| skip.reason.as_str()));
        }
        verdict.judge_unseen(job, &cases, skips, asked);
        verdict.judge_end(job, cases.iter().any(|(_, came)| *came == Came::Failed));
        verdict
    }

    fn judge(&mut self, name: &str, came: Came, listed: Option<&str>) {
        match (came, listed) {
            (Came::Passed, None) => self.passed += 1,
            (Came::Passed, Some(_)) => {
                self.problems.push(format!("{name} is listed in tests/vm/skips.txt, and passes"));
            }
            (Came::Failed | Came::Skipped, Some(reason)) => {
                self.expected.push((name.to_owned(), reason.to_owned()))
            }
            (Came::Failed, None) => self.problems.push(format!("{name} failed")),
            (Came::Skipped, None) => {
                self.problems.push(format!("{name} was skipped and is not listed in tests/vm/skips.txt"));
            }
        }
    }

    fn judge_unseen(&mut self, job: &HeardJob, cases: &[(&str, Came)], skips: &[&Skip], asked: &Cases) {
        let ran = |part: &str| cases.iter().any(|(name, _)| name.contains(part));
        let usual = match asked {
            Cases::Containing(_) => return,
            Cases::Usual => suite::usual(&job.name),
            Cases::All => &[],
        };
        if usual.is_empty() {
            let unseen = skips.iter().filter(|skip| !ran(&skip.case));
            self.problems.extend(unseen.map(|skip| format!("{} is listed and did not run", skip.case)));
        }
        if cases.is_empty() {
            self.problems.push(last_words(job));
        } else {
            let unseen = usual.iter().filter(|part| !ran(part));
            self.problems.extend(unseen.map(|part| format!("no case is called {part}")));
        }
    }

    fn judge_whole(&mut self, cases: &[(&str, Came)], skip: &Skip) {
        self.expected.push(("*".to_owned(), skip.reason.clone()));
        let passing = cases.iter().filter(|(_, came)| *came == Came::Passed);
        self.problems.extend(passing.map(|(name, _)| format!("{name} passes, though no case should")));
    }

    /// A suite may end with an error only because of a case that failed.
    fn judge_end(&mut self, job: &HeardJob, any_failed: bool) {
        match &job.ended {
            Some((End::Code(0), _)) => {}
            Some((End::Code(1), _)) if any_failed => {}
            Some((end, seconds)) => self.problems.push(format!("it ended after {seconds:.0} s: {end}")),
            None => self.problems.push("the machine went off while it ran".to_owned()),
        }
    }
}

fn last_words(job: &HeardJob) -> String {
    const LINES: usize = 12;
    let shown = job.lines.get(job.lines.len().saturating_sub(LINES)..).unwrap_or_default();
    format!("no case ran. It said:\n      {}", shown.join("\n      "))
}

/// `test NAME ... OUTCOME`, in the words of cargo's runner and of ours.
fn case(line: &str) -> Option<(&str, Came)> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    let came = [
        ("ok", Came::Passed),
        ("FAILED", Came::Failed),
        ("skipped", Came::Skipped),
        ("ignored", Came::Skipped),
    ];
    came.iter().find(|(word, _)| outcome.starts_with(word)).map(|(_, came)| (name, *came))
}

#[cfg(test)]
mod tests {
    use super::super::skips;
    use super::*;

    fn job(lines: &[&str], code: i32) -> HeardJob {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        HeardJob { name: "netns".to_owned(), lines, ended: Some((End::Code(code), 1.0)) }
    }

    fn verdict(lines: &[&str], code: i32, listed: &str) -> Verdict {
        let skips = skips::of_text(listed);
        Verdict::of(&job(lines, code), &skips.of("6.1", "netns"), &Cases::All)
    }

    #[test]
    fn what_is_listed_must_not_pass_and_the_rest_must() {
        let lines = ["test a ... ok (0.1 s)", "test b ... FAILED (2 s)", "test c ... skipped: no tcx"];
        let good = verdict(&lines, 1, "6.1 netns b why\n6.1 netns c why\n");
        assert_eq!((good.passed, good.expected.len(), good.problems.len()), (1, 2, 0), "{good:?}");
        assert_eq!(verdict(&lines, 1, "6.12 netns b why\n").problems.len(), 2);
        let passes = verdict(&lines, 1, "6.1 netns a why\n6.1 netns b why\n6.1 netns c why\n");
        assert_eq!(passes.problems.len(), 1, "{passes:?}");
    }

    #[test]
    fn silence_and_a_bad_end_are_problems() {
        assert!(verdict(&["the fixture failed: x"], 1, "").problems[0].contains("the fixture failed"));
        assert_eq!(verdict(&["test a ... ok (0.1 s)"], 101, "").problems.len(), 1);
        assert_eq!(verdict(&["test a ... ok (0.1 s)"], 0, "6.1 netns gone why\n").problems.len(), 1);
        let off = HeardJob { ended: None, ..job(&["test a ... ok (1 s)"], 0) };
        assert_eq!(Verdict::of(&off, &[], &Cases::All).problems.len(), 1);
        let filtered = Cases::Containing("zzz".to_owned());
        assert!(Verdict::of(&job(&[], 0), &[], &filtered).problems.is_empty());
        let unusual = Verdict::of(&job(&["test a ... ok (1 s)"], 0), &[], &Cases::Usual);
        assert_eq!(unusual.problems.len(), suite::usual("netns").len());
    }

    #[test]
    fn a_suite_that_cannot_run_at_all_passes_nowhere() {
        let listed = "6.1 netns * no tcx\n";
        assert!(verdict(&["the fixture failed: x"], 1, listed).problems.is_empty());
        assert_eq!(verdict(&["test a ... ok (0.1 s)"], 0, listed).problems.len(), 1);
    }
}
