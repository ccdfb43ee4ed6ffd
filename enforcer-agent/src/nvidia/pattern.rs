//! What is written, and where it is looked at: both follow from a nonce that nobody could know before. Pure.

use sha2::{Digest as _, Sha256};

/// Bytes of a sample.
pub(super) const WINDOW: usize = 256;

/// The word that is written over a piece: another one for each, so that a piece which is really another's place shows, and
/// never zero, which is what memory often holds anyway.
pub(super) fn word(nonce: &[u8], piece: usize) -> u32 {
    let digest = block(nonce, b"word", u64::try_from(piece).unwrap_or(u64::MAX));
    let [a, b, c, d, ..] = digest;
    u32::from_ne_bytes([a, b, c, d | 1])
}

/// Windows to look at: a piece, and an offset in it. The first and the last window of every piece, then `samples` of them
/// anywhere; pieces are at least a window long.
pub(super) fn windows(nonce: &[u8], label: &[u8], pieces: &[usize], samples: u32) -> Vec<(usize, usize)> {
    let starts: Vec<u64> = pieces.iter().map(|bytes| count(*bytes)).collect();
    let total: u64 = starts.iter().sum();
    let mut out: Vec<(usize, usize)> = Vec::new();
    for (piece, bytes) in pieces.iter().enumerate() {
        out.push((piece, 0));
        out.push((piece, bytes.saturating_sub(WINDOW)));
    }
    if total == 0 {
        return out;
    }
    for sample in 0..u64::from(samples) {
        let [a, b, c, d, e, f, g, h, ..] = block(nonce, label, sample);
        let mut at = u64::from_le_bytes([a, b, c, d, e, f, g, h]) % total;
        for (piece, windows) in starts.iter().enumerate() {
            if at < *windows {
                let offset = usize::try_from(at).unwrap_or(0).saturating_mul(WINDOW);
                out.push((piece, offset));
                break;
            }
            at -= windows;
        }
    }
    out
}

/// Whole windows of so many bytes.
fn count(bytes: usize) -> u64 {
    u64::try_from(bytes / WINDOW).unwrap_or(0)
}

fn block(nonce: &[u8], label: &[u8], number: u64) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [nonce, label] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        hash.update(part);
    }
    hash.update(number.to_le_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_lies_in_its_piece_and_every_piece_is_looked_at() {
        let pieces = [WINDOW, WINDOW * 1000, WINDOW * 3 + 17];
        let windows = windows(b"nonce", b"read", &pieces, 500);
        assert_eq!(windows.len(), 500 + 2 * pieces.len());
        assert!(windows.iter().all(|(piece, offset)| offset + WINDOW <= pieces[*piece]));
        assert!((0..pieces.len()).all(|piece| windows.iter().any(|(of, _)| *of == piece)));
    }

    #[test]
    fn another_nonce_is_another_pattern_elsewhere() {
        assert_ne!(word(b"a", 0), word(b"b", 0));
        assert_ne!(word(b"a", 0), word(b"a", 1));
        assert_eq!(word(b"a", 7), word(b"a", 7));
        let at = |nonce: &[u8], label: &[u8]| windows(nonce, label, &[WINDOW * 100_000], 16);
        assert_ne!(at(b"a", b"x"), at(b"b", b"x"));
        assert_ne!(at(b"a", b"x"), at(b"a", b"y"));
    }
}
