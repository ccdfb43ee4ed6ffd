//! Removing sealed files: first the line that says so, then the file.

use std::collections::BTreeMap;

use super::{RESERVE, Store};
use crate::chain::{Facts, Lost, LostWhy, RemovedWhy, What};
use crate::disk::sync_parent;
use crate::error::StoreError;
use crate::retention::{self, Due};
use crate::seal::Index;
use crate::split::NODE;
use crate::wal;

/// Room for some hundred lines of chains, and a checkpoint.
const RESERVE_BYTES: usize = 256 << 10;

impl Store {
    /// Removes what is too old, and the oldest of what is too much.
    pub(super) fn retain(&mut self, now_ns: u64) -> Result<(), StoreError> {
        let files: BTreeMap<&str, Vec<Facts>> = self
            .chains
            .iter()
            .map(|(tenant, chain)| (tenant.as_str(), chain.files().cloned().collect()))
            .collect();
        for due in retention::due(&files, &self.limits, now_ns) {
            self.remove(&due, now_ns)?;
        }
        let free = self.disk.free_bytes(&self.directory);
        let free = free.map_err(|error| StoreError::io("look at", &self.directory, error))?;
        let mut missing = self.limits.free_bytes.saturating_sub(free);
        while missing > 0 {
            let Some(due) = self.oldest(RemovedWhy::DiskFull) else { break };
            missing = missing.saturating_sub(due.facts.bytes);
            self.remove(&due, now_ns)?;
        }
        Ok(())
    }

    /// Makes room on a disk that is full; false when there is nothing left that could go. The reserve lets the lines be
    /// written that say what goes, and is made again first of all.
    pub(super) fn make_room(&mut self, why: RemovedWhy, now_ns: u64) -> bool {
        let reserve = self.directory.join(RESERVE);
        if self.disk.remove(&reserve).is_err() {
            return false;
        }
        let mut has_room = false;
        while let Some(due) = self.oldest(why) {
            if let Err(error) = self.remove(&due, now_ns) {
                self.note("remove", &error);
                return has_room;
            }
            has_room = true;
            if self.make_reserve() {
                break;
            }
        }
        has_room
    }

    /// Makes the reserve again, once there is room.
    pub(super) fn renew_reserve(&self) {
        let room = u64::try_from(2 * RESERVE_BYTES).unwrap_or(u64::MAX).max(self.limits.free_bytes);
        let has_room = || self.disk.free_bytes(&self.directory).is_ok_and(|free| free >= room);
        if !self.directory.join(RESERVE).exists() && has_room() {
            self.make_reserve();
        }
    }

    fn make_reserve(&self) -> bool {
        let path = self.directory.join(RESERVE);
        let made = self.disk.create(&path).and_then(|file| {
            self.disk.write_at(&file, &vec![0; RESERVE_BYTES], 0)?;
            self.disk.sync(&file)
        });
        if made.is_err() {
            let _tried_again_later = self.disk.remove(&path);
        }
        made.is_ok()
    }

    /// While the log is larger than it may be and cannot be sealed, its oldest segment goes, and is counted.
    pub(super) fn drop_what_cannot_be_sealed(&mut self, now_ns: u64) -> Result<(), StoreError> {
        while self.log_bytes() > self.limits.log_bytes {
            let Some((segment, until)) = self.log.closed().next() else { return Ok(()) };
            self.stop_worker();
            let path = wal::path(&self.log_directory(), segment);
            let index = Index::of(&path, segment, until.as_ref())
                .map_err(|error| StoreError::io("read", &path, error))?;
            for owner in index.owners.values().filter(|owner| owner.records > 0) {
                let tenant = owner.note.tenant.clone();
                let why = LostWhy::StoreFull;
                let (first, last, records) = (owner.first, owner.last, owner.records);
                self.add_lost(&tenant, Lost { segment, first, last, records, why }, now_ns)?;
            }
            self.release(segment, false, now_ns)?;
        }
        Ok(())
    }

    fn log_bytes(&self) -> u64 {
        let directory = self.log_directory();
        let bytes = |(segment, _)| {
            std::fs::metadata(wal::path(&directory, segment)).map_or(0, |metadata| metadata.len())
        };
        self.log.closed().map(bytes).sum()
    }

    /// The file that ended first, whosever it is; what belongs to no tenant goes last.
    fn oldest(&self, why: RemovedWhy) -> Option<Due> {
        let files =
            self.chains.iter().flat_map(|(tenant, chain)| chain.files().map(move |facts| (tenant, facts)));
        let oldest = files.min_by_key(|(tenant, facts)| (tenant.as_str() == NODE, facts.last_time_ns));
        oldest.map(|(tenant, facts)| Due { tenant: tenant.clone(), facts: facts.clone(), why })
    }

    fn remove(&mut self, due: &Due, now_ns: u64) -> Result<(), StoreError> {
        self.add(&due.tenant, What::Removed(due.facts.removed(due.why)), now_ns)?;
        let path = self.tenant_directory(&due.tenant).join(&due.facts.path);
        self.disk.remove(&path).map_err(|error| StoreError::io("remove", &path, error))?;
        sync_parent(self.disk.as_ref(), &path)?;
        // An hour without files is nothing to keep; one with files stays.
        if let Some(hour) = path.parent() {
            let _kept = std::fs::remove_dir(hour);
        }
        Ok(())
    }
}
