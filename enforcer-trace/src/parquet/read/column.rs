//! One column of one row group, on its way into records.

use std::sync::Arc;

use ::parquet::column::reader::ColumnReaderImpl;
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use ::parquet::file::metadata::ColumnChunkMetaData;
use enforcer_proto::v1;

use super::super::columns::{Access, Column};
use super::super::modules::Opener;
use super::super::pages::{Chunk, Pages};
use super::super::source::ReadAt;
use super::super::{Error, shape};

pub(super) struct Reading {
    column: &'static Column,
    values: Values,
    levels: Vec<i16>,
    /// Rows that nobody wanted, and that were not yet left out: at the end of a row group they never need be.
    behind: usize,
}

enum Values {
    Longs(ColumnReaderImpl<Int64Type>, Vec<i64>),
    Ints(ColumnReaderImpl<Int32Type>, Vec<i32>),
    Flags(ColumnReaderImpl<BoolType>, Vec<bool>),
    Texts(ColumnReaderImpl<ByteArrayType>, Vec<ByteArray>),
}

impl Reading {
    pub(super) fn open(
        source: &Arc<dyn ReadAt>,
        opener: &Arc<Opener>,
        column: &'static Column,
        chunk: &ColumnChunkMetaData,
        place: Chunk,
    ) -> Result<Self, Error> {
        let shape = chunk.column_descr_ptr();
        let (wanted, _) = shape::types(&column.access);
        let found = chunk.column_type();
        if found != wanted || shape.max_rep_level() != 0 || shape.max_def_level() != 1 {
            let problem = format!("the file has it as {found}, and it should be an optional {wanted}");
            return Err(Error::Value { column: column.name, problem });
        }
        let pages = Box::new(Pages::new(Arc::clone(source), Arc::clone(opener), place));
        let values = match column.access {
            Access::Instant { .. } | Access::Signed { .. } | Access::Number { .. } => {
                Values::Longs(ColumnReaderImpl::new(shape, pages), Vec::new())
            }
            Access::Small { .. } => Values::Ints(ColumnReaderImpl::new(shape, pages), Vec::new()),
            Access::Flag { .. } => Values::Flags(ColumnReaderImpl::new(shape, pages), Vec::new()),
            Access::Text { .. } | Access::Json { .. } | Access::Bytes { .. } => {
                Values::Texts(ColumnReaderImpl::new(shape, pages), Vec::new())
            }
        };
        Ok(Self { column, values, levels: Vec::new(), behind: 0 })
    }

    /// Leaves rows out.
    pub(super) const fn pass(&mut self, rows: usize) {
        self.behind += rows;
    }

    /// Puts the values of the next rows into records.
    pub(super) fn read(&mut self, records: &mut [v1::Record]) -> Result<(), Error> {
        let Self { column, values, levels, behind } = self;
        let name = column.name;
        let left_out = std::mem::take(behind);
        match (values, &column.access) {
            (Values::Longs(reader, values), Access::Instant { put, .. } | Access::Signed { put, .. }) => {
                take(reader, levels, values, left_out, records.len(), name)?;
                each(records, levels, values, put);
            }
            (Values::Longs(reader, values), Access::Number { put, .. }) => {
                take(reader, levels, values, left_out, records.len(), name)?;
                each(records, levels, values, |record, value| put(record, value.cast_unsigned()));
            }
            (Values::Ints(reader, values), Access::Small { put, .. }) => {
                take(reader, levels, values, left_out, records.len(), name)?;
                each(records, levels, values, |record, value| put(record, value.cast_unsigned()));
            }
            (Values::Flags(reader, values), Access::Flag { put, .. }) => {
                take(reader, levels, values, left_out, records.len(), name)?;
                each(records, levels, values, put);
            }
            (Values::Texts(reader, values), access) => {
                take(reader, levels, values, left_out, records.len(), name)?;
                put_texts(records, levels, values, access, name)?;
            }
            // `open` made each for its access.
            (Values::Longs(..) | Values::Ints(..) | Values::Flags(..), _) => {}
        }
        Ok(())
    }
}

fn take<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    levels: &mut Vec<i16>,
    values: &mut Vec<T::T>,
    left_out: usize,
    rows: usize,
    column: &'static str,
) -> Result<(), Error> {
    let short = |wanted, found| Error::Value { column, problem: format!("{found} rows of {wanted}") };
    let skipped = reader.skip_records(left_out)?;
    if skipped != left_out {
        return Err(short(left_out, skipped));
    }
    levels.clear();
    values.clear();
    let (read, _, _) = reader.read_records(rows, Some(levels), None, values)?;
    if read != rows || levels.len() != rows {
        return Err(short(rows, read));
    }
    Ok(())
}

fn each<T: Clone>(
    records: &mut [v1::Record],
    levels: &[i16],
    values: &[T],
    put: impl Fn(&mut v1::Record, T),
) {
    let present = records.iter_mut().zip(levels).filter(|(_, level)| **level == 1);
    for ((record, _), value) in present.zip(values) {
        put(record, value.clone());
    }
}

fn put_texts(
    records: &mut [v1::Record],
    levels: &[i16],
    values: &[ByteArray],
    access: &Access,
    column: &'static str,
) -> Result<(), Error> {
    let present = records.iter_mut().zip(levels).filter(|(_, level)| **level == 1);
    for ((record, _), value) in present.zip(values) {
        put_text(record, value.data(), access)
            .map_err(|problem| Error::Value { column, problem: problem.to_string() })?;
    }
    Ok(())
}

fn put_text(
    record: &mut v1::Record,
    value: &[u8],
    access: &Access,
) -> Result<(), Box<dyn std::error::Error>> {
    match access {
        Access::Text { put, .. } => put(record, std::str::from_utf8(value)?.to_owned()),
        Access::Json { put, .. } => put(record, std::str::from_utf8(value)?)?,
        Access::Bytes { put, .. } => put(record, value.to_vec()),
        Access::Instant { .. }
        | Access::Signed { .. }
        | Access::Number { .. }
        | Access::Small { .. }
        | Access::Flag { .. } => {}
    }
    Ok(())
}
