//! A frame: header, body, hash. The hash covers the hash of the frame before, so that frames cannot be swapped or left
//! out unnoticed, and the log goes on over its segments as one chain.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

/// What a segment starts with; the last byte is the version.
pub const MAGIC: [u8; 8] = *b"ENFWAL\x00\x01";
/// Bytes before a body.
pub const HEADER_BYTES: usize = 52;
/// Bytes after a body: the hash.
pub const TRAILER_BYTES: usize = 32;
/// Largest body.
pub const BODY_MAX_BYTES: usize = 8 << 20;
/// Most that a body of records is before it is compressed.
pub const PLAIN_MAX_BYTES: usize = 4 << 20;

/// Hash of a frame and all before it.
pub type Chain = [u8; 32];

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first of a segment: a [`SegmentNote`], in clear.
    Segment,
    /// The key of a tenant in this segment: a [`KeyNote`], in clear.
    Key,
    /// Records of a tenant: AES-256-GCM of zstd of records, each after its length as protobuf delimits them.
    Records,
}

impl Kind {
    const fn number(self) -> u8 {
        match self {
            Self::Segment => 1,
            Self::Key => 2,
            Self::Records => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Segment),
            2 => Some(Self::Key),
            3 => Some(Self::Records),
            _ => None,
        }
    }
}

/// The first frame of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SegmentNote {
    /// Its number.
    pub segment: u64,
    /// Of this node.
    pub node: String,
    /// The hash of the last frame of the segment before that was acknowledged, hexadecimal; frames after that one
    /// count for nothing.
    pub previous: String,
    /// When it was begun, nanoseconds since 1970.
    pub time_ns: u64,
}

/// A tenant's key in a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyNote {
    /// The tenant; `_node` for what belongs to none.
    pub tenant: String,
    /// The number that stands for it in headers of this segment.
    pub index: u16,
    /// The tenant's key.
    #[serde(rename = "masterKeyID")]
    pub master_key_id: String,
    /// The key of the tenant's frames in this segment, wrapped by it.
    #[serde(rename = "wrappedDEK")]
    pub wrapped_dek: String,
}

/// A frame's header. Numbers are little-endian on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the body.
    pub length: u32,
    /// What the body is.
    pub kind: Kind,
    /// Whose, as a [`KeyNote`] of this segment says; 0 in a segment's first frame.
    pub tenant: u16,
    /// Records in it.
    pub records: u32,
    /// Sequence number of its first record.
    pub first: u64,
    /// Sequence number of its last record.
    pub last: u64,
    /// When it was written, nanoseconds since 1970.
    pub time_ns: u64,
    /// The nonce of its body: grows from frame to frame of a segment, also over those that could not be written.
    pub nonce: u64,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The guard is not that of these bytes after that frame.
    #[error("its header is not what was written")]
    Guard,
    /// Of a kind or size that this version does not write.
    #[error("its header is of no kind that this version knows")]
    Unknown,
}

impl Header {
    /// The header's bytes after a frame with hash `previous`.
    #[must_use]
    pub fn encode(&self, previous: &Chain) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind.number();
        bytes[6..8].copy_from_slice(&self.tenant.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.records.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.last.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.time_ns.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.nonce.to_le_bytes());
        let guard = guard(previous, &bytes);
        bytes[44..].copy_from_slice(&guard);
        bytes
    }

    /// From bytes that follow a frame with hash `previous`.
    ///
    /// # Errors
    /// They are no header, or another frame's.
    pub fn decode(bytes: &[u8; HEADER_BYTES], previous: &Chain) -> Result<Self, FrameError> {
        if bytes[44..] != guard(previous, bytes) {
            return Err(FrameError::Guard);
        }
        let header = Self {
            length: u32::from_le_bytes(part(bytes, 0)),
            kind: Kind::from_number(bytes[4]).ok_or(FrameError::Unknown)?,
            tenant: u16::from_le_bytes(part(bytes, 6)),
            records: u32::from_le_bytes(part(bytes, 8)),
            first: u64::from_le_bytes(part(bytes, 12)),
            last: u64::from_le_bytes(part(bytes, 20)),
            time_ns: u64::from_le_bytes(part(bytes, 28)),
            nonce: u64::from_le_bytes(part(bytes, 36)),
        };
        let fits = usize::try_from(header.length).is_ok_and(|length| length <= BODY_MAX_BYTES);
        if fits && bytes[5] == 0 { Ok(header) } else { Err(FrameError::Unknown) }
    }

    /// Bytes of the whole frame.
    #[must_use]
    pub fn frame_bytes(&self) -> u64 {
        let around = u64::try_from(HEADER_BYTES + TRAILER_BYTES).unwrap_or(0);
        u64::from(self.length) + around
    }
}

/// The chain before the first frame of a log.
#[must_use]
pub fn start() -> Chain {
    digest(&[&MAGIC])
}

/// The chain after a frame.
#[must_use]
pub fn extend(previous: &Chain, header: &[u8; HEADER_BYTES], body: &[u8]) -> Chain {
    digest(&[previous, header, body])
}

/// A damaged length would make a frame in the middle look like a torn tail.
fn guard(previous: &Chain, header: &[u8; HEADER_BYTES]) -> [u8; 8] {
    part(&digest(&[b"header", previous, &header[..44]]), 0)
}

fn digest(parts: &[&[u8]]) -> Chain {
    let mut hash = Context::new(&SHA256);
    for part in parts {
        hash.update(part);
    }
    part(hash.finish().as_ref(), 0)
}

/// `N` bytes from `at`; zeros where there are fewer, which no caller has.
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<N>()).copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            length: 70_000,
            kind: Kind::Records,
            tenant: 513,
            records: 3,
            first: u64::MAX - 1,
            last: u64::MAX,
            time_ns: 1_764_302_400_000_000_000,
            nonce: 9,
        }
    }

    #[test]
    fn a_header_comes_back_in_its_place_and_nowhere_else() {
        let bytes = header().encode(&start());
        assert_eq!(Header::decode(&bytes, &start()), Ok(header()));
        assert_eq!(Header::decode(&bytes, &[7; 32]), Err(FrameError::Guard));
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let bytes = header().encode(&start());
        for bit in 0..HEADER_BYTES * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&changed, &start()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_body_larger_than_any_is_refused_even_with_its_guard() {
        let large = Header { length: u32::MAX, ..header() };
        assert_eq!(Header::decode(&large.encode(&start()), &start()), Err(FrameError::Unknown));
    }
}
