//! Metrics for one collector: the same families that Prometheus scrapes, counters as cumulative sums. They are not spooled:
//! a sum that did not arrive is in the next one.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use super::super::metrics::{self as scraped, Family, Kind, Sample, Since, Value};
use super::attributes::Attributes;
use super::collector::Collector;
use super::{Node, Pipe, now_ns, resource};
use crate::door::records::Scope;
use crate::door::stop::Stop;

/// Since when counters count, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Starts {
    pub(super) boot_ns: u64,
    pub(super) agent_ns: u64,
}

/// Sends every `every`.
pub(super) async fn run(
    pipe: Arc<Pipe>,
    metrics: Arc<scraped::Collector>,
    (mut collector, scope): (Collector, Scope),
    every: Duration,
    mut stop: Stop,
) {
    let agent = metrics.started().duration_since(UNIX_EPOCH).unwrap_or_default();
    let starts =
        Starts { boot_ns: booted_ns(), agent_ns: u64::try_from(agent.as_nanos()).unwrap_or_default() };
    let mut poll = interval(every);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_told = false;
    loop {
        tokio::select! {
            () = stop.wait() => return,
            _ = poll.tick() => {}
        }
        let request = request(&pipe.node, &metrics.families(&scope).await, starts, now_ns());
        let sent = tokio::select! {
            () = stop.wait() => return,
            sent = collector.metrics(request) => sent,
        };
        match sent.map(|answer| answer.partial_success.unwrap_or_default()) {
            Ok(partial) => {
                if partial.rejected_data_points > 0 {
                    let (rejected, said) = (partial.rejected_data_points, partial.error_message);
                    debug!(collector = pipe.name, rejected, said, "a collector did not take some metrics");
                }
                if is_told {
                    info!(collector = pipe.name, "the collector takes metrics again");
                }
                is_told = false;
            }
            Err(status) => {
                pipe.stats.failed();
                if !is_told {
                    let (code, said) = (status.code(), status.message());
                    warn!(
                        collector = pipe.name,
                        ?code,
                        said,
                        "a collector takes no metrics; the next ones hold them too"
                    );
                }
                is_told = true;
            }
        }
    }
}

fn booted_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let seconds = text.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<u64>().ok());
    seconds.unwrap_or_default().saturating_mul(1_000_000_000)
}

pub(super) fn request(
    node: &Node,
    families: &[Family],
    starts: Starts,
    now: u64,
) -> ExportMetricsServiceRequest {
    let with_series = families.iter().filter(|family| !family.samples.is_empty());
    let metrics = with_series.map(|family| metric(family, starts, now)).collect();
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(resource::scope()), metrics, ..ScopeMetrics::default() }];
    let resource = Some(resource::resource(node));
    let resource_metrics = vec![ResourceMetrics { resource, scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }
}

fn metric(family: &Family, starts: Starts, now: u64) -> Metric {
    let Family { name, help, kind, since, samples } = family;
    let start = match (kind, since) {
        (Kind::Counter, Since::Boot) => starts.boot_ns,
        (Kind::Counter, Since::Agent) => starts.agent_ns,
        (Kind::Gauge | Kind::Info, _) => 0,
    };
    let data_points = samples.iter().map(|sample| point(sample, start, now)).collect();
    let data = match kind {
        Kind::Counter => Data::Sum(Sum {
            data_points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        Kind::Gauge | Kind::Info => Data::Gauge(Gauge { data_points }),
    };
    Metric {
        name: name.replacen('_', ".", 1),
        description: help.to_string(),
        unit: unit(name, *kind).to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}

/// Units as UCUM writes them, from the last word of a name.
fn unit(name: &str, kind: Kind) -> &'static str {
    match name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        Some(_) | None if kind == Kind::Counter => "1",
        Some(_) | None => "",
    }
}

fn point(sample: &Sample, start: u64, now: u64) -> NumberDataPoint {
    let mut put = Attributes::default();
    sample.labels.iter().for_each(|(label, value)| put.text(label, value));
    NumberDataPoint {
        attributes: put.done(),
        start_time_unix_nano: start,
        time_unix_nano: now,
        value: Some(number(sample.value)),
        ..NumberDataPoint::default()
    }
}

/// Exact up to 63 bits, which no counter reaches.
fn number(value: Value) -> number_data_point::Value {
    match value {
        Value::Whole(whole) => number_data_point::Value::AsInt(i64::try_from(whole).unwrap_or(i64::MAX)),
        Value::Real(real) => number_data_point::Value::AsDouble(real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_cumulative_sums_and_exact() {
        let node = Node { name: "n1".to_owned(), version: "1".to_owned(), kernel: "6".to_owned() };
        let families = [
            Family::kernel_counter("enforcer_verdict_bytes", "B.")
                .with(&[("source", "red"), ("reason", "")], 1 << 62),
            Family::counter("enforcer_otlp_sent", "S.").with(&[], 3),
            Family::gauge("enforcer_ready", "R.").with(&[], 1),
            Family::gauge("enforcer_empty", "E."),
        ];
        let starts = Starts { boot_ns: 5, agent_ns: 7 };
        let request = request(&node, &families, starts, 9);
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let names: Vec<_> =
            metrics.iter().map(|metric| (metric.name.as_str(), metric.unit.as_str())).collect();
        assert_eq!(
            names,
            [("enforcer.verdict_bytes", "By"), ("enforcer.otlp_sent", "1"), ("enforcer.ready", "")]
        );
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("{:?}", metrics[0]) };
        assert!(sum.is_monotonic);
        assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
        let point = &sum.data_points[0];
        assert_eq!(point.value, Some(number_data_point::Value::AsInt(1 << 62)));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano, point.attributes.len()), (5, 9, 1));
        let Some(Data::Sum(sum)) = &metrics[1].data else { panic!("{:?}", metrics[1]) };
        assert_eq!(sum.data_points[0].start_time_unix_nano, 7);
        assert!(matches!(&metrics[2].data, Some(Data::Gauge(gauge)) if gauge.data_points.len() == 1));
    }
}
