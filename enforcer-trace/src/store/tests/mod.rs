//! The store under crashes, damage, full disks and strangers.

mod basics;
mod crash;
pub(crate) mod faulty;
mod full;
mod keys;
mod model;
mod power;
mod speed;
mod tamper;
mod tmpfs;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enforcer_proto::v1;
use tempfile::TempDir;

use faulty::Faulty;

use super::{Recovered, Store, tenant_directory};
use crate::chain;
use crate::disk::Disk;
use crate::keys::{FileKey, Keys, Memory};
use crate::limits::Limits;
use crate::parquet;
use crate::wal;

/// 2025-11-28T04:00:00Z.
pub(crate) const NOW: u64 = 1_764_302_400_000_000_000;
pub(crate) const SECOND: u64 = 1_000_000_000;

/// A store's directory and its keys, which outlive the store.
pub(crate) struct Bench {
    _parent: TempDir,
    pub(crate) directory: PathBuf,
    pub(crate) keys: Arc<Memory>,
    pub(crate) limits: Limits,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let parent = TempDir::new().unwrap();
        let directory = parent.path().join("trace");
        let limits = Limits { free_bytes: 0, ..Limits::default() };
        Self { _parent: parent, directory, keys: Arc::new(Memory::new()), limits }
    }

    pub(crate) fn open(&self) -> (Store, Recovered) {
        // Nobody cuts the power of a test; waiting for a real disk is tested on a real disk.
        self.open_on(Arc::new(Faulty::default())).unwrap()
    }

    pub(crate) fn open_on(&self, disk: Arc<dyn Disk>) -> Result<(Store, Recovered), crate::StoreError> {
        let keys = Arc::clone(&self.keys) as Arc<dyn Keys>;
        Store::open_on(disk, &self.directory, self.limits.clone(), keys, "n1", NOW)
    }

    pub(crate) fn store(&self) -> Store {
        self.open().0
    }

    /// Every record that can be read, by tenant, in the order in which it is found: files, then log.
    pub(crate) fn records(&self, tenant: &str) -> Vec<v1::Record> {
        let directory = tenant_directory(&self.directory, tenant);
        let mut records = Vec::new();
        for sealed in chain::live(&directory).unwrap() {
            records.extend(self.file(&directory.join(&sealed.path)));
        }
        let after = records.last().map_or(0, |record: &v1::Record| record.sequence);
        let log = self.directory.join(wal::DIRECTORY);
        let in_log = wal::records(&log, self.keys.as_ref(), tenant, after).unwrap();
        records.extend(in_log.map(|record| record.unwrap()));
        records
    }

    fn file(&self, path: &Path) -> Vec<v1::Record> {
        let file = Arc::new(File::open(path).unwrap());
        let unwrap = |metadata: &[u8]| {
            let key = FileKey::open(self.keys.as_ref(), metadata).map_err(|error| error.to_string())?;
            Ok::<_, String>(key.expose().to_vec())
        };
        let reader = parquet::Reader::open(file, unwrap, parquet::Predicate::default()).unwrap();
        reader.map(|record| record.unwrap()).collect()
    }

    pub(crate) fn sequences(&self, tenant: &str) -> Vec<u64> {
        self.records(tenant).iter().map(|record| record.sequence).collect()
    }

    /// Every file with its contents.
    pub(crate) fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        walk(&self.directory, &mut files);
        files
    }

    /// Puts everything back as it was.
    pub(crate) fn restore(&self, files: &BTreeMap<PathBuf, Vec<u8>>) {
        for path in self.snapshot().keys().filter(|path| !files.contains_key(*path)) {
            fs::remove_file(path).unwrap();
        }
        for (path, bytes) in files {
            if fs::read(path).ok().as_ref() != Some(bytes) {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

fn walk(directory: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
}

/// A refused flow of a tenant, or between two.
pub(crate) fn record(sequence: u64, source: &str, destination: &str) -> Arc<v1::Record> {
    let end = |identity: &str| {
        Some(v1::Endpoint {
            identity: identity.to_owned(),
            address: format!("10.0.0.{}", sequence % 250),
            ..v1::Endpoint::default()
        })
    };
    let seconds = i64::try_from(NOW / SECOND + sequence % 3000).unwrap();
    Arc::new(v1::Record {
        sequence,
        time: Some(prost_types::Timestamp { seconds, nanos: 5 }),
        node: "n1".to_owned(),
        r#type: "flow".to_owned(),
        verdict: "deny".to_owned(),
        source: end(source),
        destination: end(destination),
        ..v1::Record::default()
    })
}

/// A flow that was allowed.
pub(crate) fn sample(sequence: u64, tenant: &str) -> Arc<v1::Record> {
    let flow =
        v1::Record { verdict: "allow".to_owned(), ..v1::Record::clone(&record(sequence, tenant, tenant)) };
    Arc::new(flow)
}
