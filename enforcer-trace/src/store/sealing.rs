//! From the log to sealed files: a thread writes the files, then each gets its name and its line in the chain, then a
//! checkpoint is signed, then the segment goes. Whatever is interrupted is done again from the start, and what has
//! its line already is passed over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::Store;
use crate::chain::{Chain, Lost, LostWhy, RemovedWhy, Sealed, What};
use crate::disk::sync_parent;
use crate::error::StoreError;
use crate::name::HOUR_NS;
use crate::seal::{Job, Part};
use crate::wal;

/// Damaged segments that are set aside, at most.
const ASIDE_MAX: usize = 4;

/// A thread that seals a segment.
pub(super) struct Worker {
    segment: u64,
    stop: Arc<AtomicBool>,
    handle: JoinHandle<Result<Vec<Part>, StoreError>>,
}

impl Store {
    /// Does what is due: ends a segment, seals, removes what is too old or too much, signs. Never waits for the files
    /// to be written.
    ///
    /// # Errors
    /// It is tried again at the next tick.
    pub fn tick(&mut self, now_ns: u64) -> Result<(), StoreError> {
        if self.segment_is_due(now_ns) {
            self.log.end_segment();
        }
        let sealed = self.advance(now_ns);
        self.outcome("seal", &sealed);
        let kept = self.retain(now_ns);
        self.outcome("remove", &kept);
        self.renew_reserve();
        self.checkpoint_when_due(now_ns);
        sealed.and(kept)
    }

    /// Seals everything that is in the log now, and waits for it.
    ///
    /// # Errors
    /// What could not be sealed is still in the log.
    pub fn seal(&mut self, now_ns: u64) -> Result<(), StoreError> {
        self.log.end_segment();
        if let Some(worker) = self.worker.take() {
            let segment = worker.segment;
            let parts = worker.wait()?;
            self.finish(segment, parts, now_ns)?;
        }
        while let Some(job) = self.next_job() {
            let parts = self.with_room(now_ns, |_| job.run())?;
            self.finish(job.segment, parts, now_ns)?;
        }
        self.problems.remove("seal");
        self.renew_reserve();
        self.checkpoint(now_ns)
    }

    fn segment_is_due(&self, now_ns: u64) -> bool {
        self.log.current().is_some_and(|current| {
            current.bytes >= self.limits.segment_bytes
                || current.opened_ns / HOUR_NS != now_ns / HOUR_NS
                || current.opened_ns.abs_diff(now_ns) >= self.limits.segment_ns
        })
    }

    /// Takes in what the thread has done, and gives it the next segment.
    fn advance(&mut self, now_ns: u64) -> Result<(), StoreError> {
        if self.worker.as_ref().is_some_and(|worker| worker.handle.is_finished())
            && let Some(worker) = self.worker.take()
        {
            let segment = worker.segment;
            match worker.wait() {
                Ok(parts) => self.finish(segment, parts, now_ns)?,
                Err(error) => {
                    if error.is_full() {
                        self.make_room(RemovedWhy::DiskFull, now_ns);
                    }
                    return Err(error);
                }
            }
        }
        self.drop_what_cannot_be_sealed(now_ns)?;
        if self.worker.is_none()
            && let Some(job) = self.next_job()
        {
            self.worker = Some(Worker::start(job)?);
        }
        Ok(())
    }

    fn next_job(&self) -> Option<Job> {
        let (segment, until) = self.log.closed().next()?;
        let sealed = |(tenant, chain): (&String, &Chain)| Some((tenant.clone(), chain.sealed_to(segment)?));
        Some(Job {
            disk: Arc::clone(&self.disk),
            keys: Arc::clone(&self.keys),
            root: self.directory.clone(),
            node: self.node.clone(),
            segment,
            until,
            after: self.chains.iter().filter_map(sealed).collect(),
            before: self.sealed_before(segment),
            file_records: self.limits.file_records,
            stop: Arc::default(),
        })
    }

    /// The last record that was sealed before a segment.
    fn sealed_before(&self, segment: u64) -> u64 {
        let last = |chain: &Chain| {
            chain.files().filter(|facts| facts.segment < segment).map(|facts| facts.last).max()
        };
        self.chains.values().filter_map(last).max().unwrap_or(0)
    }

    /// Names, lines, checkpoint; then the segment goes.
    fn finish(&mut self, segment: u64, parts: Vec<Part>, now_ns: u64) -> Result<(), StoreError> {
        let mut is_damaged = false;
        for part in parts {
            match part {
                Part::File { tenant, temporary, sealed } => {
                    let path = self.tenant_directory(&tenant).join(&sealed.path);
                    self.disk
                        .rename(&temporary, &path)
                        .map_err(|error| StoreError::io("name", &path, error))?;
                    self.sync_above(&path)?;
                    self.add_sealed(&tenant, sealed, now_ns)?;
                }
                Part::Lost { tenant, lost } => {
                    is_damaged |= !matches!(lost.why, LostWhy::KeyDestroyed);
                    self.add_lost(&tenant, lost, now_ns)?;
                }
            }
        }
        self.release(segment, is_damaged, now_ns)
    }

    /// The segment is sealed, or given up: signed for, then gone.
    pub(super) fn release(&mut self, segment: u64, is_damaged: bool, now_ns: u64) -> Result<(), StoreError> {
        let until = self.log.take_closed(segment);
        if let Err(error) = self.with_room(now_ns, |store| store.checkpoint(now_ns)) {
            self.log.put_back(segment, until);
            return Err(error);
        }
        let path = wal::path(&self.log_directory(), segment);
        let gone = if is_damaged {
            self.make_room_aside()?;
            self.disk.rename(&path, &path.with_extension(wal::ASIDE))
        } else {
            self.disk.remove(&path)
        };
        gone.map_err(|error| StoreError::io("remove", &path, error))?;
        sync_parent(self.disk.as_ref(), &path)?;
        let oldest = self.log.oldest();
        for chain in self.chains.values_mut() {
            chain.forget_below(oldest);
        }
        Ok(())
    }

    fn make_room_aside(&self) -> Result<(), StoreError> {
        let directory = self.log_directory();
        let aside = wal::set_aside(&directory).map_err(|error| StoreError::io("list", &directory, error))?;
        for path in aside.iter().take((aside.len() + 1).saturating_sub(ASIDE_MAX)) {
            self.disk.remove(path).map_err(|error| StoreError::io("remove", path, error))?;
        }
        Ok(())
    }

    /// A new file's name is last only with the directories above it.
    fn sync_above(&self, path: &std::path::Path) -> Result<(), StoreError> {
        for above in path.ancestors().skip(1).take(3) {
            self.disk.sync_directory(above).map_err(|error| StoreError::io("sync", above, error))?;
        }
        Ok(())
    }

    fn add_sealed(&mut self, tenant: &str, sealed: Sealed, now_ns: u64) -> Result<(), StoreError> {
        self.with_room(now_ns, |store| store.add(tenant, What::Sealed(sealed.clone()), now_ns))
    }

    pub(super) fn add_lost(&mut self, tenant: &str, lost: Lost, now_ns: u64) -> Result<(), StoreError> {
        if self.chains.get(tenant).is_some_and(|chain| chain.knows(&lost)) {
            return Ok(());
        }
        if lost.records > 0 {
            let lost_before = self.losses.entry((tenant.to_owned(), lost.why.name())).or_default();
            *lost_before = lost_before.saturating_add(lost.records);
        }
        self.with_room(now_ns, |store| store.add(tenant, What::Lost(lost.clone()), now_ns))
    }

    pub(super) fn add(&mut self, tenant: &str, what: What, now_ns: u64) -> Result<(), StoreError> {
        if !self.chains.contains_key(tenant) {
            let directory = self.tenant_directory(tenant);
            let (chain, _) = Chain::open(self.disk.as_ref(), directory, tenant, None)?;
            self.chains.insert(tenant.to_owned(), chain);
        }
        let Some(chain) = self.chains.get_mut(tenant) else { return Ok(()) };
        self.checkpoints.is_due = true;
        chain.append(self.disk.as_ref(), what, now_ns)
    }

    /// Tries something, and once more for every file that could be removed to make room for it.
    fn with_room<T>(
        &mut self,
        now_ns: u64,
        mut attempt: impl FnMut(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        loop {
            match attempt(self) {
                Err(error) if error.is_full() => {
                    if !self.make_room(RemovedWhy::DiskFull, now_ns) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    fn outcome(&mut self, what: &'static str, result: &Result<(), StoreError>) {
        match result {
            Ok(()) => {
                self.problems.remove(what);
            }
            Err(error) => self.note(what, error),
        }
    }

    /// Stops the thread and forgets what it has done.
    pub(super) fn stop_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop.store(true, Ordering::Relaxed);
            let _forgotten = worker.wait();
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop_worker();
    }
}

impl Worker {
    fn start(job: Job) -> Result<Self, StoreError> {
        let (segment, stop) = (job.segment, Arc::clone(&job.stop));
        let root = job.root.clone();
        let handle = std::thread::Builder::new()
            .name("trace-seal".to_owned())
            .spawn(move || job.run())
            .map_err(|error| StoreError::io("start a thread for", &root, error))?;
        Ok(Self { segment, stop, handle })
    }

    fn wait(self) -> Result<Vec<Part>, StoreError> {
        self.handle.join().unwrap_or(Err(StoreError::Panicked))
    }
}
