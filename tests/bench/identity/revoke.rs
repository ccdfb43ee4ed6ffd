//! From the call that revokes a workload until the workload is refused.

use anyhow::Result;
use serde_json::json;

use super::wall::Wall;
use crate::figure::{Figure, Goal};
use crate::peer::{Watching, monotonic};
use crate::sample::Sample;
use crate::suite::Effort;

/// Milliseconds: within a second.
const GOAL: Goal = Goal::AtMost(1000.0);

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let (workloads, rounds) = match effort {
        Effort::Full => (1_000, 200),
        Effort::Quick => (2, 10),
    };
    let wall = Wall::with(workloads, &json!({}))?;
    let mut watching = Watching::start(&wall.place(0)?, &wall.socket()?)?;
    let mut millis = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        watching.served()?;
        let start = monotonic()?;
        wall.revoke(0)?;
        let refused = watching.refused()?;
        #[expect(clippy::cast_precision_loss, reason = "nanoseconds of less than a minute")]
        millis.push(refused.saturating_sub(start) as f64 / 1e6);
        wall.restore(0)?;
    }
    let sample = Sample::from(millis);
    Ok(vec![
        Figure::of("revoke/median", "ms", &sample).goal(GOAL).note(format!(
            "from the call to the end of the workload's stream, written to disk and synced before; {workloads} \
             workloads on the node"
        )),
        Figure::of("revoke/p99", "ms", &sample).percentile(&sample, 99.0).goal(GOAL),
    ])
}
