//! Taking records in. What is acknowledged is on disk; what is not kept is counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_core::event::sort::is_sample;
use enforcer_proto::v1;

use super::Store;
use crate::chain::RemovedWhy;
use crate::error::StoreError;
use crate::keys::KeyError;
use crate::wal::{Batch, Unsealed};

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Appended {
    /// Every record up to this one is on disk, or among the lost.
    pub sequence: u64,
    /// Records that were not kept.
    pub lost: Vec<Loss>,
}

/// Records that were not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whose; `_node` for what belongs to none.
    pub tenant: String,
    /// "store_full", "key_destroyed", "key_unavailable", "record_too_large".
    pub cause: &'static str,
    /// How many.
    pub records: u64,
}

impl Store {
    /// Writes records into the log and waits for the disk, once.
    ///
    /// # Errors
    /// None of them is kept; the next batch is tried again. What they were is for the caller to count.
    pub fn append(&mut self, records: &[Arc<v1::Record>], now_ns: u64) -> Result<Appended, StoreError> {
        let Some(last) = self.check_order(records)? else {
            return Ok(Appended { sequence: self.sequence, lost: Vec::new() });
        };
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let all = Batch::of(records.iter());
        let mut lost = too_large(&all);
        match self.write(&all, now_ns) {
            Ok(unsealed) => lost.extend(unsealed.into_iter().map(Loss::from)),
            Err(error) if error.is_full() => {
                self.note("append", &error);
                let important = Batch::of(records.iter().filter(|record| !is_sample(record)));
                if important.is_empty() {
                    return Err(StoreError::Full { records: count });
                }
                match self.log.append(&important, self.keys.as_ref(), now_ns) {
                    Ok(unsealed) => lost.extend(unsealed.into_iter().map(Loss::from)),
                    Err(error) if error.is_full() => return Err(StoreError::Full { records: count }),
                    Err(error) => return Err(error),
                }
                lost.extend(difference(&all, &important));
            }
            Err(error) if error.is_read_only() => {
                self.note("append", &error);
                return Err(StoreError::ReadOnly { path: self.directory.clone(), records: count });
            }
            Err(error) => {
                self.note("append", &error);
                return Err(error);
            }
        }
        self.sequence = last;
        self.checkpoints.is_due = true;
        for loss in &lost {
            *self.losses.entry((loss.tenant.clone(), loss.cause)).or_default() += loss.records;
        }
        if lost.iter().all(|loss| loss.cause != STORE_FULL) {
            self.problems.remove("append");
        }
        self.checkpoint_when_due(now_ns);
        Ok(Appended { sequence: self.sequence, lost })
    }

    /// Writes a batch, and makes room as long as that helps.
    fn write(&mut self, batch: &Batch, now_ns: u64) -> Result<Vec<Unsealed>, StoreError> {
        loop {
            match self.log.append(batch, self.keys.as_ref(), now_ns) {
                Err(error) if error.is_full() => {
                    if !self.make_room(RemovedWhy::DiskFull, now_ns) {
                        return Err(error);
                    }
                }
                other => return other,
            }
        }
    }

    /// The largest number; `None` for no records.
    fn check_order(&self, records: &[Arc<v1::Record>]) -> Result<Option<u64>, StoreError> {
        let mut after = self.sequence;
        for record in records {
            if record.sequence <= after {
                return Err(StoreError::Sequence { found: record.sequence, after });
            }
            after = record.sequence;
        }
        Ok((!records.is_empty()).then_some(after))
    }

    pub(super) fn note(&mut self, what: &'static str, error: &StoreError) {
        self.problems.insert(what, error.to_string());
    }
}

const STORE_FULL: &str = "store_full";

impl From<Unsealed> for Loss {
    fn from(unsealed: Unsealed) -> Self {
        let cause = match unsealed.error {
            KeyError::Destroyed(_) => "key_destroyed",
            KeyError::Unknown(_)
            | KeyError::Unavailable { .. }
            | KeyError::Wrong(_)
            | KeyError::Id(_)
            | KeyError::Material(_)
            | KeyError::Cipher(_) => "key_unavailable",
        };
        Self { tenant: unsealed.tenant, cause, records: unsealed.records }
    }
}

fn too_large(batch: &Batch) -> Vec<Loss> {
    let loss = |(tenant, records): (&String, &u64)| Loss {
        tenant: tenant.clone(),
        cause: "record_too_large",
        records: *records,
    };
    batch.too_large.iter().map(loss).collect()
}

/// What is in one batch and not in the other, by tenant.
fn difference(all: &Batch, kept: &Batch) -> Vec<Loss> {
    let mut counts: BTreeMap<&str, u64> = all.counts().collect();
    for (tenant, records) in kept.counts() {
        if let Some(count) = counts.get_mut(tenant) {
            *count = count.saturating_sub(records);
        }
    }
    let lost = counts.into_iter().filter(|(_, records)| *records > 0);
    lost.map(|(tenant, records)| Loss { tenant: tenant.to_owned(), cause: STORE_FULL, records }).collect()
}
