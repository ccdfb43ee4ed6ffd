//! One TCP stream between two workloads of different tenants on one node.

use anyhow::Result;

use super::rounds;
use super::trio::{Between, Trio};
use crate::figure::{Figure, Goal};
use crate::peer::{Serving, Stream, ask};
use crate::sample::Sample;
use crate::suite::Effort;

/// Of what the bare node carries.
const GOAL: Goal = Goal::RatioAtLeast(0.98);

/// Runs of one node, in the order of the rounds.
#[derive(Default)]
struct Runs {
    gbits_per_second: Vec<f64>,
    cpu_seconds_per_gb: Vec<f64>,
}

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let trio = Trio::up()?;
    let mut sinks = Vec::new();
    for between in Between::ALL {
        let at = trio.service(between)?.to_string();
        sinks.push(Serving::start(&trio.server(between)?, &["sink", &at])?);
    }
    let millis = match effort {
        Effort::Full => "1500",
        Effort::Quick => "200",
    };
    let mut runs: [Runs; 3] = Default::default();
    for round in 0..rounds(effort) {
        for turn in 0..Between::ALL.len() {
            // Each goes first as often as the others.
            let Some(between) = Between::ALL.get((round + turn) % Between::ALL.len()) else { continue };
            let to = trio.service(*between)?.to_string();
            let seen: Stream = ask(&trio.client(*between)?, &["stream", &to, millis])?;
            let Some(runs) = runs.get_mut(between.index()) else { continue };
            runs.gbits_per_second.push(seen.bytes * 8.0 / seen.seconds / 1e9);
            runs.cpu_seconds_per_gb.push(seen.cpu_seconds / (seen.bytes / 1e9));
        }
    }
    Ok(figures(&runs))
}

fn figures(runs: &[Runs; 3]) -> Vec<Figure> {
    let [walls, nothing, nftables] = runs;
    let gbits = |name: &str, runs: &Runs| {
        let ratios = Sample::zip(&runs.gbits_per_second, &nothing.gbits_per_second, |run, bare| run / bare);
        let sample = Sample::from(runs.gbits_per_second.clone());
        Figure::of(format!("tcp/stream/{name}"), "Gbit/s", &sample).over(ratios.median(), "nothing")
    };
    let cpu = |name: &str, runs: &Runs| {
        let ratios =
            Sample::zip(&runs.cpu_seconds_per_gb, &nothing.cpu_seconds_per_gb, |run, bare| run / bare);
        let sample = Sample::from(runs.cpu_seconds_per_gb.clone());
        Figure::of(format!("tcp/cpu/{name}"), "s/GB", &sample).over(ratios.median(), "nothing")
    };
    vec![
        gbits("walls", walls).goal(GOAL).note("the ratio is the median of the ratios within a round"),
        gbits("nftables", nftables),
        gbits("nothing", nothing),
        cpu("walls", walls).note("processor time of both ends, kernel and user"),
        cpu("nftables", nftables),
        cpu("nothing", nothing),
    ]
}
