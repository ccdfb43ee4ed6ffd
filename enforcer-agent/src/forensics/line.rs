//! Records as lines of JSON in the agent's log: the evidence that outlives the agent's memory.

use std::fmt;

use enforcer_core::event::json;
use enforcer_proto::v1;

/// The `tracing` target of these lines: filter by it.
pub const TARGET: &str = "enforcer::record";

/// Writes one line.
pub(super) fn write(record: &v1::Record) {
    tracing::info!(target: TARGET, "{}", Line(record));
}

/// Spelt only when the line is written.
struct Line<'a>(&'a v1::Record);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&json::line(self.0))
    }
}
