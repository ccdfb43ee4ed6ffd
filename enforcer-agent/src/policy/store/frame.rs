//! The envelope of a record: length, guard of the length, checksum, payload. The checksum covers that of the
//! record before, so that records cannot be swapped or left out unnoticed.

use sha2::{Digest as _, Sha256};

/// What a journal starts with; the last byte is the version.
pub(super) const PREAMBLE: [u8; 16] = *b"enforcer-journ\x00\x01";
/// Bytes before a payload.
pub(super) const HEADER_BYTES: usize = 40;
/// Largest payload: a policy of the largest size that a push can have, several times over.
pub(super) const PAYLOAD_MAX: usize = 512 << 20;

/// Checksum of a record and all before it.
pub(super) type Chain = [u8; 32];

/// The chain before the first record.
pub(super) fn start() -> Chain {
    Sha256::digest(PREAMBLE).into()
}

/// The chain after a payload.
pub(super) fn extend(chain: &Chain, payload: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(chain);
    hash.update(payload);
    hash.finalize().into()
}

/// The bytes before a payload, and the chain after it; `None` when it is too large.
pub(super) fn header(chain: &Chain, payload: &[u8]) -> Option<([u8; HEADER_BYTES], Chain)> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_MAX)?;
    let next = extend(chain, payload);
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&length.to_le_bytes());
    header[4..8].copy_from_slice(&guard(chain, length));
    header[8..].copy_from_slice(&next);
    Some((header, next))
}

/// Length and checksum from a header; `None` when the length is not what was written.
pub(super) fn open(chain: &Chain, header: &[u8; HEADER_BYTES]) -> Option<(usize, Chain)> {
    let [l0, l1, l2, l3, g0, g1, g2, g3, checksum @ ..] = header;
    let length = u32::from_le_bytes([*l0, *l1, *l2, *l3]);
    if [*g0, *g1, *g2, *g3] != guard(chain, length) {
        return None;
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= PAYLOAD_MAX)?;
    Some((length, *checksum))
}

/// A damaged length would make a record in the middle look like a torn tail.
fn guard(chain: &Chain, length: u32) -> [u8; 4] {
    let mut hash = Sha256::new();
    hash.update(b"length");
    hash.update(chain);
    hash.update(length.to_le_bytes());
    let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
    [a, b, c, d]
}
