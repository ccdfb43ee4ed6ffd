//! Records of TLS 1.3 (RFC 8446 section 5), sealed and opened in the buffer in which they lie.

use std::fmt;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use rustls::{AlertDescription, ConnectionTrafficSecrets};

use super::error::TlsError;

/// Type, version, length.
pub(in crate::proxy) const HEADER: usize = 5;
/// Plaintext of one record.
pub(in crate::proxy) const PAYLOAD_MAX: usize = 1 << 14;
/// Content type and tag, behind the plaintext.
pub(in crate::proxy) const TAIL: usize = 1 + TAG;
/// A whole record.
pub(in crate::proxy) const SLOT: usize = HEADER + PAYLOAD_MAX + TAIL;

const TAG: usize = 16;
/// Section 5.4: content, type and padding are no more than this, whatever section 5.2 leaves to other ciphers.
const SEALED_MAX: usize = PAYLOAD_MAX + 1 + TAG;
/// Records under one key, below the limit of AES-GCM (section 5.5: 2^24.5).
const RECORDS_UNDER_A_KEY: u64 = 1 << 23;

/// What is inside a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Alert,
    Handshake,
    Data,
}

impl Content {
    const fn number(self) -> u8 {
        match self {
            Self::Alert => 21,
            Self::Handshake => 22,
            Self::Data => 23,
        }
    }
}

/// A record that the peer should not have sent: the alert for it, and the reason for the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) alert: AlertDescription,
    pub(super) why: &'static str,
}

impl Broken {
    pub(super) const fn new(alert: AlertDescription, why: &'static str) -> Self {
        Self { alert, why }
    }
}

/// The key of one direction.
struct Keyed {
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Keyed {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets) -> Result<Self, TlsError> {
        let (algorithm, key, iv): (&'static Algorithm, _, _) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&AES_256_GCM, key, iv),
            _ => return Err(TlsError::Protocol("a cipher suite that was not offered".to_owned())),
        };
        let unbound = UnboundKey::new(algorithm, key.as_ref())
            .map_err(|_| TlsError::Protocol("a key of another length".to_owned()))?;
        let iv =
            iv.as_ref().try_into().map_err(|_| TlsError::Protocol("an IV of another length".to_owned()))?;
        Ok(Self { key: LessSafeKey::new(unbound), iv, sequence })
    }

    /// Section 5.3: the sequence number, big-endian, over the last bytes of the IV.
    fn next_nonce(&mut self) -> Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *byte ^= number;
        }
        // Keys are exchanged long before: see `RECORDS_UNDER_A_KEY`, and a peer's records come one by one.
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals what is sent.
pub(super) struct Sealer {
    keyed: Keyed,
    /// Records after which the next key is due.
    limit: u64,
}

impl Sealer {
    pub(super) fn new((sequence, secrets): &(u64, ConnectionTrafficSecrets)) -> Result<Self, TlsError> {
        Ok(Self { keyed: Keyed::new(*sequence, secrets)?, limit: RECORDS_UNDER_A_KEY })
    }

    /// True when the next key is due.
    pub(super) const fn is_worn(&self) -> bool {
        self.keyed.sequence >= self.limit
    }

    #[cfg(test)]
    pub(super) const fn wear(&mut self) {
        self.limit = self.keyed.sequence;
    }

    /// Seals `length` bytes that lie behind the room for the header; returns the length of the record.
    ///
    /// # Panics
    /// `record` is shorter than header, payload and tail.
    pub(super) fn seal(&mut self, content: Content, record: &mut [u8], length: usize) -> usize {
        let header = header(length);
        record[..HEADER].copy_from_slice(&header);
        let inner = HEADER + length + 1;
        record[inner - 1] = content.number();
        let nonce = self.keyed.next_nonce();
        let sealed =
            self.keyed.key.seal_in_place_separate_tag(nonce, Aad::from(header), &mut record[HEADER..inner]);
        // It fails for input of many GiB only.
        if let Ok(tag) = sealed {
            record[inner..inner + TAG].copy_from_slice(tag.as_ref());
        } else {
            record[..inner + TAG].fill(0);
        }
        inner + TAG
    }
}

/// The header that a sealed record of so many bytes of plaintext has.
fn header(length: usize) -> [u8; HEADER] {
    let [high, low] = u16::try_from(length + TAIL).unwrap_or(u16::MAX).to_be_bytes();
    [Content::Data.number(), 3, 3, high, low]
}

/// Opens what is received.
pub(super) struct Opener(Keyed);

impl Opener {
    pub(super) fn new((sequence, secrets): &(u64, ConnectionTrafficSecrets)) -> Result<Self, TlsError> {
        Keyed::new(*sequence, secrets).map(Self)
    }

    /// Opens a whole record; its plaintext, of the length that is returned, lies behind the header.
    pub(super) fn open(&mut self, record: &mut [u8]) -> Result<(Content, usize), Broken> {
        let (header, sealed) = record.split_at_mut(HEADER);
        let mut aad = [0; HEADER];
        aad.copy_from_slice(header);
        let nonce = self.0.next_nonce();
        let opened = self.0.key.open_in_place(nonce, Aad::from(aad), sealed);
        let inner = opened.map_err(|_| {
            Broken::new(AlertDescription::BadRecordMac, "a record that was not sealed for us")
        })?;
        let last = inner.iter().rposition(|byte| *byte != 0);
        let last =
            last.ok_or(Broken::new(AlertDescription::UnexpectedMessage, "a record of nothing but padding"))?;
        let content = match inner[last] {
            21 => Content::Alert,
            22 => Content::Handshake,
            23 => Content::Data,
            _ => return Err(Broken::new(AlertDescription::UnexpectedMessage, "a record of an unknown type")),
        };
        Ok((content, last))
    }
}

/// The length of the record that begins here, header included; `None` while the header is not all there.
pub(super) fn record_length(bytes: &[u8]) -> Result<Option<usize>, Broken> {
    let Some(&[content, _, _, high, low]) = bytes.first_chunk::<HEADER>() else { return Ok(None) };
    if content != Content::Data.number() {
        return Err(Broken::new(AlertDescription::UnexpectedMessage, "a record that is not sealed"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > SEALED_MAX {
        return Err(Broken::new(AlertDescription::RecordOverflow, "a record longer than TLS has"));
    }
    if length < TAIL {
        return Err(Broken::new(AlertDescription::BadRecordMac, "a record too short for its tag"));
    }
    Ok(Some(HEADER + length))
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("sequence", &self.keyed.sequence).finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").field("sequence", &self.0.sequence).finish_non_exhaustive()
    }
}
