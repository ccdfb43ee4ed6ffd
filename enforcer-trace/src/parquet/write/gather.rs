//! The columns of a row group while it grows.

use std::collections::HashMap;
use std::io::Write;

use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use ::parquet::file::writer::{SerializedColumnWriter, SerializedRowGroupWriter};
use bytes::Bytes;
use enforcer_proto::v1;

use super::super::Error;
use super::super::columns::{Access, COLUMNS, Column};

/// Rows that are handed over at once.
const STRIDE: usize = 8 * 1024;

/// A value for each column of each row so far.
pub(super) struct Gathered {
    columns: Vec<(&'static Column, Growing)>,
    rows: usize,
    text_bytes: usize,
}

/// Which rows have a value (1) and which have none (0); rows at the end without a value may be missing.
type Levels = Vec<i16>;

enum Growing {
    Longs(Levels, Vec<i64>),
    Ints(Levels, Vec<i32>),
    Flags(Levels, Vec<bool>),
    Texts(Levels, Texts),
}

impl Gathered {
    pub(super) fn new() -> Self {
        let columns = COLUMNS.iter().map(|column| (column, Growing::of(&column.access))).collect();
        Self { columns, rows: 0, text_bytes: 0 }
    }

    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of different texts.
    pub(super) const fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    pub(super) fn push(&mut self, record: &v1::Record) {
        for (column, growing) in &mut self.columns {
            self.text_bytes += growing.push(&column.access, record, self.rows);
        }
        self.rows += 1;
    }

    /// Writes every column, and is empty again.
    pub(super) fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
    ) -> Result<(), Error> {
        for (column, growing) in &mut self.columns {
            let missing = || Error::Foreign(format!("the schema has no column {}", column.name));
            let mut out = group.next_column()?.ok_or_else(missing)?;
            growing.write(&mut out, self.rows)?;
            out.close()?;
        }
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }
}

impl Growing {
    fn of(access: &Access) -> Self {
        match access {
            Access::Instant { .. } | Access::Signed { .. } | Access::Number { .. } => {
                Self::Longs(Vec::new(), Vec::new())
            }
            Access::Small { .. } => Self::Ints(Vec::new(), Vec::new()),
            Access::Flag { .. } => Self::Flags(Vec::new(), Vec::new()),
            Access::Text { .. } | Access::Json { .. } | Access::Bytes { .. } => {
                Self::Texts(Vec::new(), Texts::default())
            }
        }
    }

    /// Adds the value of a row, if it has one, and gives the bytes of text that this took.
    fn push(&mut self, access: &Access, record: &v1::Record, row: usize) -> usize {
        match (self, access) {
            (Self::Longs(levels, values), Access::Instant { get, .. } | Access::Signed { get, .. }) => {
                add(levels, values, get(record), row)
            }
            (Self::Longs(levels, values), Access::Number { get, .. }) => {
                add(levels, values, get(record).map(u64::cast_signed), row);
            }
            (Self::Ints(levels, values), Access::Small { get, .. }) => {
                add(levels, values, get(record).map(u32::cast_signed), row);
            }
            (Self::Flags(levels, values), Access::Flag { get, .. }) => {
                add(levels, values, get(record), row);
            }
            (Self::Texts(levels, texts), Access::Text { get, .. }) => {
                return add_text(levels, texts, get(record).map(str::as_bytes), row);
            }
            (Self::Texts(levels, texts), Access::Json { get, .. }) => {
                return add_text(levels, texts, get(record).as_ref().map(String::as_bytes), row);
            }
            (Self::Texts(levels, texts), Access::Bytes { get, .. }) => {
                return add_text(levels, texts, get(record), row);
            }
            // `of` made each for its access.
            (Self::Longs(..) | Self::Ints(..) | Self::Flags(..) | Self::Texts(..), _) => {}
        }
        0
    }

    fn write(&mut self, out: &mut SerializedColumnWriter<'_>, rows: usize) -> Result<(), Error> {
        match self {
            Self::Longs(levels, values) => write_plain::<Int64Type>(out, levels, values, rows),
            Self::Ints(levels, values) => write_plain::<Int32Type>(out, levels, values, rows),
            Self::Flags(levels, values) => write_plain::<BoolType>(out, levels, values, rows),
            Self::Texts(levels, texts) => {
                write_texts(out, levels, texts, rows)?;
                texts.clear();
                Ok(())
            }
        }
    }
}

fn mark(levels: &mut Levels, row: usize) {
    levels.resize(row, 0);
    levels.push(1);
}

fn add<T>(levels: &mut Levels, values: &mut Vec<T>, value: Option<T>, row: usize) {
    if let Some(value) = value {
        mark(levels, row);
        values.push(value);
    }
}

fn add_text(levels: &mut Levels, texts: &mut Texts, value: Option<&[u8]>, row: usize) -> usize {
    let Some(value) = value else { return 0 };
    mark(levels, row);
    texts.push(value)
}

fn write_plain<T: DataType>(
    out: &mut SerializedColumnWriter<'_>,
    levels: &mut Levels,
    values: &mut Vec<T::T>,
    rows: usize,
) -> Result<(), Error> {
    levels.resize(rows, 0);
    out.typed::<T>().write_batch(values, Some(levels), None)?;
    levels.clear();
    values.clear();
    Ok(())
}

/// In strides, so that the values of a whole column are never copied out at once.
fn write_texts(
    out: &mut SerializedColumnWriter<'_>,
    levels: &mut Levels,
    texts: &Texts,
    rows: usize,
) -> Result<(), Error> {
    levels.resize(rows, 0);
    let mut rest = texts.indices.as_slice();
    for stride in levels.chunks(STRIDE) {
        let count = stride.iter().filter(|level| **level == 1).count();
        let (indices, behind) = rest.split_at(count.min(rest.len()));
        let values: Vec<ByteArray> = indices.iter().filter_map(|index| texts.value(*index)).collect();
        out.typed::<ByteArrayType>().write_batch(&values, Some(stride), None)?;
        rest = behind;
    }
    levels.clear();
    Ok(())
}

/// Texts of a column, each different one held once.
#[derive(Default)]
struct Texts {
    numbers: HashMap<Bytes, usize>,
    values: Vec<Bytes>,
    indices: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &[u8]) -> usize {
        let again = self.indices.last().filter(|last| self.values.get(**last).is_some_and(|v| v == text));
        if let Some(index) = again.copied().or_else(|| self.numbers.get(text).copied()) {
            self.indices.push(index);
            return 0;
        }
        let (index, text) = (self.values.len(), Bytes::copy_from_slice(text));
        self.values.push(text.clone());
        self.indices.push(index);
        let length = text.len();
        self.numbers.insert(text, index);
        length
    }

    fn value(&self, index: usize) -> Option<ByteArray> {
        self.values.get(index).map(|text| ByteArray::from(text.clone()))
    }

    fn clear(&mut self) {
        self.numbers.clear();
        self.values.clear();
        self.indices.clear();
    }
}
