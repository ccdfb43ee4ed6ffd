//! Opening a store, after a clean end or a crash: what is there is compared with what was signed for.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::{Checkpoints, LOCK, Recovered, SIGNER, Store, TENANT, tenant_directory};
use crate::chain::{Chain, Lost, LostWhy};
use crate::checkpoint::{self, Body, Checkpoint};
use crate::disk::{self, Disk, Local};
use crate::error::StoreError;
use crate::hex;
use crate::keys::{Keys, PublicKey};
use crate::limits::Limits;
use crate::name;
use crate::receipt;
use crate::seal::Index;
use crate::split::NODE;
use crate::wal::{self, Log};

const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

impl Store {
    /// Opens a store, making it when there is none. What a crash left unfinished is cut off or done again; what had been
    /// acknowledged and is gone is written down and told.
    ///
    /// # Errors
    /// Wrong owner or permissions, another agent, a disk that cannot be read or written.
    pub fn open(
        directory: &Path,
        limits: Limits,
        keys: Arc<dyn Keys>,
        node: &str,
        now_ns: u64,
    ) -> Result<(Self, Recovered), StoreError> {
        Self::open_on(Arc::new(Local), directory, limits, keys, node, now_ns)
    }

    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        directory: &Path,
        limits: Limits,
        keys: Arc<dyn Keys>,
        node: &str,
        now_ns: u64,
    ) -> Result<(Self, Recovered), StoreError> {
        name::check(node)?;
        disk::prepare(disk.as_ref(), directory)?;
        let lock = lock(disk.as_ref(), &directory.join(LOCK))?;
        for name in [wal::DIRECTORY, receipt::DIRECTORY] {
            let path = directory.join(name);
            disk.make_directory(&path).map_err(|error| StoreError::io("create", &path, error))?;
        }
        let public = PublicKey(keys.public());
        publish(disk.as_ref(), &directory.join(SIGNER), &public)?;
        let mut recovered = Recovered::default();
        let known = known(directory, &public, &mut recovered)?;
        let chains = chains(disk.as_ref(), directory, known.as_ref(), &mut recovered)?;
        let scan = scan(disk.as_ref(), directory, known.as_ref(), &mut recovered)?;
        sweep(disk.as_ref(), directory, &chains, &scan.in_log)?;
        recovered.sequence = recovered.sequence.max(known.as_ref().map_or(0, |body| body.sequence));
        recovered.segments = scan.closed.len();
        if known.is_none() && (scan.position.0 > 0 || chains.values().any(|chain| chain.position().lines > 0))
        {
            recovered.lost.push((NODE.to_owned(), unsigned(Some(recovered.sequence))));
        }
        let log = Log::after(
            Arc::clone(&disk),
            &directory.join(wal::DIRECTORY),
            node,
            scan.position,
            scan.hash,
            scan.closed,
        )?;
        let number = known.as_ref().map_or(0, |body| body.number);
        let mut store = Self {
            disk,
            directory: directory.to_owned(),
            node: node.to_owned(),
            limits,
            keys,
            log,
            chains,
            sequence: recovered.sequence,
            checkpoints: Checkpoints { number, time_ns: 0, is_due: true, bytes: Vec::new() },
            worker: None,
            losses: BTreeMap::new(),
            problems: BTreeMap::new(),
            _lock: lock,
        };
        for (tenant, lost) in &recovered.lost {
            store.add_lost(tenant, lost.clone(), now_ns)?;
        }
        store.renew_reserve();
        match store.checkpoint(now_ns) {
            // The first one has to be there: without one, what follows looks as if somebody had taken it away.
            Err(error) if known.is_none() => Err(error),
            Ok(()) | Err(_) => Ok((store, recovered)),
        }
    }
}

fn lock(disk: &dyn Disk, path: &Path) -> Result<File, StoreError> {
    let file = disk.open(path).map_err(|error| StoreError::io("open", path, error))?;
    // Who verifies looks whether it is locked, and holds it for an instant.
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", path, error)),
        }
    }
    Err(StoreError::Locked(path.to_owned()))
}

/// Writes the signer's public key for those who verify.
fn publish(disk: &dyn Disk, path: &Path, key: &PublicKey) -> Result<(), StoreError> {
    let is_there = fs::read_to_string(path).is_ok_and(|text| PublicKey::parse(&text) == Ok(*key));
    if is_there { Ok(()) } else { disk::replace(disk, path, key.pem().as_bytes()) }
}

/// What was signed for last.
fn known(directory: &Path, key: &PublicKey, recovered: &mut Recovered) -> Result<Option<Body>, StoreError> {
    let path = directory.join(checkpoint::NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path, error)),
    };
    match Checkpoint::parse(&bytes).and_then(|checkpoint| {
        checkpoint.verify(key)?;
        Ok(checkpoint.body)
    }) {
        Ok(body) => Ok(Some(body)),
        Err(error) => {
            recovered.problems.push(format!("{}: {error}", checkpoint::NAME));
            Ok(None)
        }
    }
}

/// Nobody knows whether all is there up to this record.
fn unsigned(last: Option<u64>) -> Lost {
    Lost { segment: 0, first: 0, last: last.unwrap_or(0), records: 0, why: LostWhy::Unsigned }
}

/// Every tenant's chain: of those that have one, and of those that should.
fn chains(
    disk: &dyn Disk,
    directory: &Path,
    known: Option<&Body>,
    recovered: &mut Recovered,
) -> Result<BTreeMap<String, Chain>, StoreError> {
    let mut tenants: BTreeSet<String> = tenants(directory)?.into_iter().collect();
    tenants.extend(known.iter().flat_map(|body| body.chains.keys().cloned()));
    let mut chains = BTreeMap::new();
    for tenant in tenants {
        let path = tenant_directory(directory, &tenant);
        let position = known.and_then(|body| body.chains.get(&tenant));
        let (chain, is_signed) = Chain::open(disk, path, &tenant, position)?;
        if !is_signed {
            recovered.problems.push(format!("the chain of {tenant} is not what the last checkpoint says"));
            recovered.lost.push((tenant.clone(), unsigned(chain.files().map(|facts| facts.last).max())));
        }
        let last = chain.files().map(|facts| facts.last).max().unwrap_or(0);
        recovered.sequence = recovered.sequence.max(last);
        chains.insert(tenant, chain);
    }
    Ok(chains)
}

/// Names of tenants that have a directory.
pub(crate) fn tenants(directory: &Path) -> Result<Vec<String>, StoreError> {
    let mut tenants = names(directory)?;
    tenants.retain(|name| name.starts_with(TENANT));
    let tenants = tenants.iter().filter_map(|name| name.strip_prefix(TENANT));
    Ok(tenants.filter(|tenant| name::check(tenant).is_ok()).map(ToOwned::to_owned).collect())
}

/// Removes what a crash left of files that were being sealed: those without a name, and those without a line, whose
/// records are in the log. And those that were to be removed. What else is there is left for `verify` to name.
fn sweep(
    disk: &dyn Disk,
    directory: &Path,
    chains: &BTreeMap<String, Chain>,
    in_log: &BTreeMap<String, (u64, u64)>,
) -> Result<(), StoreError> {
    for (tenant, chain) in chains {
        let directory = tenant_directory(directory, tenant);
        for hour in names(&directory)?.iter().filter(|name| name.starts_with("hour=")) {
            for name in names(&directory.join(hour))? {
                let is_left_over = sequences(&name).is_some_and(|(first, last)| {
                    let logged = in_log.get(tenant);
                    let is_in_log =
                        logged.is_some_and(|(oldest, newest)| first >= *oldest && last <= *newest);
                    chain.removed(first, last) || (is_in_log && !chain.holds(first, last))
                });
                if is_left_over || (name.starts_with(".seal-") && name.ends_with(".tmp")) {
                    let path = directory.join(hour).join(&name);
                    disk.remove(&path).map_err(|error| StoreError::io("remove", &path, error))?;
                }
            }
        }
    }
    Ok(())
}

/// First and last sequence number in a sealed file's name, "NODE-FIRST-LAST.parquet".
pub(crate) fn sequences(name: &str) -> Option<(u64, u64)> {
    let mut parts = name.strip_suffix(".parquet")?.rsplitn(3, '-');
    let (last, first) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().map(|_node| (first, last))
}

/// Names in a directory, in order; none when there is no such directory.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>, StoreError> {
    let failed = |error| StoreError::io("list", directory, error);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// The log as it is.
struct Scan {
    /// Segments that wait to be sealed, each with the hash of its last frame that counts; none where none does.
    closed: BTreeMap<u64, Option<wal::Chain>>,
    /// The last segment with a frame that counts, and where that ends.
    position: (u64, u64),
    hash: wal::Chain,
    /// First and last record of each tenant.
    in_log: BTreeMap<String, (u64, u64)>,
}

fn scan(
    disk: &dyn Disk,
    directory: &Path,
    known: Option<&Body>,
    recovered: &mut Recovered,
) -> Result<Scan, StoreError> {
    let log = directory.join(wal::DIRECTORY);
    let mut numbers = wal::list(&log).map_err(|error| StoreError::io("list", &log, error))?;
    let oldest = known.map_or(0, |body| body.log.oldest);
    for number in numbers.iter().filter(|number| **number < oldest) {
        let path = wal::path(&log, *number);
        disk.remove(&path).map_err(|error| StoreError::io("remove", &path, error))?;
    }
    numbers.retain(|number| *number >= oldest);
    let mut scan = Scan {
        closed: BTreeMap::new(),
        position: known.map_or((0, 0), |body| (body.log.segment, body.log.bytes)),
        hash: known.and_then(|body| hex::decode(&body.log.hash)).unwrap_or_else(wal::start),
        in_log: BTreeMap::new(),
    };
    for (at, number) in numbers.iter().enumerate() {
        let until = match numbers.get(at + 1) {
            Some(next) => {
                let next = wal::path(&log, *next);
                wal::previous(&next).map_err(|error| StoreError::io("read", &next, error))?
            }
            None => None,
        };
        let index = index(&log, *number, until.as_ref())?;
        recovered.torn_bytes += index.torn_bytes;
        recovered.sequence = recovered.sequence.max(index.last);
        for owner in index.owners.values().filter(|owner| owner.records > 0) {
            let range = scan.in_log.entry(owner.note.tenant.clone()).or_insert((owner.first, owner.last));
            range.1 = range.1.max(owner.last);
        }
        let hash = index.hash.map(|found| until.unwrap_or(found));
        if let Some(hash) = hash {
            scan.hash = hash;
            scan.position = (*number, index.end);
        }
        scan.closed.insert(*number, hash);
    }
    if let Some(body) = known {
        compare(&log, body, &numbers, recovered)?;
    }
    Ok(scan)
}

fn index(log: &Path, number: u64, until: Option<&wal::Chain>) -> Result<Index, StoreError> {
    let path = wal::path(log, number);
    Index::of(&path, number, until).map_err(|error| StoreError::io("read", &path, error))
}

/// Finds what the last checkpoint says was there and is not.
fn compare(log: &Path, known: &Body, numbers: &[u64], recovered: &mut Recovered) -> Result<(), StoreError> {
    let position = &known.log;
    let lost = |segment, first: u64, last: u64| {
        (NODE.to_owned(), Lost { segment, first, last: last.max(first), records: 0, why: LostWhy::Cut })
    };
    let missing = (position.oldest..=position.segment).find(|number| !numbers.contains(number));
    if let Some(segment) = missing {
        recovered.lost.push(lost(segment, 0, 0));
    }
    let is_sealed = position.oldest > position.segment || position.segment == 0;
    if !is_sealed
        && missing != Some(position.segment)
        && numbers.contains(&position.segment)
        && hash_before(&wal::path(log, position.segment), position.bytes)? != hex::decode(&position.hash)
    {
        recovered.lost.push(lost(position.segment, recovered.sequence.saturating_add(1), known.sequence));
    }
    Ok(())
}

/// The hash that ends at a place of a segment; `None` when the segment is shorter.
pub(crate) fn hash_before(path: &PathBuf, end: u64) -> Result<Option<wal::Chain>, StoreError> {
    let unreadable = |error| StoreError::io("read", path, error);
    let mut file = File::open(path).map_err(unreadable)?;
    let mut hash = [0; wal::TRAILER_BYTES];
    let Some(start) = end.checked_sub(u64::try_from(hash.len()).unwrap_or(0)) else { return Ok(None) };
    file.seek(SeekFrom::Start(start)).map_err(unreadable)?;
    match file.read_exact(&mut hash) {
        Ok(()) => Ok(Some(hash)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(unreadable(error)),
    }
}
