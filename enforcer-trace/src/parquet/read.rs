//! Records out of a file. Row groups whose statistics rule them out are never touched; of the others the columns that
//! decide come first, and the rest is decoded only for rows that are wanted.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use ::parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use ::parquet::file::statistics::Statistics;
use enforcer_proto::v1;

use super::Error;
use super::footer::{self, Opened};
use super::instant::nanoseconds;
use super::modules::Opener;
use super::source::ReadAt;
use group::Group;

mod column;
mod group;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 1024;

/// Which records are wanted.
#[derive(Clone, Default)]
pub struct Predicate {
    /// Only sequence numbers above this one.
    pub after: Option<u64>,
    /// Only sequence numbers up to this one.
    pub upto: Option<u64>,
    /// Only from this instant on, nanoseconds since 1970. A record without a time is always wanted: nobody knows that
    /// it is not.
    pub from: Option<i64>,
    /// Only before this instant.
    pub until: Option<i64>,
    /// And whatever else decides.
    pub test: Option<Test>,
}

/// A test that needs some columns only.
#[derive(Clone)]
pub struct Test {
    /// The columns it looks at.
    pub columns: Vec<&'static str>,
    /// Is handed a record with those columns (and `sequence` and `time`), and nothing else.
    pub passes: Arc<dyn Fn(&v1::Record) -> bool + Send + Sync>,
}

impl Predicate {
    /// True for a record that is wanted.
    #[must_use]
    pub fn passes(&self, record: &v1::Record) -> bool {
        self.is_within(record) && self.test.as_ref().is_none_or(|test| (test.passes)(record))
    }

    /// By sequence and time alone.
    #[must_use]
    pub fn is_within(&self, record: &v1::Record) -> bool {
        let sequence = record.sequence;
        let time = record.time.as_ref().map(nanoseconds);
        self.after.is_none_or(|after| sequence > after)
            && self.upto.is_none_or(|upto| sequence <= upto)
            && time.is_none_or(|time| self.spans(time, time))
    }

    /// True when some sequence number of a range could be wanted.
    #[must_use]
    pub fn reaches(&self, first: u64, last: u64) -> bool {
        self.after.is_none_or(|after| last > after) && self.upto.is_none_or(|upto| first <= upto)
    }

    /// True when some instant of a range could be wanted.
    #[must_use]
    pub fn spans(&self, first: i64, last: i64) -> bool {
        self.from.is_none_or(|from| last >= from) && self.until.is_none_or(|until| first < until)
    }

    /// True for a column that decides.
    fn needs(&self, name: &str) -> bool {
        matches!(name, "sequence" | "time")
            || self.test.as_ref().is_some_and(|test| test.columns.contains(&name))
    }

    /// True unless a row group's statistics rule it out.
    fn wants(&self, group: &RowGroupMetaData) -> bool {
        let sequences = range(group, "sequence").map(|(a, b)| (a.cast_unsigned(), b.cast_unsigned()));
        sequences.is_none_or(|(first, last)| self.reaches(first, last))
            && range(group, "time").is_none_or(|(first, last)| self.spans(first, last))
    }
}

/// The lowest and the highest value of a column of INT64 that has no nulls.
fn range(group: &RowGroupMetaData, name: &str) -> Option<(i64, i64)> {
    let column = group.columns().iter().find(|column| column.column_descr().name() == name)?;
    let statistics = column.statistics()?;
    if statistics.null_count_opt() != Some(0) {
        return None;
    }
    let Statistics::Int64(values) = statistics else { return None };
    Some((*values.min_opt()?, *values.max_opt()?))
}

/// Records of a file, one after another. It ends after an error.
pub struct Reader {
    source: Arc<dyn ReadAt>,
    opener: Arc<Opener>,
    metadata: ParquetMetaData,
    end: u64,
    predicate: Predicate,
    waiting: VecDeque<usize>,
    group: Option<Group>,
    ready: VecDeque<v1::Record>,
    is_over: bool,
    batch_rows: usize,
}

impl Reader {
    /// Opens a file. `unwrap` is handed the file's key metadata and gives its data key, or says why not.
    ///
    /// # Errors
    /// What is not an encrypted Parquet file, is damaged, or has another key.
    pub fn open<K: AsRef<[u8]>>(
        source: Arc<dyn ReadAt>,
        unwrap: impl FnOnce(&[u8]) -> Result<K, String>,
        predicate: Predicate,
    ) -> Result<Self, Error> {
        let Opened { metadata, opener, end } = footer::open(&*source, unwrap)?;
        let groups = metadata.row_groups().iter().enumerate();
        let waiting = groups.filter(|(_, group)| predicate.wants(group)).map(|(index, _)| index).collect();
        Ok(Self {
            source,
            opener: Arc::new(opener),
            metadata,
            end,
            predicate,
            waiting,
            group: None,
            ready: VecDeque::new(),
            is_over: false,
            batch_rows: BATCH_ROWS,
        })
    }

    /// Decodes at most so many rows at once: who reads many files side by side holds less of each.
    #[must_use]
    pub fn with_batch_rows(mut self, rows: usize) -> Self {
        self.batch_rows = rows.clamp(1, BATCH_ROWS);
        self
    }

    /// How many records the file holds, wanted or not.
    #[must_use]
    pub fn records(&self) -> u64 {
        u64::try_from(self.metadata.file_metadata().num_rows()).unwrap_or(0)
    }

    /// How many records of the row groups that were not ruled out have not been decoded: what an error leaves missing.
    #[must_use]
    pub fn unread(&self) -> u64 {
        let rows =
            |index: &usize| self.metadata.row_groups().get(*index).map_or(0, RowGroupMetaData::num_rows);
        let waiting: i64 = self.waiting.iter().map(rows).sum();
        let open = self.group.as_ref().map_or(0, Group::rows);
        u64::try_from(waiting).unwrap_or(0).saturating_add(u64::try_from(open).unwrap_or(0))
    }

    /// Decodes until there is a record, or nothing more.
    fn advance(&mut self) -> Result<(), Error> {
        while self.ready.is_empty() {
            if self.group.as_ref().is_none_or(Group::is_over) {
                let Some(index) = self.waiting.front().copied() else { return Ok(()) };
                self.group = Some(self.open_group(index)?);
                self.waiting.pop_front();
            }
            if let Some(group) = &mut self.group {
                self.ready.extend(group.batch(&self.predicate, self.batch_rows)?);
            }
        }
        Ok(())
    }

    fn open_group(&self, index: usize) -> Result<Group, Error> {
        let group = self.metadata.row_group(index);
        Group::open(&self.source, &self.opener, group, index, self.end, &self.predicate)
    }
}

impl Iterator for Reader {
    type Item = Result<v1::Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        if let Err(error) = self.advance() {
            self.is_over = true;
            return Some(Err(error));
        }
        let next = self.ready.pop_front().map(Ok);
        self.is_over = next.is_none();
        next
    }
}

/// The records of a file that are wanted, opened with its data key.
///
/// # Errors
/// See [`Reader::open`].
pub fn read(file: File, key: &[u8], predicate: Predicate) -> Result<Reader, Error> {
    Reader::open(Arc::new(file), |_| Ok(key), predicate)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
