//! What recording takes from those who are recorded: a stream and new connections, with everything recorded and with nothing
//! that may be left out.

use anyhow::Result;

use super::field::{Field, RECORDING, SILENT};
use crate::figure::{Figure, Goal};
use crate::peer::{Connections, Serving, Stream, ask};
use crate::sample::Sample;
use crate::suite::Effort;

/// Less than three in a hundred of a stream.
const GOAL: Goal = Goal::RatioAtLeast(0.97);

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let (rounds, millis) = match effort {
        Effort::Full => (9, "1500"),
        Effort::Quick => (1, "200"),
    };
    let field = Field::up()?;
    let nodes = [RECORDING, SILENT];
    let (mut streams, mut connects): ([Vec<f64>; 2], [Vec<f64>; 2]) = Default::default();
    for (verb, runs) in [("sink", &mut streams), ("hangup", &mut connects)] {
        let mut servers = Vec::new();
        for node in nodes {
            servers.push(Serving::start(&field.server(node)?, &[verb, &field.service(node)?.to_string()])?);
        }
        for round in 0..rounds {
            for turn in 0..nodes.len() {
                // Each goes first as often as the other.
                let index = (round + turn) % nodes.len();
                let (Some(node), Some(runs)) = (nodes.get(index), runs.get_mut(index)) else { continue };
                let (client, to) = (field.client(node)?, field.service(node)?.to_string());
                runs.push(if verb == "sink" {
                    let seen: Stream = ask(&client, &["stream", &to, millis])?;
                    seen.bytes * 8.0 / seen.seconds / 1e9
                } else {
                    let seen: Connections = ask(&client, &["connect", &to, millis])?;
                    seen.count / seen.seconds
                });
            }
        }
        drop(servers);
    }
    let figure = |name: &str, unit, [on, off]: &[Vec<f64>; 2]| {
        let ratio = Sample::zip(on, off, |on, off| on / off).median();
        Figure::of(name, unit, &Sample::from(on.clone())).over(ratio, "nothing recorded")
    };
    Ok(vec![
        figure("cost/stream", "Gbit/s", &streams).goal(GOAL).note(
            "the ratio is the median of the ratios within a round; without any wall see `bench datapath`",
        ),
        figure("cost/connect", "connections/s", &connects)
            .note("each is opened, ended, stored: four records a connection"),
    ])
}
