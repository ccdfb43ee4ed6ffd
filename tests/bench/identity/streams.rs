//! Memory of the agent for each stream of the Workload API that is held.

use anyhow::Result;
use serde_json::json;

use super::wall::{Wall, settled_memory};
use crate::figure::Figure;
use crate::peer::Serving;
use crate::suite::Effort;

/// Below the fixed bounds of one workload.
const CONNECTIONS: usize = 50;
const STREAMS: usize = 100;

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let workloads = match effort {
        Effort::Full => 100,
        Effort::Quick => 2,
    };
    Ok(vec![
        held(workloads, CONNECTIONS, 1)?.note(
            "each on a connection of its own, as separate programs hold them; resident memory of the agent",
        ),
        held(workloads, 2, STREAMS)?.note("a hundred on each connection"),
    ])
}

fn held(workloads: usize, connections: usize, streams: usize) -> Result<Figure> {
    let wall = Wall::with(workloads, &json!({}))?;
    let socket = wall.socket()?.display().to_string();
    let before = settled_memory(wall.agent()?)?;
    let (each, on) = (connections.to_string(), streams.to_string());
    let hold = |index| Serving::start(&wall.place(index)?, &["hold", &socket, &each, &on]);
    let holders = (0..workloads).map(hold).collect::<Result<Vec<_>>>()?;
    let after = settled_memory(wall.agent()?)?;
    drop(holders);
    let count = workloads * connections * streams;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let per_stream = (after - before) / count as f64 / 1024.0;
    Ok(Figure::once(format!("streams/{count} on {}", workloads * connections), "KiB each", per_stream))
}
