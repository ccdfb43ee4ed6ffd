//! Connections between two workloads of different tenants on one node, opened and closed one after the other.

use anyhow::Result;

use super::rounds;
use super::trio::{Between, Trio};
use crate::figure::{Figure, Goal};
use crate::peer::{Connections, Serving, ask};
use crate::sample::Sample;
use crate::suite::Effort;

/// Of what the bare node connects.
const GOAL: Goal = Goal::RatioAtLeast(0.95);

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let trio = Trio::up()?;
    let mut servers = Vec::new();
    for between in Between::ALL {
        let at = trio.service(between)?.to_string();
        servers.push(Serving::start(&trio.server(between)?, &["hangup", &at])?);
    }
    let millis = match effort {
        Effort::Full => "1000",
        Effort::Quick => "200",
    };
    let mut runs: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds(effort) {
        for turn in 0..Between::ALL.len() {
            let Some(between) = Between::ALL.get((round + turn) % Between::ALL.len()) else { continue };
            let to = trio.service(*between)?.to_string();
            let seen: Connections = ask(&trio.client(*between)?, &["connect", &to, millis])?;
            let Some(runs) = runs.get_mut(between.index()) else { continue };
            runs.push(seen.count / seen.seconds);
        }
    }
    let [walls, nothing, nftables] = &runs;
    let figure = |name: &str, runs: &Vec<f64>| {
        let ratios = Sample::zip(runs, nothing, |run, bare| run / bare);
        Figure::of(format!("connect/{name}"), "1/s", &Sample::from(runs.clone()))
            .over(ratios.median(), "nothing")
    };
    Ok(vec![
        figure("walls", walls)
            .goal(GOAL)
            .note("each opens a flow that is tracked on two hooks and told to the agent, which reads it"),
        figure("nftables", nftables),
        figure("nothing", nothing),
    ])
}
