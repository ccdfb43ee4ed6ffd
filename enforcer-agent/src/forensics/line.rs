//! Records as lines of JSON in the agent's log: the evidence that outlives the agent's memory.

use enforcer_core::event::json;
use enforcer_proto::v1;

/// The `tracing` target of these lines: filter by it.
pub const TARGET: &str = "enforcer::record";

/// Writes one line.
pub(super) fn write(record: &v1::Record) {
    // Nobody pays for a line that nobody reads.
    if tracing::enabled!(target: TARGET, tracing::Level::INFO) {
        tracing::info!(target: TARGET, "{}", json::line(record));
    }
}
