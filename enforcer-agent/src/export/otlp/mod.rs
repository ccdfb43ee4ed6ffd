//! Records and metrics for OpenTelemetry collectors, over OTLP/gRPC.

mod spool;
