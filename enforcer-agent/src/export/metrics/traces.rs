//! The store of traces.

use enforcer_proto::v1;

use super::Family;

/// What the store says of itself.
pub(super) fn families(status: &v1::TraceStatusResponse) -> Vec<Family> {
    let mut files = Family::gauge("enforcer_trace_files", "Sealed files of a tenant.");
    let mut bytes = Family::gauge("enforcer_trace_bytes", "Bytes of a tenant's sealed files.");
    let mut records = Family::gauge("enforcer_trace_records", "Records in a tenant's sealed files.");
    let mut removed =
        Family::counter("enforcer_trace_removed", "Records that retention or a full disk took.");
    let mut newest =
        Family::gauge("enforcer_trace_newest_timestamp_seconds", "Time of a tenant's newest record.");
    for tenant in &status.tenants {
        let labels = [("tenant", tenant.tenant.as_str())];
        files.push(&labels, tenant.files);
        bytes.push(&labels, tenant.bytes);
        records.push(&labels, tenant.records);
        removed.push(&labels, tenant.removed);
        if let Some(seconds) = tenant.newest.and_then(|time| u64::try_from(time.seconds).ok()) {
            newest.push(&labels, seconds);
        }
    }
    let problems = u64::try_from(status.problems.len()).unwrap_or(u64::MAX);
    let durable = "Every record up to this number is on disk.";
    let wrong = "What is wrong with the store of traces; `enforcerctl trace status` says it in words.";
    vec![
        Family::gauge("enforcer_trace_durable_sequence", durable).with(&[], status.durable_sequence),
        Family::gauge("enforcer_trace_problems", wrong).with(&[], problems),
        files,
        bytes,
        records,
        removed,
        newest,
    ]
}
