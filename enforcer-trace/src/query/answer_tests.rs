use std::fs;
use std::path::PathBuf;

use enforcer_core::event::redact::redact;
use tempfile::TempDir;

use super::*;
use crate::chain;
use crate::keys::Memory;
use crate::parquet::from_nanoseconds;
use crate::{Limits, Store, wal};

const START: u64 = 1_795_838_400_000_000_000;
const SECOND: u64 = 1_000_000_000;

struct Bench {
    directory: TempDir,
    memory: Arc<Memory>,
    keys: Arc<dyn Keys>,
    store: Store,
    written: Vec<v1::Record>,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let memory = Arc::new(Memory::new());
        let keys: Arc<dyn Keys> = memory.clone();
        let (store, _) = Store::open(
            &directory.path().join("trace"),
            Limits::default(),
            Arc::clone(&keys),
            "node-1",
            START,
        )
        .unwrap();
        Self { directory, memory, keys, store, written: Vec::new() }
    }

    /// Appends records with the next numbers, a second apart.
    fn append(&mut self, records: impl IntoIterator<Item = v1::Record>) -> &mut Self {
        let first = self.written.len();
        for mut record in records {
            record.sequence = u64::try_from(self.written.len()).unwrap() + 1;
            let time = START + record.sequence * SECOND;
            record.time = Some(from_nanoseconds(i64::try_from(time).unwrap()));
            self.written.push(record);
        }
        let batch: Vec<_> = self.written.iter().skip(first).cloned().map(Arc::new).collect();
        self.store.append(&batch, START).unwrap();
        self
    }

    fn seal(&mut self) -> &mut Self {
        self.store.seal(START).unwrap();
        self
    }

    fn ask(&self, request: &v1::QueryRequest, scope: &Scope) -> Vec<v1::Record> {
        let wanted = Query::parse(request).unwrap();
        query(&self.root(), &self.keys, &wanted, scope).unwrap().collect()
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("trace")
    }

    fn all(&self) -> Vec<v1::Record> {
        self.ask(&v1::QueryRequest::default(), &Scope::Everything)
    }

    fn files(&self, tenant: &str) -> Vec<PathBuf> {
        let directory = self.root().join(format!("tenant={tenant}"));
        let files = chain::live(&directory).unwrap();
        files.iter().map(|file| directory.join(&file.path)).collect()
    }

    fn segments(&self) -> Vec<PathBuf> {
        let log = self.root().join(wal::DIRECTORY);
        wal::list(&log).unwrap().into_iter().map(|number| wal::path(&log, number)).collect()
    }
}

fn flow(source: &str, destination: &str, verdict: &str) -> v1::Record {
    let end = |identity: &str, port| {
        Some(v1::Endpoint {
            identity: identity.to_owned(),
            workload: format!("{identity}-workload"),
            address: "10.0.0.1".to_owned(),
            port,
            ..v1::Endpoint::default()
        })
    };
    v1::Record {
        node: "node-1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: verdict.to_owned(),
        source: end(source, 40_000),
        destination: end(destination, 443),
        ..v1::Record::default()
    }
}

/// Of tenants alone, of two at once, and of none.
fn mixed(count: usize) -> Vec<v1::Record> {
    let ends = [("red", "red"), ("red", "blue"), ("host", "world"), ("blue", "red"), ("blue", "world")];
    let verdicts = ["allow", "deny", "allow"];
    let each = ends.iter().cycle().zip(verdicts.iter().cycle());
    each.take(count).map(|((source, destination), verdict)| flow(source, destination, verdict)).collect()
}

fn with(filter: v1::ObserveRequest) -> v1::QueryRequest {
    v1::QueryRequest { filter: Some(filter), ..v1::QueryRequest::default() }
}

fn numbers(records: &[v1::Record]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}

#[test]
fn an_operator_gets_back_what_was_appended_wherever_it_lies() {
    let mut bench = Bench::new();
    bench.append(mixed(50)).seal().append(mixed(30)).append(mixed(7)).seal().append(mixed(20));
    assert_eq!(bench.segments().len(), 1);
    assert_eq!(bench.all(), bench.written);
}

#[test]
fn a_tenant_gets_its_own_and_its_halves() {
    let mut bench = Bench::new();
    bench.append(mixed(40)).seal().append(mixed(25));
    for tenant in ["red", "blue"] {
        let own: Vec<_> = bench.written.iter().filter_map(|record| redact(record, tenant)).collect();
        let scope = Scope::Tenant(tenant.to_owned());
        assert_eq!(bench.ask(&v1::QueryRequest::default(), &scope), own);
        let other = if tenant == "red" { "blue" } else { "red" };
        assert!(!format!("{own:?}").contains(other));
        let about = v1::ObserveRequest { tenant: Some(other.to_owned()), ..v1::ObserveRequest::default() };
        assert_eq!(bench.ask(&with(about), &scope), []);
    }
    for stranger in ["green", "..", "", "_node/../tenant=red"] {
        assert_eq!(bench.ask(&v1::QueryRequest::default(), &Scope::Tenant(stranger.to_owned())), []);
    }
}

#[test]
fn filters_decide_on_whole_records_though_halves_are_stored() {
    let mut bench = Bench::new();
    bench.append(mixed(40)).seal().append(mixed(25));
    let requests = [
        v1::ObserveRequest { tenant: Some("red".to_owned()), ..v1::ObserveRequest::default() },
        v1::ObserveRequest {
            tenant: Some("red".to_owned()),
            workload: Some("blue-workload".to_owned()),
            ..v1::ObserveRequest::default()
        },
        v1::ObserveRequest {
            verdict: Some("deny".to_owned()),
            port: Some(443),
            after: Some(17),
            ..v1::ObserveRequest::default()
        },
    ];
    for request in requests {
        let filter = enforcer_core::event::filter::Filter::parse(&request).unwrap();
        let expected: Vec<_> = bench.written.iter().filter(|record| filter.passes(record)).cloned().collect();
        assert!(!expected.is_empty() && expected.len() < bench.written.len());
        assert_eq!(bench.ask(&with(request), &Scope::Everything), expected);
    }
}

#[test]
fn a_time_and_a_number_of_records_cut_the_answer() {
    let mut bench = Bench::new();
    bench.append(mixed(30)).seal().append(mixed(30)).seal().append(mixed(30));
    let at = |second: u64| Some(from_nanoseconds(i64::try_from(START + second * SECOND).unwrap()));
    let span = v1::QueryRequest { from: at(25), until: at(70), ..v1::QueryRequest::default() };
    assert_eq!(numbers(&bench.ask(&span, &Scope::Everything)), (25..70).collect::<Vec<_>>());
    let first = v1::QueryRequest { limit: 3, ..span };
    assert_eq!(numbers(&bench.ask(&first, &Scope::Everything)), [25, 26, 27]);
    let last = with(v1::ObserveRequest { last: Some(4), ..v1::ObserveRequest::default() });
    assert_eq!(numbers(&bench.ask(&last, &Scope::Everything)), [87, 88, 89, 90]);
    let none = with(v1::ObserveRequest { last: Some(0), ..v1::ObserveRequest::default() });
    assert_eq!(bench.ask(&none, &Scope::Everything), []);
}

#[test]
fn what_both_the_log_and_a_file_hold_is_given_once() {
    let mut bench = Bench::new();
    bench.append(mixed(40));
    let [segment] = bench.segments().try_into().unwrap();
    let kept = fs::read(&segment).unwrap();
    bench.seal();
    assert!(!segment.exists());
    fs::write(&segment, kept).unwrap();
    assert_eq!(bench.all(), bench.written);
}

#[test]
fn what_is_sealed_while_an_answer_is_read_is_still_in_it() {
    let mut bench = Bench::new();
    bench.append(mixed(20)).seal().append(mixed(20));
    let wanted = Query::parse(&v1::QueryRequest::default()).unwrap();
    let answer = query(&bench.root(), &bench.keys, &wanted, &Scope::Everything).unwrap();
    bench.seal();
    assert_eq!(bench.segments().len(), 0);
    assert_eq!(answer.collect::<Vec<_>>(), bench.written);
}

fn losses(records: &[v1::Record]) -> Vec<(String, u64, String)> {
    let losses = records.iter().filter(|record| record.r#type == "loss");
    losses
        .map(|loss| {
            assert_eq!(loss.sequence, 0);
            let owner = loss.source.as_ref().map(|end| end.identity.clone()).unwrap_or_default();
            (loss.reason.clone(), loss.lost_before, owner)
        })
        .collect()
}

#[test]
fn a_file_that_cannot_be_read_is_a_loss_in_its_place() {
    let mut bench = Bench::new();
    let own = |count| std::iter::repeat_n(flow("red", "red", "allow"), count);
    bench.append(own(10)).seal().append(own(5)).seal().append(own(5));
    let [first, second] = bench.files("red").try_into().unwrap();
    let whole = fs::read(&first).unwrap();
    let mut changed = whole.clone();
    // In the first page of the first column.
    changed[100] ^= 1;
    for (bytes, cause) in
        [(Some(changed), "damaged"), (Some(whole[..100].to_vec()), "damaged"), (None, "file_gone")]
    {
        fs::remove_file(&first).unwrap();
        if let Some(bytes) = bytes {
            fs::write(&first, bytes).unwrap();
        }
        let answer = bench.all();
        assert_eq!(losses(&answer), [(cause.to_owned(), 10, "red".to_owned())]);
        assert_eq!(numbers(&answer), std::iter::once(0).chain(11..=20).collect::<Vec<_>>());
        if cause == "file_gone" {
            break;
        }
    }
    fs::write(&first, whole).unwrap();
    fs::write(&second, b"PARE").unwrap();
    let answer = bench.all();
    let expected: Vec<u64> = (1..=10).chain([0]).chain(16..=20).collect();
    assert_eq!((numbers(&answer), losses(&answer).len()), (expected, 1));
    let elsewhere = v1::ObserveRequest { tenant: Some("blue".to_owned()), ..v1::ObserveRequest::default() };
    assert_eq!(bench.ask(&with(elsewhere), &Scope::Everything), []);
}

#[test]
fn a_destroyed_key_takes_files_and_frames_and_nothing_of_others() {
    let mut bench = Bench::new();
    bench.append(mixed(20)).seal().append(mixed(20));
    bench.memory.destroy("red");
    let blue: Vec<_> = bench.written.iter().filter_map(|record| redact(record, "blue")).collect();
    assert_eq!(bench.ask(&v1::QueryRequest::default(), &Scope::Tenant("blue".to_owned())), blue);
    let red = bench.ask(&v1::QueryRequest::default(), &Scope::Tenant("red".to_owned()));
    let told = losses(&red);
    assert_eq!(told.len(), red.len());
    assert!(told.iter().all(|(cause, _, owner)| cause == "key_destroyed" && owner == "red"), "{told:?}");
    let lost =
        u64::try_from(bench.written.iter().filter_map(|record| redact(record, "red")).count()).unwrap();
    assert_eq!(told.iter().map(|(_, records, _)| records).sum::<u64>(), lost);
    // The other half of what happened between the two is blue's, and still there.
    let halves = bench.all().iter().filter(|record| record.half).count();
    assert!(halves > 0);
}

#[test]
fn a_damaged_line_of_a_chain_and_a_damaged_log_are_losses() {
    let mut bench = Bench::new();
    bench.append(mixed(20)).seal().append(mixed(20)).append(mixed(20));
    let chain_file = bench.root().join("tenant=red").join(chain::NAME);
    let lines = fs::read_to_string(&chain_file).unwrap();
    fs::write(&chain_file, lines.replacen("\"path\"", "\"puth\"", 1)).unwrap();
    let [segment] = bench.segments().try_into().unwrap();
    let mut log = fs::read(&segment).unwrap();
    let middle = log.len() / 2;
    log[middle] ^= 1;
    fs::write(&segment, log).unwrap();
    let answer = bench.all();
    let told = losses(&answer);
    assert!(told.len() >= 2 && told.iter().all(|(cause, _, _)| cause == "damaged"), "{told:?}");
    assert!(answer.len() < bench.written.len());
}

#[test]
fn more_tenants_than_files_are_kept_open() {
    let mut bench = Bench::new();
    let names: Vec<String> = (0..70).map(|number| format!("tenant-{number}")).collect();
    let records = |rounds| {
        let each = names.iter().map(|name| flow(name, name, "allow")).collect::<Vec<_>>();
        std::iter::repeat_n(each, rounds).flatten()
    };
    bench.append(records(40)).seal().append(records(2));
    assert_eq!(numbers(&bench.all()), (1..=70 * 42).collect::<Vec<_>>());
}
