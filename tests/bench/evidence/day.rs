//! A day of many tenants, and one tenant's hour of it: what is found again, how fast, without an index of our own. The records are
//! such as the nodes of the other benches make; they go through the log and are sealed as they always are.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use enforcer_proto::v1;
use enforcer_trace::keys::{Keys, Memory};
use enforcer_trace::query::{Query, Scope, query};
use enforcer_trace::{Limits, Store};
use prost_types::Timestamp;

use crate::figure::{Figure, Goal};
use crate::suite::Effort;

const HOURS: u64 = 24;
const TENANTS: u64 = 20;
const BATCH: u64 = 8_192;
const SECOND_NS: u64 = 1_000_000_000;
/// 2026-11-27, midnight.
const MIDNIGHT: u64 = 1_795_737_600;
const NODE: &str = "n1";

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let records: u64 = match effort {
        Effort::Full => 100_000_000,
        Effort::Quick => 200_000,
    };
    let directory = tempfile::tempdir()?;
    let keys = Arc::new(Memory::new());
    let start = Instant::now();
    write(directory.path(), &keys, records)?;
    let written = start.elapsed().as_secs_f64();
    let bytes = size_of(directory.path())?;

    let hour = |hour: u64| Timestamp { seconds: seconds(MIDNIGHT + hour * 3_600), nanos: 0 };
    let request =
        v1::QueryRequest { from: Some(hour(13)), until: Some(hour(14)), ..v1::QueryRequest::default() };
    let scope = Scope::Tenant(tenant(7));
    let (all, whole) = timed(directory.path(), &keys, &request, &scope)?;
    let mut narrow = request;
    narrow.filter =
        Some(v1::ObserveRequest { verdict: Some("deny".to_owned()), ..v1::ObserveRequest::default() });
    let (few, filtered) = timed(directory.path(), &keys, &narrow, &scope)?;
    ensure!(few > 0.0 && few < all, "{few} of {all} records were refused");
    let count = number(records);
    Ok(vec![
        Figure::once("day/written", "records/s", count / written)
            .note(format!("{records} records through log, seal and chain on one thread beside its sealing")),
        Figure::once("day/bytes", "B/event", bytes / count)
            .goal(Goal::AtMost(10.0))
            .note("everything in the directory"),
        Figure::once("day/hour", "s", whole).note(format!("one tenant's hour, whole: {all} records")),
        Figure::once("day/hour-rate", "records/s", all / whole.max(1e-9)),
        Figure::once("day/refusals", "s", filtered).note(format!("its refusals alone: {few} records")),
    ])
}

fn write(directory: &Path, keys: &Arc<Memory>, records: u64) -> Result<()> {
    let limits = Limits { free_bytes: 0, total_bytes: u64::MAX, ..Limits::default() };
    let at =
        |number: u64| (MIDNIGHT * SECOND_NS).saturating_add(HOURS * 3_600 * SECOND_NS / records * number);
    let (mut store, _) = Store::open(directory, limits, Arc::clone(keys) as _, NODE, at(0))?;
    let mut next = 0;
    while next < records {
        let batch: Vec<Arc<v1::Record>> =
            (next..records.min(next + BATCH)).map(|number| Arc::new(record(number, at(number)))).collect();
        store.append(&batch, at(next))?;
        store.tick(at(next))?;
        next += BATCH;
    }
    store.seal(at(records))?;
    Ok(())
}

/// How many records, and seconds.
fn timed(
    directory: &Path,
    keys: &Arc<Memory>,
    request: &v1::QueryRequest,
    scope: &Scope,
) -> Result<(f64, f64)> {
    let start = Instant::now();
    let wanted = Query::parse(request)?;
    let mut found = 0;
    let keys: Arc<dyn Keys> = Arc::clone(keys) as _;
    for record in query(directory, &keys, &wanted, scope)? {
        ensure!(record.r#type != "loss", "{record:?}");
        found += 1;
    }
    Ok((number(found), start.elapsed().as_secs_f64()))
}

/// A connection's first packet; one in ten is refused.
fn record(sequence: u64, time_ns: u64) -> v1::Record {
    // Which tenant is not to depend on when.
    let mixed = sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let (own, pod) = (mixed % TENANTS, mixed / TENANTS % 8);
    let is_refused = mixed.is_multiple_of(10);
    let end = |pod: u64, port: u64| v1::Endpoint {
        identity: tenant(own),
        workload: format!("{}-{pod}", tenant(own)),
        address: format!("10.{own}.0.{pod}"),
        port: u32::try_from(port).unwrap_or(u32::MAX),
        ..v1::Endpoint::default()
    };
    v1::Record {
        sequence: sequence + 1,
        time: Some(Timestamp {
            seconds: seconds(time_ns / SECOND_NS),
            nanos: i32::try_from(time_ns % SECOND_NS).unwrap_or_default(),
        }),
        node: NODE.to_owned(),
        r#type: "flow".to_owned(),
        verdict: if is_refused { "deny" } else { "allow" }.to_owned(),
        reason: if is_refused { "rule_denied" } else { "" }.to_owned(),
        rule: if is_refused { "no-telnet" } else { "intra-tenant" }.to_owned(),
        revision: 7,
        hook: "from_workload".to_owned(),
        source: Some(end(pod, 32_768 + mixed % 28_000)),
        destination: Some(end(pod + 1, if is_refused { 23 } else { 8_080 })),
        protocol: "TCP".to_owned(),
        process: Some(v1::Process {
            pid: u32::try_from(4_000 + mixed % 64).unwrap_or_default(),
            command: "python3".to_owned(),
            executable: "/usr/bin/python3".to_owned(),
            arguments: vec!["python3".to_owned(), "train.py".to_owned()],
            identity: tenant(own),
            ..v1::Process::default()
        }),
        boot_ns: time_ns - MIDNIGHT * SECOND_NS,
        cpu: Some(u32::from(mixed.is_multiple_of(2))),
        cpu_sequence: sequence / 2 + 1,
        cookie: 1_000_000 + sequence,
        ..v1::Record::default()
    }
}

fn tenant(number: u64) -> String {
    format!("team-{number}")
}

fn size_of(directory: &Path) -> Result<f64> {
    let mut bytes = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| format!("{}", next.display()))? {
            let entry = entry?;
            let data = entry.metadata()?;
            if data.is_dir() { open.push(entry.path()) } else { bytes += data.len() }
        }
    }
    Ok(number(bytes))
}

fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn number(count: u64) -> f64 {
    count as f64
}
