//! A sealed file: magic, version, kind, the id of the key, a nonce, then what AES-256-GCM made of the contents.
//! Everything before the nonce and the object's name are authenticated with it, so that neither headers nor
//! whole files can be swapped.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::error::CustodyError;

/// What a sealed file starts with; the last byte is the version.
const MAGIC: [u8; 5] = *b"ENFV\x01";
/// Bytes of a nonce. Random ones are safe for 2^32 seals under one key; each drawer has its own.
pub(super) const NONCE_BYTES: usize = 12;
/// Bytes of the authentication tag.
const TAG_BYTES: usize = 16;
/// Bytes of a key of AES-256.
pub(super) const KEY_BYTES: usize = 32;
/// Longest id of a key.
pub(super) const KEY_ID_MAX_BYTES: usize = 64;
/// Largest sealed file.
pub(super) const FILE_MAX_BYTES: usize = 16 << 20;

/// What is inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A drawer's key, sealed with the key-encryption key.
    DrawerKey = 1,
    /// An object, sealed with its drawer's key.
    Object = 2,
}

/// A sealed file, taken apart.
pub(super) struct Frame<'a> {
    /// The key that opens it.
    pub(super) key_id: &'a str,
    pub(super) nonce: [u8; NONCE_BYTES],
    /// Ciphertext and tag.
    pub(super) sealed: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Takes a file apart; the error says what does not fit.
    pub(super) fn parse(bytes: &'a [u8], kind: Kind) -> Result<Self, &'static str> {
        let rest =
            bytes.strip_prefix(&MAGIC).ok_or("it does not begin as a sealed file of this version does")?;
        let (&[found, id_bytes], rest) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        if found != kind as u8 {
            return Err("it is of another kind");
        }
        let (id, rest) = rest.split_at_checked(usize::from(id_bytes)).ok_or(TRUNCATED)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or(TRUNCATED)?;
        let key_id = std::str::from_utf8(id).map_err(|_| "the id of its key is no text")?;
        if sealed.len() < TAG_BYTES {
            return Err(TRUNCATED);
        }
        Ok(Self { key_id, nonce: *nonce, sealed })
    }
}

const TRUNCATED: &str = "it is cut short";

/// What is authenticated beside the contents.
pub(super) fn associated(kind: Kind, key_id: &str, name: &str) -> Vec<u8> {
    let mut bytes = header(kind, key_id);
    bytes.extend_from_slice(name.as_bytes());
    bytes
}

/// A whole file.
pub(super) fn assemble(kind: Kind, key_id: &str, nonce: &[u8; NONCE_BYTES], sealed: &[u8]) -> Vec<u8> {
    let mut bytes = header(kind, key_id);
    bytes.extend_from_slice(nonce);
    bytes.extend_from_slice(sealed);
    bytes
}

fn header(kind: Kind, key_id: &str) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    // Ids are bounded where they are made and read.
    bytes.extend([kind as u8, u8::try_from(key_id.len()).unwrap_or(u8::MAX)]);
    bytes.extend_from_slice(key_id.as_bytes());
    bytes
}

/// Fresh randomness.
pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, CustodyError> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::fill(bytes.as_mut_slice()).map_err(|_| CustodyError::Cipher("give random bytes"))?;
    Ok(bytes)
}

/// A key of AES-256-GCM in memory. The library overwrites it when it is dropped.
pub(super) struct Cipher(LessSafeKey);

impl Cipher {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Result<Self, CustodyError> {
        let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| CustodyError::Cipher("take a key"))?;
        Ok(Self(LessSafeKey::new(key)))
    }

    /// Seals contents into a whole file.
    pub(super) fn seal(
        &self,
        kind: Kind,
        key_id: &str,
        name: &str,
        contents: &[u8],
    ) -> Result<Vec<u8>, CustodyError> {
        let nonce = random::<NONCE_BYTES>()?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(contents.len() + TAG_BYTES));
        sealed.extend_from_slice(contents);
        let aad = Aad::from(associated(kind, key_id, name));
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(*nonce), aad, &mut *sealed)
            .map_err(|_| CustodyError::Cipher("seal"))?;
        Ok(assemble(kind, key_id, &nonce, &sealed))
    }

    /// Opens a file's contents; `None` when it is not what was sealed with this key under this name.
    pub(super) fn open(&self, kind: Kind, name: &str, frame: &Frame<'_>) -> Option<Zeroizing<Vec<u8>>> {
        let mut bytes = Zeroizing::new(frame.sealed.to_vec());
        let aad = Aad::from(associated(kind, frame.key_id, name));
        let nonce = Nonce::assume_unique_for_key(frame.nonce);
        let length = self.0.open_in_place(nonce, aad, &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}
