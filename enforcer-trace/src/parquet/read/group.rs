//! One row group: first the columns that decide, then the others, where the rows are wanted.

use std::ops::Range;
use std::sync::Arc;

use ::parquet::file::metadata::RowGroupMetaData;
use enforcer_proto::v1;

use super::super::columns::COLUMNS;
use super::super::modules::Opener;
use super::super::source::ReadAt;
use super::super::{Error, pages::Chunk};
use super::Predicate;
use super::column::Reading;

pub(super) struct Group {
    deciding: Vec<Reading>,
    others: Vec<Reading>,
    rows: usize,
}

impl Group {
    pub(super) fn open(
        source: &Arc<dyn ReadAt>,
        opener: &Arc<Opener>,
        group: &RowGroupMetaData,
        index: usize,
        end: u64,
        predicate: &Predicate,
    ) -> Result<Self, Error> {
        let rows = usize::try_from(group.num_rows()).map_err(|_| Error::Thrift("number of rows"))?;
        let (mut deciding, mut others) = (Vec::new(), Vec::new());
        for column in COLUMNS {
            let Some((ordinal, chunk)) = find(group, column.name) else { continue };
            let is_empty =
                chunk.statistics().and_then(|known| known.null_count_opt()) == u64::try_from(rows).ok();
            if is_empty {
                continue;
            }
            let place = place(chunk, index, ordinal, end)?;
            let reading = Reading::open(source, opener, column, chunk, place)?;
            if predicate.needs(column.name) { deciding.push(reading) } else { others.push(reading) }
        }
        Ok(Self { deciding, others, rows })
    }

    pub(super) const fn is_over(&self) -> bool {
        self.rows == 0
    }

    /// Rows that were not decoded.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// What is wanted of the next rows.
    pub(super) fn batch(
        &mut self,
        predicate: &Predicate,
        most: usize,
    ) -> Result<impl Iterator<Item = v1::Record> + use<>, Error> {
        let rows = self.rows.min(most);
        let mut records = vec![v1::Record::default(); rows];
        for column in &mut self.deciding {
            column.read(&mut records)?;
        }
        let wanted: Vec<bool> = records.iter().map(|record| predicate.passes(record)).collect();
        let runs = runs(&wanted);
        for column in &mut self.others {
            fill(column, &mut records, &runs)?;
        }
        self.rows -= rows;
        Ok(records.into_iter().zip(wanted).filter_map(|(record, wanted)| wanted.then_some(record)))
    }
}

/// Reads a column where rows are wanted, and leaves out the rest.
fn fill(column: &mut Reading, records: &mut [v1::Record], runs: &[Range<usize>]) -> Result<(), Error> {
    let mut at = 0;
    for run in runs {
        column.pass(run.start - at);
        column.read(records.get_mut(run.clone()).unwrap_or_default())?;
        at = run.end;
    }
    column.pass(records.len() - at);
    Ok(())
}

/// Where `true` stands one after another.
fn runs(wanted: &[bool]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (row, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        match runs.last_mut() {
            Some(run) if run.end == row => run.end = row + 1,
            _ => runs.push(row..row + 1),
        }
    }
    runs
}

type ColumnChunk = ::parquet::file::metadata::ColumnChunkMetaData;

fn find<'a>(group: &'a RowGroupMetaData, name: &str) -> Option<(usize, &'a ColumnChunk)> {
    group.columns().iter().enumerate().find(|(_, column)| column.column_descr().name() == name)
}

/// The ordinals are part of what each page was sealed with.
fn place(chunk: &ColumnChunk, group: usize, ordinal: usize, end: u64) -> Result<Chunk, Error> {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let wrong = |_| Error::Thrift("place of a column");
    let offset = u64::try_from(start).map_err(wrong)?;
    let length = u64::try_from(chunk.compressed_size()).map_err(wrong)?;
    Ok(Chunk {
        row_group: u16::try_from(group).map_err(wrong)?,
        column: u16::try_from(ordinal).map_err(wrong)?,
        offset,
        end: offset.saturating_add(length).min(end),
        has_dictionary: chunk.dictionary_page_offset().is_some(),
        compression: chunk.compression(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_what_stands_together() {
        assert_eq!(runs(&[true, true, false, true, false, false]), [0..2, 3..4]);
        assert_eq!(runs(&[false; 3]), Vec::<Range<usize>>::new());
        assert_eq!(runs(&[]), Vec::<Range<usize>>::new());
    }
}
