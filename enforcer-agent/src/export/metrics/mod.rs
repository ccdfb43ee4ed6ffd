//! What a monitoring system is told: collected at most every few seconds, bounded in number, and of a tenant's reader
//! only what is its tenant's.

mod collect;
mod family;
mod joined;
mod kernel;
mod node;
mod pairs;
mod process;
mod serve;
mod text;
mod traces;

pub use collect::{Collector, NodeWords, RecordTotals, Sources};
pub(super) use family::{Family, Kind, Sample, Since, Value};
pub use serve::{MetricsDoor, MetricsError, Tls};

#[cfg(test)]
pub(crate) mod tests;
