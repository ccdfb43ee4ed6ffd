//! A whole policy with a million bindings, pushed at once to an empty agent: how long, and how much memory.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::maps::MapData;
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::Config;
use enforcer_lab::lab::Lab;
use enforcer_lab::spec::Spec;
use enforcer_proto::v1::apply_request;

use super::push::{LAB, NODE};
use crate::crowd;
use crate::figure::Figure;
use crate::suite::Effort;
use crate::uplink::Uplink;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let (tenants, bindings) = match effort {
        Effort::Full => (10_000, 1_000_000),
        Effort::Quick => (100, 10_000),
    };
    let mut lab = Lab::up(&Spec::new(LAB.parse()?, 1, 1, 1)?, Binaries::find()?)?;
    lab.start_agent(NODE, &Config::default())?;
    let pid = lab.agent_process(NODE)?.pid;
    let pins = lab.node(NODE)?.pins.clone();
    let empty = map_bytes(&pins)?;
    let mut uplink = Uplink::connect(&lab.node(NODE)?.socket)?;
    let applied = uplink.apply(apply_request::Change::Snapshot(crowd::snapshot(tenants, bindings)))?;
    let full = map_bytes(&pins)?;
    let mib = |bytes: u64| as_f64(bytes) / f64::from(1 << 20);
    let what = format!("{bindings} bindings, {tenants} tenants with a rule each, in one message");
    Ok(vec![
        Figure::once("load/seconds", "s", applied.round_trip.as_secs_f64()).note(what),
        Figure::once("load/seconds/enforced", "s", applied.enforced.as_secs_f64()),
        Figure::once("load/maps", "MiB", mib(full))
            .over(as_f64(full) / as_f64(empty), "before the push")
            .note("kernel memory of all pinned maps, as their file descriptors tell"),
        Figure::once("load/agent/resident", "MiB", mib(resident(pid, "VmRSS:")?)),
        Figure::once("load/agent/resident/peak", "MiB", mib(resident(pid, "VmHWM:")?))
            .note("while the message was decoded, applied and written to the journal"),
    ])
}

/// Kernel memory of every map that is pinned below a directory.
fn map_bytes(pins: &Path) -> Result<u64> {
    let mut sum = 0;
    for version in fs::read_dir(pins).with_context(|| pins.display().to_string())? {
        for pin in fs::read_dir(version?.path().join("maps"))? {
            let map = MapData::from_pin(pin?.path())?;
            let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
            sum += number_after(&info, "memlock:").context("no memlock in fdinfo")?;
        }
    }
    Ok(sum)
}

/// A line of a process's memory, in bytes.
fn resident(pid: i32, word: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the agent's status")?;
    Ok(number_after(&status, word).with_context(|| format!("no {word} for process {pid}"))? * 1024)
}

fn number_after(text: &str, word: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(word))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "bytes far below 2^52")]
const fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::number_after;

    #[test]
    fn a_number_is_found_by_the_word_before_it() {
        assert_eq!(number_after("pos:\t0\nmemlock:\t4096\n", "memlock:"), Some(4096));
        assert_eq!(number_after("VmHWM:\t  12 kB\n", "VmHWM:"), Some(12));
        assert_eq!(number_after("VmRSS:\t  12 kB\n", "VmHWM:"), None);
    }
}
