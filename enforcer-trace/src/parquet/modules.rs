//! Modules of an encrypted Parquet file: length, nonce, ciphertext and tag, bound to their place by additional data.
//! Parquet's "Parquet Modular Encryption", algorithm AES_GCM_V1, without an AAD prefix.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use super::Error;
use super::source::ReadAt;

const LENGTH_BYTES: u64 = 4;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// No page that we write comes near it.
const MODULE_MOST: u64 = 256 << 20;

/// Which part of a file a module is. The numbers are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Module {
    /// The file's metadata.
    Footer,
    /// Values.
    DataPage { row_group: u16, column: u16, page: u16 },
    /// A column's dictionary.
    DictionaryPage { row_group: u16, column: u16 },
    /// What goes before values.
    DataPageHeader { row_group: u16, column: u16, page: u16 },
    /// What goes before a dictionary.
    DictionaryPageHeader { row_group: u16, column: u16 },
}

impl Module {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Footer => "footer",
            Self::DataPage { .. } => "data page",
            Self::DictionaryPage { .. } => "dictionary page",
            Self::DataPageHeader { .. } => "data page header",
            Self::DictionaryPageHeader { .. } => "dictionary page header",
        }
    }

    /// "Module AAD": the file's bytes, the kind of module, and its place.
    fn additional_data(self, file: &[u8]) -> Vec<u8> {
        let mut data = file.to_vec();
        let (kind, place): (u8, Vec<u16>) = match self {
            Self::Footer => (0, Vec::new()),
            Self::DataPage { row_group, column, page } => (2, vec![row_group, column, page]),
            Self::DictionaryPage { row_group, column } => (3, vec![row_group, column]),
            Self::DataPageHeader { row_group, column, page } => (4, vec![row_group, column, page]),
            Self::DictionaryPageHeader { row_group, column } => (5, vec![row_group, column]),
        };
        data.push(kind);
        data.extend(place.into_iter().flat_map(u16::to_le_bytes));
        data
    }
}

/// Opens the modules of one file.
pub(super) struct Opener {
    key: LessSafeKey,
    file: Vec<u8>,
}

impl Opener {
    /// With the file's data key and its "aad_file_unique".
    pub(super) fn new(key: &[u8], file: &[u8]) -> Result<Self, Error> {
        let algorithm = match key.len() {
            16 => &AES_128_GCM,
            32 => &AES_256_GCM,
            length => return Err(Error::KeyLength(length)),
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| Error::KeyLength(key.len()))?;
        Ok(Self { key: LessSafeKey::new(key), file: file.to_vec() })
    }

    /// The content of the module at `offset`, which ends before `limit`, and where it ends.
    pub(super) fn open(
        &self,
        source: &dyn ReadAt,
        module: Module,
        offset: u64,
        limit: u64,
    ) -> Result<(Vec<u8>, u64), Error> {
        let wrong = |length| Error::Length { what: module.name(), offset, length };
        let mut prefix = [0; 4];
        if limit.saturating_sub(offset) < LENGTH_BYTES {
            return Err(wrong(LENGTH_BYTES));
        }
        source.fill(&mut prefix, offset)?;
        let length = u64::from(u32::from_le_bytes(prefix));
        let start = offset.saturating_add(LENGTH_BYTES);
        let end = start.saturating_add(length);
        if end > limit || length > MODULE_MOST {
            return Err(wrong(length));
        }
        let mut sealed = vec![0; usize::try_from(length).map_err(|_| wrong(length))?];
        source.fill(&mut sealed, start)?;
        let content = self.open_bytes(module, sealed).ok_or(Error::Sealed { what: module.name(), offset })?;
        Ok((content, end))
    }

    /// Nothing when the bytes are not what was sealed here under this key.
    fn open_bytes(&self, module: Module, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
        if sealed.len() < NONCE_BYTES + TAG_BYTES {
            return None;
        }
        let mut body = sealed.split_off(NONCE_BYTES);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).ok()?;
        let data = module.additional_data(&self.file);
        let length = self.key.open_in_place(nonce, Aad::from(data), &mut body).ok()?.len();
        body.truncate(length);
        Some(body)
    }
}
