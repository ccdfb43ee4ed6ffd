//! Where a node's counters and records stood before something was tried, and what they say since.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::ctl::Ctl;
use crate::evidence::{CounterKey, Counters};
use crate::wait;

/// How long a record may take from the kernel to `observe`.
const RECORD_LIMIT: Duration = Duration::from_secs(5);

/// What a refusal must say.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// Identity of the sender.
    pub source: &'a str,
    /// Identity of the receiver.
    pub destination: &'a str,
    /// Drop reason.
    pub reason: &'a str,
    /// Rule, or the name of the default.
    pub rule: &'a str,
}

impl<'a> Refusal<'a> {
    /// Two tenants without a rule between them.
    #[must_use]
    pub const fn no_rule(source: &'a str, destination: &'a str) -> Self {
        Self { source, destination, reason: "cross_tenant_no_rule", rule: "no-rule-matched" }
    }
}

/// Where a node's counters and records stood before something was tried.
pub struct Mark {
    ctl: Ctl,
    counters: Counters,
    sequence: u64,
}

impl Mark {
    /// Remembers where they stand now.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn at(ctl: Ctl) -> Result<Self> {
        let counters = Counters::read(&ctl)?;
        let sequence = last_sequence(&ctl)?;
        Ok(Self { ctl, counters, sequence })
    }

    /// Waits for a counter that moved and a record that says so.
    ///
    /// # Errors
    /// They do not come; what came instead is in the error.
    pub fn tells(&self, refusal: Refusal<'_>, also: impl Fn(&Value) -> bool) -> Result<()> {
        let counted = |key: &CounterKey| {
            key.source == refusal.source
                && key.destination == refusal.destination
                && key.reason == refusal.reason
        };
        let grown = Counters::read(&self.ctl)?.since(&self.counters);
        ensure!(grown.sum(counted) > 0, "no counter moved for {refusal:?}, but these did: {grown:?}");
        self.record(&format!("{refusal:?}"), |record| {
            record["reason"] == refusal.reason
                && record["rule"] == refusal.rule
                && record["source"]["identity"] == refusal.source
                && record["destination"]["identity"] == refusal.destination
                && also(record)
        })
        .map(drop)
    }

    /// Waits for a record that fits.
    ///
    /// # Errors
    /// None comes; those that did are in the error.
    pub fn record(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut seen = Vec::new();
        let waited = wait::until(&format!("a record of {what}"), RECORD_LIMIT, || {
            seen = self.records()?;
            Ok(seen.iter().find(|record| fits(record)).cloned())
        });
        waited.with_context(|| {
            let lines: Vec<String> = seen.iter().map(Value::to_string).collect();
            format!("the records since then:\n{}", lines.join("\n"))
        })
    }

    /// Records since then.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn records(&self) -> Result<Vec<Value>> {
        let all = self.ctl.json_lines(&["observe"])?;
        Ok(all.into_iter().filter(|record| record["sequence"].as_u64() > Some(self.sequence)).collect())
    }

    /// Counters since then.
    ///
    /// # Errors
    /// The agent does not answer.
    pub fn counted(&self) -> Result<Counters> {
        Ok(Counters::read(&self.ctl)?.since(&self.counters))
    }
}

fn last_sequence(ctl: &Ctl) -> Result<u64> {
    let last = ctl.json_lines(&["observe", "--last", "1"])?;
    Ok(last.last().and_then(|record| record["sequence"].as_u64()).unwrap_or_default())
}
