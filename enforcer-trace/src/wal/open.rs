//! From a frame's body back to records.

use aws_lc_rs::aead::{Aad, LessSafeKey};
use enforcer_proto::v1;
use prost::Message as _;

use super::frame::{KeyNote, Kind, PLAIN_MAX_BYTES};
use super::read::Frame;
use super::write::nonce_of;
use crate::keys::{KeyError, Keys};

/// Opens the frames of one tenant in one segment.
pub struct Opener {
    tenant: String,
    index: u16,
    master_key_id: String,
    cipher: LessSafeKey,
}

/// Why a frame does not give its records back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Its key cannot be had, or does not fit.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It opened, and what was in it is no list of records.
    #[error("what was sealed is no list of records: {0}")]
    Contents(&'static str),
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({:?}, {})", self.tenant, self.index)
    }
}

impl Opener {
    /// From the frame that holds the tenant's key.
    ///
    /// # Errors
    /// The tenant's key is gone or another.
    pub fn new(note: &KeyNote, keys: &dyn Keys) -> Result<Self, KeyError> {
        let cipher = keys.existing(&note.master_key_id)?.unwrap(&note.wrapped_dek)?.cipher()?;
        let (tenant, master_key_id) = (note.tenant.clone(), note.master_key_id.clone());
        Ok(Self { tenant, index: note.index, master_key_id, cipher })
    }

    /// Whose frames it opens.
    #[must_use]
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// The number of its tenant in headers of this segment.
    #[must_use]
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// The records of a frame.
    ///
    /// # Errors
    /// It is another tenant's, was changed, or holds something else.
    pub fn open(&self, frame: &Frame) -> Result<Vec<v1::Record>, OpenError> {
        if frame.header.kind != Kind::Records || frame.header.tenant != self.index {
            return Err(OpenError::Contents("it is another tenant's, or holds no records"));
        }
        let mut body = frame.body.clone();
        let aad = Aad::from([&frame.previous[..], &frame.header_bytes].concat());
        let packed = self
            .cipher
            .open_in_place(nonce_of(frame.header.nonce), aad, &mut body)
            .map_err(|_| KeyError::Wrong(self.master_key_id.clone()))?;
        let plain = zstd::bulk::decompress(packed, PLAIN_MAX_BYTES)
            .map_err(|_| OpenError::Contents("it does not decompress within bounds"))?;
        decode(&plain, frame.header.records)
    }
}

fn decode(mut plain: &[u8], count: u32) -> Result<Vec<v1::Record>, OpenError> {
    let mut records = Vec::new();
    while !plain.is_empty() {
        let record = v1::Record::decode_length_delimited(&mut plain)
            .map_err(|_| OpenError::Contents("a record is not what protobuf writes"))?;
        records.push(record);
    }
    if u32::try_from(records.len()) == Ok(count) {
        Ok(records)
    } else {
        Err(OpenError::Contents("it has another number of records than its header says"))
    }
}
