//! The lines of the demo: told as they happen, counted at the end.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

/// One line.
#[derive(Serialize)]
struct Step {
    step: String,
    expected: String,
    observed: String,
    ok: bool,
}

/// The lines so far.
pub(crate) struct Script {
    steps: Vec<Step>,
    json: bool,
    start: Instant,
}

impl Script {
    pub(crate) fn new(json: bool) -> Self {
        if !json {
            println!("{:<4} {:<66} {:<46} OBSERVED", "", "STEP", "EXPECTED");
        }
        Self { steps: Vec::new(), json, start: Instant::now() }
    }

    /// Does one thing and compares. An error is an observation that nobody expected.
    pub(crate) fn step(&mut self, step: &str, expected: &str, observe: impl FnOnce() -> Result<String>) {
        let observed = observe().unwrap_or_else(|error| format!("error: {error:#}"));
        let ok = observed == expected;
        if !self.json {
            println!("{:<4} {step:<66} {expected:<46} {observed}", if ok { "ok" } else { "FAIL" });
        }
        self.steps.push(Step { step: step.to_owned(), expected: expected.to_owned(), observed, ok });
    }

    /// Says how it went; true when everything was as expected.
    pub(crate) fn conclude(&self) -> Result<bool> {
        let failed = self.steps.iter().filter(|step| !step.ok).count();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&self.steps)?);
        } else {
            let (all, seconds) = (self.steps.len(), self.start.elapsed().as_secs_f64());
            println!("\n{} of {all} steps as expected, {seconds:.1} s", all - failed);
        }
        Ok(failed == 0)
    }
}
