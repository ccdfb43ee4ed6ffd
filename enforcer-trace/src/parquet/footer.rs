//! The end of an encrypted file: which key it wants, and what is where.

use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::Error;
use super::modules::{Module, Opener};
use super::source::ReadAt;
use super::thrift::{Compact, Kind};

const MAGIC: &[u8; 4] = b"PARE";
/// Length of the footer, and the magic once more.
const TAIL_BYTES: u64 = 8;
const FOOTER_MOST: u64 = 64 << 20;

/// A file whose footer was opened.
pub(super) struct Opened {
    pub(super) metadata: ParquetMetaData,
    pub(super) opener: Opener,
    /// Where pages end: the footer's first byte.
    pub(super) end: u64,
}

/// Opens the footer. `unwrap` is handed the file's key metadata and gives the data key.
pub(super) fn open<K: AsRef<[u8]>>(
    source: &dyn ReadAt,
    unwrap: impl FnOnce(&[u8]) -> Result<K, String>,
) -> Result<Opened, Error> {
    let size = source.size()?;
    let footer = place(source, size)?;
    let plain_end = size.saturating_sub(TAIL_BYTES);
    let bytes = usize::try_from(plain_end.saturating_sub(footer)).map_err(|_| Error::Magic)?;
    let mut both = vec![0; bytes];
    source.fill(&mut both, footer)?;
    let crypto = Crypto::parse(&both)?;
    let key = unwrap(crypto.key_metadata).map_err(Error::Key)?;
    let opener = Opener::new(key.as_ref(), crypto.file)?;
    let sealed_at = plain_end.saturating_sub(u64::try_from(crypto.sealed_bytes).map_err(|_| Error::Magic)?);
    let (plain, end) = opener.open(source, Module::Footer, sealed_at, plain_end)?;
    if end != plain_end {
        return Err(Error::Length { what: "footer", offset: sealed_at, length: plain_end - end });
    }
    Ok(Opened { metadata: ParquetMetaDataReader::decode_metadata(&plain)?, opener, end: footer })
}

/// Where the footer begins.
fn place(source: &dyn ReadAt, size: u64) -> Result<u64, Error> {
    let mut head = [0; 4];
    let mut tail = [0; 8];
    if size < TAIL_BYTES + 4 {
        return Err(Error::Magic);
    }
    source.fill(&mut head, 0)?;
    source.fill(&mut tail, size - TAIL_BYTES)?;
    let [a, b, c, d, magic @ ..] = tail;
    if head != *MAGIC || magic != *MAGIC {
        return Err(Error::Magic);
    }
    let length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let wrong = Error::Length { what: "footer", offset: size - TAIL_BYTES, length };
    if length > FOOTER_MOST {
        return Err(wrong);
    }
    (size - TAIL_BYTES).checked_sub(length).filter(|start| *start >= 4).ok_or(wrong)
}

/// `FileCryptoMetaData`: readable without a key.
struct Crypto<'a> {
    /// "aad_file_unique"
    file: &'a [u8],
    key_metadata: &'a [u8],
    /// Of the encrypted footer, which follows.
    sealed_bytes: usize,
}

impl<'a> Crypto<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut place = Compact::new(bytes);
        let (mut file, mut key_metadata, mut last) = (None, None, 0);
        while let Some((number, kind)) = place.field(last)? {
            match (number, kind) {
                (1, Kind::Struct) => file = algorithm(&mut place)?,
                (2, Kind::Binary) => key_metadata = Some(place.binary()?),
                (_, other) => place.skip(other)?,
            }
            last = number;
        }
        Ok(Self {
            file: file.ok_or(Error::Thrift("no encryption algorithm"))?,
            key_metadata: key_metadata.unwrap_or_default(),
            sealed_bytes: place.rest().len(),
        })
    }
}

/// `EncryptionAlgorithm`, a union: 1 is AES_GCM_V1.
fn algorithm<'a>(place: &mut Compact<'a>) -> Result<Option<&'a [u8]>, Error> {
    let (mut file, mut last) = (None, 0);
    while let Some((number, kind)) = place.field(last)? {
        match (number, kind) {
            (1, Kind::Struct) => file = Some(unique(place)?),
            _ => return Err(Error::Foreign("an encryption algorithm other than AES_GCM_V1".to_owned())),
        }
        last = number;
    }
    Ok(file)
}

/// `AesGcmV1`: 1 is a prefix, 2 "aad_file_unique".
fn unique<'a>(place: &mut Compact<'a>) -> Result<&'a [u8], Error> {
    let (mut file, mut last) = (None, 0);
    while let Some((number, kind)) = place.field(last)? {
        match (number, kind) {
            (1, Kind::Binary) => return Err(Error::Foreign("an AAD prefix".to_owned())),
            (2, Kind::Binary) => file = Some(place.binary()?),
            (_, other) => place.skip(other)?,
        }
        last = number;
    }
    file.ok_or(Error::Thrift("no aad_file_unique"))
}
