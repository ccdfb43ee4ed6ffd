//! From the spool of one collector to it: one call at a time, until it was taken or never will be.

use std::sync::Arc;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use tokio::time::sleep;
use tracing::{info, warn};

use super::collector::Collector;
use super::record::log_record;
use super::rules::{Backoff, Next, after, chance};
use super::spool::{self, Batch};
use super::stats::Cause;
use super::{Pipe, gather, now_ns, resource};
use crate::door::stop::Stop;

/// Sends until the word to stop comes. A batch that is under way then is sent again after the restart.
pub(super) async fn run(pipe: Arc<Pipe>, mut collector: Collector, mut stop: Stop) {
    loop {
        let next = pipe.next().await;
        let is_there = match next {
            Ok(spool::Next::Batch(id, batch)) => {
                let done = tokio::select! {
                    () = stop.wait() => return,
                    () = deliver(&pipe, &mut collector, &batch) => pipe.take_off(id).await,
                };
                if let Err(error) = done {
                    warn!(%error, collector = pipe.name, "how far a collector has come is not kept: it may get records twice");
                }
                true
            }
            Ok(spool::Next::Damaged(records)) => {
                warn!(collector = pipe.name, records, "a batch in the spool is not what was written");
                pipe.stats.lose(Cause::SpoolDamaged, records);
                true
            }
            Ok(spool::Next::Nothing) => false,
            Err(error) => {
                warn!(%error, collector = pipe.name, "the spool cannot be read");
                sleep(Backoff::new().next(chance())).await;
                true
            }
        };
        if !is_there {
            tokio::select! {
                () = stop.wait() => return,
                () = pipe.news.notified() => {}
            }
        }
    }
}

/// Sends a batch until the collector took it, or said that it never will.
async fn deliver(pipe: &Pipe, collector: &mut Collector, batch: &Batch) {
    let request = request(pipe, batch);
    let mut backoff = Backoff::new();
    let mut is_told = false;
    loop {
        let status = match collector.logs(request.clone()).await {
            Ok(answer) => {
                let partial = answer.partial_success.unwrap_or_default();
                let rejected = u64::try_from(partial.rejected_log_records).unwrap_or_default();
                let rejected = rejected.min(batch.records.into());
                if rejected > 0 || !partial.error_message.is_empty() {
                    warn!(
                        collector = pipe.name,
                        rejected,
                        said = partial.error_message,
                        "a collector is not content"
                    );
                }
                pipe.stats.sent(u64::from(batch.records) - rejected);
                pipe.stats.lose(Cause::Rejected, rejected);
                if is_told {
                    info!(collector = pipe.name, "the collector takes records again");
                }
                return;
            }
            Err(status) => status,
        };
        pipe.stats.failed();
        let asked = match after(&status) {
            Next::Retry(asked) => asked,
            Next::Drop => {
                let (code, said) = (status.code(), status.message());
                warn!(
                    collector = pipe.name,
                    ?code,
                    said,
                    records = batch.records,
                    "a collector refused records"
                );
                pipe.stats.lose(Cause::Refused, batch.records.into());
                return;
            }
        };
        if !is_told {
            let (code, said) = (status.code(), status.message());
            warn!(collector = pipe.name, ?code, said, "a collector takes no records; they wait in the spool");
            is_told = true;
        }
        let own = backoff.next(chance());
        sleep(asked.unwrap_or(own)).await;
    }
}

fn request(pipe: &Pipe, batch: &Batch) -> ExportLogsServiceRequest {
    let observed = now_ns();
    let run = format!("{}/{}", pipe.node.name, batch.run);
    let log_records =
        gather::records(batch).iter().map(|record| log_record(record, &run, observed)).collect();
    let scope_logs = vec![ScopeLogs { scope: Some(resource::scope()), log_records, ..ScopeLogs::default() }];
    let resource = Some(resource::resource(&pipe.node));
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    }
}
