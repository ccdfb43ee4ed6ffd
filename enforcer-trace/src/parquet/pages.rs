//! The pages of one column of one row group, opened and decompressed one by one.

use std::sync::Arc;

use ::parquet::basic::{Compression, Encoding};
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use bytes::Bytes;

use super::Error;
use super::modules::{Module, Opener};
use super::source::ReadAt;
use super::thrift::{Compact, Kind};

/// No page that we write comes near it.
const PAGE_MOST: u32 = 256 << 20;

/// Where a column of a row group lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) row_group: u16,
    pub(super) column: u16,
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) has_dictionary: bool,
    pub(super) compression: Compression,
}

/// Reads the pages of a chunk.
pub(super) struct Pages {
    source: Arc<dyn ReadAt>,
    opener: Arc<Opener>,
    chunk: Chunk,
    at: u64,
    page: u16,
    wants_dictionary: bool,
    next: Option<Header>,
}

impl Pages {
    pub(super) fn new(source: Arc<dyn ReadAt>, opener: Arc<Opener>, chunk: Chunk) -> Self {
        Self {
            source,
            opener,
            chunk,
            at: chunk.offset,
            page: 0,
            wants_dictionary: chunk.has_dictionary,
            next: None,
        }
    }

    /// The header of the next page, which is read once.
    fn header(&mut self) -> Result<Option<Header>, Error> {
        if self.next.is_none() && self.at < self.chunk.end {
            let Chunk { row_group, column, end, .. } = self.chunk;
            let module = if self.wants_dictionary {
                Module::DictionaryPageHeader { row_group, column }
            } else {
                Module::DataPageHeader { row_group, column, page: self.page }
            };
            let (plain, at) = self.opener.open(&*self.source, module, self.at, end)?;
            self.at = at;
            self.next = Some(Header::parse(&plain)?);
        }
        Ok(self.next)
    }

    /// Counts on to the next page.
    fn leave(&mut self, end: u64) -> Result<(), Error> {
        self.next = None;
        self.at = end;
        if self.wants_dictionary {
            self.wants_dictionary = false;
        } else {
            self.page = self.page.checked_add(1).ok_or(Error::Thrift("too many pages"))?;
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Option<Page>, Error> {
        let Some(header) = self.header()? else { return Ok(None) };
        let Chunk { row_group, column, end, compression, .. } = self.chunk;
        let module = match header.body {
            Body::Dictionary { .. } => Module::DictionaryPage { row_group, column },
            Body::Data { .. } => Module::DataPage { row_group, column, page: self.page },
        };
        let (plain, at) = self.opener.open(&*self.source, module, self.at, end)?;
        let page = header.page(&plain, compression)?;
        self.leave(at)?;
        Ok(Some(page))
    }

    fn skip(&mut self) -> Result<(), Error> {
        let Some(header) = self.header()? else { return Ok(()) };
        let end = self.at.saturating_add(u64::from(header.stored_bytes));
        if end > self.chunk.end {
            return Err(Error::Length {
                what: "page",
                offset: self.at,
                length: u64::from(header.stored_bytes),
            });
        }
        self.leave(end)
    }
}

impl Iterator for Pages {
    type Item = ParquetResult<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> ParquetResult<Option<Page>> {
        self.take().map_err(outward)
    }

    fn peek_next_page(&mut self) -> ParquetResult<Option<PageMetadata>> {
        let header = self.header().map_err(outward)?;
        Ok(header.map(|header| match header.body {
            Body::Dictionary { .. } => PageMetadata { num_rows: None, num_levels: None, is_dict: true },
            Body::Data { values, rows, .. } => {
                let count = |number: u32| usize::try_from(number).ok();
                PageMetadata { num_rows: count(rows), num_levels: count(values), is_dict: false }
            }
        }))
    }

    fn skip_next_page(&mut self) -> ParquetResult<()> {
        self.skip().map_err(outward)
    }
}

fn outward(error: Error) -> ParquetError {
    match error {
        Error::Format(error) => error,
        other => ParquetError::External(Box::new(other)),
    }
}

#[derive(Clone, Copy, Debug)]
struct Header {
    plain_bytes: u32,
    /// As it lies in the file: sealed, with the length in front.
    stored_bytes: u32,
    body: Body,
}

#[derive(Clone, Copy, Debug)]
enum Body {
    Dictionary { values: u32, encoding: Encoding },
    Data { values: u32, nulls: u32, rows: u32, encoding: Encoding, levels: u32, is_compressed: bool },
}

impl Header {
    /// `PageHeader`
    fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut place = Compact::new(bytes);
        let (mut plain, mut stored, mut body, mut last) = (None, None, None, 0);
        while let Some((number, kind)) = place.field(last)? {
            match (number, kind) {
                (2, Kind::Integer) => plain = Some(place.count()?),
                (3, Kind::Integer) => stored = Some(place.count()?),
                (7, Kind::Struct) => body = Some(Body::dictionary(&mut place)?),
                (8, Kind::Struct) => body = Some(Body::data(&mut place)?),
                (5, _) => return Err(Error::Foreign("a data page of version 1".to_owned())),
                (_, other) => place.skip(other)?,
            }
            last = number;
        }
        let plain_bytes = plain.filter(|bytes| *bytes <= PAGE_MOST).ok_or(Error::Thrift("page size"))?;
        let stored_bytes = stored.ok_or(Error::Thrift("stored page size"))?;
        Ok(Self { plain_bytes, stored_bytes, body: body.ok_or(Error::Thrift("kind of page"))? })
    }

    fn page(&self, opened: &[u8], compression: Compression) -> Result<Page, Error> {
        Ok(match self.body {
            Body::Dictionary { values, encoding } => Page::DictionaryPage {
                buf: self.plain(opened, 0, compression)?,
                num_values: values,
                encoding,
                is_sorted: false,
            },
            Body::Data { values, nulls, rows, encoding, levels, is_compressed } => Page::DataPageV2 {
                buf: if is_compressed {
                    self.plain(opened, levels, compression)?
                } else {
                    Bytes::copy_from_slice(opened)
                },
                num_values: values,
                encoding,
                num_nulls: nulls,
                num_rows: rows,
                def_levels_byte_len: levels,
                rep_levels_byte_len: 0,
                is_compressed: false,
                statistics: None,
            },
        })
    }

    /// The bytes decompressed; the first `levels` of them never were compressed.
    fn plain(&self, opened: &[u8], levels: u32, compression: Compression) -> Result<Bytes, Error> {
        let size = |bytes: u32| usize::try_from(bytes).map_err(|_| Error::Thrift("page size"));
        let (levels, whole) = (size(levels)?, size(self.plain_bytes)?);
        let (head, packed) = opened.split_at_checked(levels).ok_or(Error::Thrift("length of levels"))?;
        let room = whole.checked_sub(levels).ok_or(Error::Thrift("length of levels"))?;
        let mut plain = head.to_vec();
        match compression {
            Compression::UNCOMPRESSED => plain.extend_from_slice(packed),
            Compression::ZSTD(_) if room > 0 => plain.extend(zstd::bulk::decompress(packed, room)?),
            Compression::ZSTD(_) => {}
            other => return Err(Error::Foreign(format!("compression {other}"))),
        }
        if plain.len() != whole {
            return Err(Error::Thrift("size of a page"));
        }
        Ok(plain.into())
    }
}

impl Body {
    /// `DictionaryPageHeader`
    fn dictionary(place: &mut Compact<'_>) -> Result<Self, Error> {
        let (mut values, mut encoding, mut last) = (None, None, 0);
        while let Some((number, kind)) = place.field(last)? {
            match (number, kind) {
                (1, Kind::Integer) => values = Some(place.count()?),
                (2, Kind::Integer) => encoding = Some(encoding_of(place.count()?)?),
                (_, other) => place.skip(other)?,
            }
            last = number;
        }
        let missing = Error::Thrift("dictionary page header");
        let (Some(values), Some(encoding)) = (values, encoding) else { return Err(missing) };
        Ok(Self::Dictionary { values, encoding })
    }

    /// `DataPageHeaderV2`
    fn data(place: &mut Compact<'_>) -> Result<Self, Error> {
        let (mut counts, mut encoding, mut is_compressed, mut last) = ([None; 7], None, true, 0);
        while let Some((number, kind)) = place.field(last)? {
            match (number, kind) {
                (4, Kind::Integer) => encoding = Some(encoding_of(place.count()?)?),
                (7, Kind::True) => is_compressed = true,
                (7, Kind::False) => is_compressed = false,
                (1..=6, Kind::Integer) => {
                    let count = Some(place.count()?);
                    if let Some(slot) = usize::try_from(number).ok().and_then(|at| counts.get_mut(at)) {
                        *slot = count;
                    }
                }
                (_, other) => place.skip(other)?,
            }
            last = number;
        }
        let [_, Some(values), Some(nulls), Some(rows), _, Some(levels), Some(repetition)] = counts else {
            return Err(Error::Thrift("data page header"));
        };
        if repetition != 0 {
            return Err(Error::Foreign("a column of lists".to_owned()));
        }
        let encoding = encoding.ok_or(Error::Thrift("encoding of a page"))?;
        Ok(Self::Data { values, nulls, rows, encoding, levels, is_compressed })
    }
}

/// `Encoding`, by its number.
fn encoding_of(number: u32) -> Result<Encoding, Error> {
    Ok(match number {
        0 => Encoding::PLAIN,
        2 => Encoding::PLAIN_DICTIONARY,
        3 => Encoding::RLE,
        5 => Encoding::DELTA_BINARY_PACKED,
        6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
        7 => Encoding::DELTA_BYTE_ARRAY,
        8 => Encoding::RLE_DICTIONARY,
        9 => Encoding::BYTE_STREAM_SPLIT,
        _ => return Err(Error::Foreign(format!("encoding {number}"))),
    })
}
