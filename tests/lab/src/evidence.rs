//! What a wall leaves behind: counters that moved, records with names, lines in the agent's log.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::agent::log_of;
use crate::ctl::Ctl;
use crate::topology::Node;

/// A refused packet is counted once at each hook that saw it; what was allowed has this word.
pub const NONE: &str = "none";

/// What a verdict counter is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CounterKey {
    /// Identity of the source.
    pub source: String,
    /// Identity of the destination.
    pub destination: String,
    /// Drop reason.
    pub reason: String,
    /// Where.
    pub hook: String,
    /// Recorded, not enforced.
    pub audited: bool,
}

/// Verdict counters of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(pub BTreeMap<CounterKey, u64>);

impl Counters {
    /// As they are now.
    ///
    /// # Errors
    /// The agent does not answer, or in other words than these.
    pub fn read(ctl: &Ctl) -> Result<Self> {
        let answer = ctl.json(&["counters"])?;
        let all = answer["counters"].as_array().context("counters: no list")?;
        let mut counters = BTreeMap::new();
        for counter in all {
            *counters.entry(key(counter)?).or_default() += counter["packets"].as_u64().context("packets")?;
        }
        Ok(Self(counters))
    }

    /// What was added since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let grown = self.0.iter().filter_map(|(key, packets)| {
            let grown = packets.saturating_sub(before.0.get(key).copied().unwrap_or_default());
            (grown > 0).then(|| (key.clone(), grown))
        });
        Self(grown.collect())
    }

    /// Packets of all counters that fit.
    pub fn sum(&self, fits: impl Fn(&CounterKey) -> bool) -> u64 {
        self.0.iter().filter(|(key, _)| fits(key)).map(|(_, packets)| packets).sum()
    }
}

fn key(counter: &Value) -> Result<CounterKey> {
    let word =
        |name: &str| counter[name].as_str().map(str::to_owned).with_context(|| format!("{name}: {counter}"));
    Ok(CounterKey {
        source: word("source")?,
        destination: word("destination")?,
        reason: word("reason")?,
        hook: word("hook")?,
        audited: counter["audited"].as_bool().context("audited")?,
    })
}

/// Records lost, by cause, whoever they were of.
///
/// # Errors
/// The agent does not answer.
pub fn losses(ctl: &Ctl) -> Result<BTreeMap<String, u64>> {
    let status = ctl.json(&["status"])?;
    let all = status["losses"].as_array().context("losses: no list")?;
    let pair = |loss: &Value| Some((loss["cause"].as_str()?.to_owned(), loss["count"].as_u64()?));
    let mut lost = BTreeMap::new();
    for (cause, count) in all.iter().filter_map(pair) {
        *lost.entry(cause).or_default() += count;
    }
    Ok(lost)
}

/// Lines of a node's log in which the agent says that it stopped doing its job.
///
/// # Errors
/// The log cannot be read.
pub fn errors_logged(node: &Node) -> Result<Vec<String>> {
    let path = log_of(node);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let log = fs::read_to_string(&path).with_context(|| format!("{}", path.display()))?;
    let is_error = |line: &&str| line.contains("\"level\":\"ERROR\"") || line.contains("panicked at");
    Ok(log.lines().filter(is_error).map(str::to_owned).collect())
}
