//! Records into a file. Rows are gathered column by column, so that what is held is columns and not records, and go
//! out as a row group when there are enough of them.

use std::borrow::Borrow;
use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::encryption::encrypt::FileEncryptionProperties;
use ::parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::ColumnPath;
use enforcer_proto::v1;

use super::Error;
use super::columns::{Access, COLUMNS, Packing};
use super::instant::nanoseconds;
use super::shape::schema;
use crate::keys::FileKey;
use gather::Gathered;

mod gather;

/// Rows of a row group, at most.
pub const ROW_GROUP_ROWS: usize = 128 * 1024;
/// Bytes of text and packets after which a row group ends.
const ROW_GROUP_TEXT_BYTES: usize = 64 << 20;
/// Rows of a page, at most: what a reader must decode to see one row.
const PAGE_ROWS: usize = 16 * 1024;
/// Where time and size meet for columns that a dictionary has shrunk already.
const ZSTD_LEVEL: i32 = 3;

/// Whether what is written can be read without a key.
#[derive(Clone, Copy)]
pub enum Protection<'a> {
    /// Columns and footer are encrypted with the data key; `metadata` tells a reader how to come by it.
    Sealed {
        /// 16 or 32 bytes.
        key: &'a [u8],
        /// Goes into the footer as it is.
        metadata: &'a [u8],
    },
    /// Plaintext: for exports that somebody asked for.
    Plain,
}

impl<'a> From<&'a FileKey> for Protection<'a> {
    fn from(key: &'a FileKey) -> Self {
        Self::Sealed { key: key.dek.expose(), metadata: &key.key_metadata }
    }
}

/// A row group that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowGroup {
    /// Its first byte within the file.
    pub offset: u64,
    /// How many bytes it takes.
    pub length: u64,
    /// How many records it holds.
    pub records: u64,
    /// The lowest and the highest sequence number.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// The earliest and the latest time, nanoseconds since 1970; absent when no record has one.
    pub times: Option<(i64, i64)>,
}

/// A file that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sealed {
    /// In the order of the file.
    pub row_groups: Vec<RowGroup>,
    /// How many records it holds.
    pub records: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// Writes one file.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    gathered: Gathered,
    open: Option<RowGroup>,
    sealed: Sealed,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// A data key of the wrong length; what cannot be written.
    pub fn new(out: W, protection: Protection<'_>) -> Result<Self, Error> {
        let properties = Arc::new(properties(protection)?);
        Ok(Self {
            file: SerializedFileWriter::new(out, schema()?, properties)?,
            gathered: Gathered::new(),
            open: None,
            sealed: Sealed::default(),
        })
    }

    /// Adds a record, whose sequence number is no lower than that of the one before. One without a number, which an
    /// answer tells of what it misses, may stand anywhere.
    ///
    /// # Errors
    /// A record out of order; what cannot be written.
    pub fn push(&mut self, record: &v1::Record) -> Result<(), Error> {
        let last = self.open.as_ref().or(self.sealed.row_groups.last()).map(|group| group.last);
        if let Some(after) = last.filter(|after| *after > record.sequence && record.sequence != 0) {
            let problem = format!("{} after {after}: records must be in order", record.sequence);
            return Err(Error::Value { column: "sequence", problem });
        }
        self.gathered.push(record);
        self.note(record);
        if self.gathered.rows() >= ROW_GROUP_ROWS || self.gathered.text_bytes() >= ROW_GROUP_TEXT_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn finish(mut self) -> Result<Sealed, Error> {
        self.flush()?;
        self.file.finish()?;
        self.file.inner_mut().flush()?;
        self.sealed.bytes = bytes(self.file.bytes_written());
        Ok(self.sealed)
    }

    fn note(&mut self, record: &v1::Record) {
        let sequence = record.sequence;
        let group = self.open.get_or_insert(RowGroup {
            offset: 0,
            length: 0,
            records: 0,
            first: sequence,
            last: sequence,
            times: None,
        });
        group.records += 1;
        group.first = group.first.min(sequence);
        group.last = group.last.max(sequence);
        if let Some(time) = record.time.as_ref().map(nanoseconds) {
            let (earliest, latest) = group.times.unwrap_or((time, time));
            group.times = Some((earliest.min(time), latest.max(time)));
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let Some(group) = self.open.take() else { return Ok(()) };
        let offset = bytes(self.file.bytes_written());
        let mut out = self.file.next_row_group()?;
        self.gathered.write(&mut out)?;
        out.close()?;
        let length = bytes(self.file.bytes_written()).saturating_sub(offset);
        self.sealed.records += group.records;
        self.sealed.row_groups.push(RowGroup { offset, length, ..group });
        Ok(())
    }
}

/// Writes records, in the order of their sequence numbers, as one file.
///
/// # Errors
/// A data key of the wrong length; records out of order; what cannot be written.
pub fn write<W: Write + Send, R: Borrow<v1::Record>>(
    out: W,
    records: impl IntoIterator<Item = R>,
    protection: Protection<'_>,
) -> Result<Sealed, Error> {
    let mut writer = Writer::new(out, protection)?;
    for record in records {
        writer.push(record.borrow())?;
    }
    writer.finish()
}

fn properties(protection: Protection<'_>) -> Result<WriterProperties, Error> {
    let builder = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(concat!("enforcer ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(EnabledStatistics::Page);
    let builder = COLUMNS.iter().fold(builder, |builder, column| {
        let path = ColumnPath::from(column.name);
        let builder = packed(builder, path.clone(), column.packing);
        match column.access {
            // Nobody looks for a range of these, and they are long.
            Access::Json { .. } | Access::Bytes { .. } => {
                builder.set_column_statistics_enabled(path, EnabledStatistics::Chunk)
            }
            _ => builder,
        }
    });
    Ok(match protection {
        Protection::Plain => builder.build(),
        Protection::Sealed { key, metadata } => {
            if !matches!(key.len(), 16 | 32) {
                return Err(Error::KeyLength(key.len()));
            }
            let encryption = FileEncryptionProperties::builder(key.to_vec())
                .with_footer_key_metadata(metadata.to_vec())
                .build()?;
            builder.with_file_encryption_properties(encryption).build()
        }
    })
}

fn packed(builder: WriterPropertiesBuilder, path: ColumnPath, packing: Packing) -> WriterPropertiesBuilder {
    use ::parquet::basic::Encoding;
    match packing {
        Packing::Dictionary => builder.set_column_dictionary_enabled(path, true),
        Packing::Delta => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        Packing::Plain => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::PLAIN),
    }
}

fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
