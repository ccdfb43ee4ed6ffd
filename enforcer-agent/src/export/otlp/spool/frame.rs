//! One batch in a segment: a header that can be checked without a key, then the contents, sealed or with their digest.
//!
//! | bytes | field |
//! | --- | --- |
//! | 4 | `EFS1` sealed, `EFP1` plain |
//! | 4 | bytes of the body |
//! | 4 | records |
//! | 8 | number of the frame in this spool |
//! | 8 | run: which numbering the records belong to |
//! | 8, 8 | number of the first and the last record |
//! | 8 | first bytes of SHA-256 over all of that |
//! | … | the body |
//!
//! Integers are little-endian.

use sha2::{Digest as _, Sha256};

use super::cipher::{Cipher, Kind};

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = 52;
const CHECKED_BYTES: usize = 44;
/// No frame is larger: a length beyond this is damage.
const BODY_MAX_BYTES: u32 = 1 << 30;

/// Records on their way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    /// Which numbering the records belong to.
    pub(crate) run: u64,
    /// Number of the first record.
    pub(crate) first: u64,
    /// Number of the last record.
    pub(crate) last: u64,
    /// How many.
    pub(crate) records: u32,
    /// What they are.
    pub(crate) payload: Vec<u8>,
}

impl Batch {
    pub(super) const fn header(&self, id: u64, kind: Kind) -> Header {
        let Self { run, first, last, records, .. } = self;
        Header { kind, body_bytes: 0, records: *records, id, run: *run, first: *first, last: *last }
    }
}

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) body_bytes: u32,
    pub(super) records: u32,
    pub(super) id: u64,
    pub(super) run: u64,
    pub(super) first: u64,
    pub(super) last: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let fields: [&[u8]; 7] = [
            self.kind.magic(),
            &self.body_bytes.to_le_bytes(),
            &self.records.to_le_bytes(),
            &self.id.to_le_bytes(),
            &self.run.to_le_bytes(),
            &self.first.to_le_bytes(),
            &self.last.to_le_bytes(),
        ];
        let mut rest = bytes.as_mut_slice();
        for field in fields {
            let (here, after) = rest.split_at_mut(field.len());
            here.copy_from_slice(field);
            rest = after;
        }
        let (checked, check) = bytes.split_at_mut(CHECKED_BYTES);
        check.copy_from_slice(&digest(checked));
        bytes
    }

    /// `None` for anything that no spool wrote.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
        let (checked, check) = bytes.split_at(CHECKED_BYTES);
        if digest(checked) != check {
            return None;
        }
        let (magic, rest) = checked.split_first_chunk::<4>()?;
        let (body_bytes, rest) = rest.split_first_chunk::<4>()?;
        let (records, rest) = rest.split_first_chunk::<4>()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let (run, rest) = rest.split_first_chunk::<8>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (last, _) = rest.split_first_chunk::<8>()?;
        let header = Self {
            kind: Kind::of(magic)?,
            body_bytes: u32::from_le_bytes(*body_bytes),
            records: u32::from_le_bytes(*records),
            id: u64::from_le_bytes(*id),
            run: u64::from_le_bytes(*run),
            first: u64::from_le_bytes(*first),
            last: u64::from_le_bytes(*last),
        };
        (header.body_bytes <= BODY_MAX_BYTES).then_some(header)
    }
}

/// Bytes of a batch on disk.
pub(super) fn sealed_bytes(batch: &Batch) -> u64 {
    super::length(&batch.payload)
        + u64::try_from(HEADER_BYTES + Cipher::OVERHEAD_MAX_BYTES).unwrap_or(u64::MAX)
}

/// The bytes of a frame; `None` when the library fails or the contents are beyond any bound.
pub(super) fn seal(header: Header, payload: &[u8], cipher: &Cipher) -> Option<Vec<u8>> {
    let body_bytes =
        u32::try_from(cipher.sealed_len(payload.len())).ok().filter(|it| *it <= BODY_MAX_BYTES)?;
    let header = Header { body_bytes, ..header }.encode();
    let body = cipher.seal(&header, payload)?;
    Some([header.as_slice(), &body].concat())
}

/// The contents of a frame, if they are what was sealed.
pub(super) fn open(bytes: &[u8], cipher: &Cipher) -> Option<Batch> {
    let header = Header::decode(bytes)?;
    let (head, body) = bytes.split_at_checked(HEADER_BYTES)?;
    if usize::try_from(header.body_bytes) != Ok(body.len()) {
        return None;
    }
    let payload = cipher.open(header.kind, head, body)?;
    let Header { records, run, first, last, .. } = header;
    Some(Batch { run, first, last, records, payload })
}

fn digest(bytes: &[u8]) -> [u8; HEADER_BYTES - CHECKED_BYTES] {
    let whole = Sha256::digest(bytes);
    let mut cut = [0; HEADER_BYTES - CHECKED_BYTES];
    cut.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    cut
}
