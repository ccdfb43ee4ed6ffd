use std::fs;
use std::sync::Arc;

use enforcer_proto::v1;
use tempfile::TempDir;

use super::*;
use crate::keys::{Keys, Memory};
use crate::parquet::sample::flows;
use crate::{Limits, Store, VerifyOptions, verify};

const START: u64 = 1_795_838_400_000_000_000;
const QUICK: Pace = Pace { tries: 2, delay: Duration::from_millis(1), patience: Duration::from_secs(30) };

struct Bench {
    directory: TempDir,
    keys: Arc<dyn Keys>,
    store: Store,
    next: u64,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys: Arc<dyn Keys> = Arc::new(Memory::new());
        let limits = Limits { checkpoint_ns: 0, ..Limits::default() };
        let store = Store::open(&directory.path().join("trace"), limits, Arc::clone(&keys), "node-1", START);
        Self { directory, keys, store: store.unwrap().0, next: 1 }
    }

    fn append(&mut self, count: u64) {
        let records: Vec<_> = flows(self.next + count - 1)
            .into_iter()
            .filter(|record| record.sequence >= self.next)
            .map(Arc::<v1::Record>::new)
            .collect();
        self.next += count;
        self.store.append(&records, START).unwrap();
        self.store.tick(START).unwrap();
    }

    fn seal(&mut self) {
        self.store.seal(START).unwrap();
    }

    fn place(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn shipper(&self) -> Shipper {
        let target = Target::parse(&format!("file://{}", self.place("copy").display()), &BTreeMap::new());
        Shipper::new(self.place("trace"), target.unwrap(), QUICK)
    }

    /// That the copy verifies with the signer's key and every record in it can be read, and how many those are.
    fn verified(&self) -> u64 {
        let key = Some(crate::keys::PublicKey(self.keys.public()));
        let options = VerifyOptions { key, anchor: None, keys: Some(&*self.keys) };
        let report = verify(&self.place("copy"), &options).unwrap();
        assert_eq!(report.findings, []);
        report.decoded
    }
}

fn shipped(bench: &Bench) -> Result<Shipped, ShipError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(bench.shipper().pass())
}

#[test]
fn a_copy_verifies_after_every_pass_and_nothing_is_sent_twice() {
    let mut bench = Bench::new();
    bench.append(40);
    bench.seal();
    bench.append(25);
    let first = shipped(&bench).unwrap();
    assert!(first.sent > 5 && first.present == 0 && first.sequence == 65, "{first:?}");
    let before = bench.verified();
    assert!(before >= 65);
    let again = shipped(&bench).unwrap();
    assert!(again.present >= 3 && again.bytes < first.bytes, "{again:?}");
    bench.seal();
    bench.append(10);
    let later = shipped(&bench).unwrap();
    assert_eq!(later.sequence, 75);
    assert!(bench.verified() > before);
    let segments = fs::read_dir(bench.place("copy/wal")).unwrap().count();
    assert_eq!(segments, 1, "segments that were sealed are gone from the copy");
}

#[test]
fn a_pass_that_broke_off_is_gone_on_with() {
    let mut bench = Bench::new();
    bench.append(40);
    bench.seal();
    shipped(&bench).unwrap();
    // As if a pass had ended behind one file of the next checkpoint, with another half sent.
    bench.append(40);
    bench.seal();
    let mut plan = Plan::read(&bench.place("trace")).unwrap().unwrap();
    let last = plan.tenants.last_mut().unwrap().files.pop().unwrap();
    fs::create_dir_all(bench.place("copy").join(&last.place).parent().unwrap()).unwrap();
    fs::write(bench.place("copy").join(&last.place), b"half").unwrap();
    shipped(&bench).unwrap();
    assert!(bench.verified() >= 80);
}

#[test]
fn a_sealed_file_that_was_changed_is_not_sent() {
    let mut bench = Bench::new();
    bench.append(40);
    bench.seal();
    let plan = Plan::read(&bench.place("trace")).unwrap().unwrap();
    let item = &plan.tenants.last().unwrap().files[0];
    let path = bench.place("trace").join(&item.place);
    let mut bytes = fs::read(&path).unwrap();
    bytes[50] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(shipped(&bench), Err(ShipError::Changed(changed)) if changed == path));
    assert!(!bench.place("copy").join(&item.place).exists());
    assert!(!bench.place("copy/checkpoint.json").exists());
}

#[test]
fn a_store_without_a_checkpoint_ships_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let target = Target::parse(&format!("file://{}", directory.path().display()), &BTreeMap::new()).unwrap();
    let shipper = Shipper::new(directory.path().join("none"), target, QUICK);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(shipper.pass()).unwrap(), Shipped::default());
}

#[test]
fn what_is_away_is_tried_as_often_as_was_said_and_named() {
    let mut bench = Bench::new();
    bench.append(4);
    // Nobody listens on port 1.
    let options = [
        ("endpoint", "http://127.0.0.1:1"),
        ("allow_http", "true"),
        ("access_key_id", "a"),
        ("secret_access_key", "b"),
    ];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let target = Target::parse("s3://traces/node-1", &options).unwrap();
    let pace = Pace { patience: Duration::from_secs(2), ..QUICK };
    let shipper = Shipper::new(bench.place("trace"), target, pace);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(shipper.pass()).unwrap_err();
    assert!(matches!(error, ShipError::Target { .. } | ShipError::Timeout { .. }), "{error}");
}

#[test]
fn places_that_mean_nothing_are_refused_with_why() {
    let parse = |url: &str, option: Option<(&str, &str)>| {
        let options = option.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Target::parse(url, &options).map(|_| ()).unwrap_err().to_string()
    };
    for url in ["", "http://x", "file://relative", "s3://", "s3:///prefix", "gs://bucket"] {
        assert!(parse(url, None).contains("neither"), "{url}");
    }
    assert!(parse("s3://bucket", Some(("regoin", "x"))).contains("regoin"));
    assert!(parse("file:///tmp", Some(("region", "x"))).contains("region"));
    assert!(parse("s3://bucket/a//b", None).contains("a//b"));
}
