//! How contents lie on disk: sealed with AES-256-GCM under a key that is not beside them, or, where the node has no
//! key-encryption key, as they are with a digest.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use sha2::{Digest as _, Sha256};

const TAG_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

/// Whether contents are sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sealed,
    Plain,
}

impl Kind {
    pub(super) const fn magic(self) -> &'static [u8; 4] {
        match self {
            Self::Sealed => b"EFS1",
            Self::Plain => b"EFP1",
        }
    }

    pub(super) fn of(magic: &[u8; 4]) -> Option<Self> {
        [Self::Sealed, Self::Plain].into_iter().find(|kind| kind.magic() == magic)
    }
}

/// Seals and opens.
pub(crate) struct Cipher(Option<LessSafeKey>);

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Cipher(sealed)" } else { "Cipher(plain)" })
    }
}

impl Cipher {
    /// Most that a body is longer than its contents.
    pub(super) const OVERHEAD_MAX_BYTES: usize = DIGEST_BYTES;

    /// With a key, or without one. `None` when the library refuses the key.
    pub(crate) fn new(key: Option<&[u8; 32]>) -> Option<Self> {
        let Some(key) = key else { return Some(Self(None)) };
        UnboundKey::new(&AES_256_GCM, key).ok().map(|key| Self(Some(LessSafeKey::new(key))))
    }

    pub(super) const fn kind(&self) -> Kind {
        if self.0.is_some() { Kind::Sealed } else { Kind::Plain }
    }

    pub(super) const fn sealed_len(&self, payload: usize) -> usize {
        match self.kind() {
            Kind::Sealed => payload + NONCE_LEN + TAG_BYTES,
            Kind::Plain => payload + DIGEST_BYTES,
        }
    }

    /// The body for a header: nonce, contents and tag, or digest and contents.
    pub(super) fn seal(&self, header: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        let Some(key) = &self.0 else {
            return Some([digest(header, payload).as_slice(), payload].concat());
        };
        // 96 random bits: the key would have to seal 2^32 batches before a repetition is worth a thought.
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = payload.to_vec();
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(header), &mut sealed)
            .ok()?;
        Some([nonce.as_slice(), &sealed].concat())
    }

    /// The contents, if header and body are what was sealed.
    pub(super) fn open(&self, kind: Kind, header: &[u8], body: &[u8]) -> Option<Vec<u8>> {
        match (kind, &self.0) {
            (Kind::Sealed, Some(key)) => {
                let (nonce, sealed) = body.split_first_chunk::<NONCE_LEN>()?;
                let mut opened = sealed.to_vec();
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let length = key.open_in_place(nonce, Aad::from(header), &mut opened).ok()?.len();
                opened.truncate(length);
                Some(opened)
            }
            (Kind::Sealed, None) => None,
            (Kind::Plain, _) => {
                let (expected, payload) = body.split_first_chunk::<DIGEST_BYTES>()?;
                (digest(header, payload) == *expected).then(|| payload.to_vec())
            }
        }
    }
}

fn digest(header: &[u8], payload: &[u8]) -> [u8; DIGEST_BYTES] {
    Sha256::new().chain_update(header).chain_update(payload).finalize().into()
}
