//! What leaves the node: metrics for Prometheus, records and metrics for OpenTelemetry collectors. It reaches the other
//! rooms only through [`crate::door`], and nothing waits for it.

pub mod lines;
pub mod metrics;
pub mod otlp;
