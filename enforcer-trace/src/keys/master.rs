//! A tenant's key and the data keys it wraps, with AES-256-GCM as parquet's key tools do it: `wrappedDEK` is
//! base64(nonce, ciphertext, tag) with the bytes of `masterKeyID` as associated data.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::{KEY_BYTES, KeyError, MASTER_KEY_ID_MAX_BYTES};

/// Largest data key that is unwrapped; parquet's are 16, 24 or 32 bytes.
const DATA_KEY_MAX_BYTES: usize = 64;
const TAG_BYTES: usize = 16;

/// A tenant's key. It cannot be printed or cloned, and is overwritten when dropped.
pub struct TenantKey {
    id: String,
    secret: Zeroizing<[u8; KEY_BYTES]>,
}

/// A key that seals one file, or one tenant's frames in one segment of the log.
pub struct DataKey(Zeroizing<Vec<u8>>);

impl TenantKey {
    /// Takes a secret over. The id is a `masterKeyID`: "TENANT/KEY".
    ///
    /// # Errors
    /// The id is none.
    pub fn new(id: &str, secret: Zeroizing<[u8; KEY_BYTES]>) -> Result<Self, KeyError> {
        let named = id.split_once('/').is_some_and(|(tenant, key)| !tenant.is_empty() && !key.is_empty());
        if !named || id.len() > MASTER_KEY_ID_MAX_BYTES || id.chars().any(char::is_control) {
            return Err(KeyError::Id(id.chars().take(MASTER_KEY_ID_MAX_BYTES).collect()));
        }
        Ok(Self { id: id.to_owned(), secret })
    }

    /// Its `masterKeyID`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Wraps a data key.
    ///
    /// # Errors
    /// The library fails.
    pub fn wrap(&self, key: &DataKey) -> Result<String, KeyError> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut sealed = Zeroizing::new(key.expose().to_vec());
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(self.id.as_bytes()),
                &mut *sealed,
            )
            .map_err(|_| KeyError::Cipher("seal"))?;
        Ok(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// Unwraps a data key.
    ///
    /// # Errors
    /// Another key wrapped it, or it was changed.
    pub fn unwrap(&self, wrapped: &str) -> Result<DataKey, KeyError> {
        let wrong = || KeyError::Wrong(self.id.clone());
        if wrapped.len() > 2 * (NONCE_LEN + DATA_KEY_MAX_BYTES + TAG_BYTES) {
            return Err(wrong());
        }
        let bytes = STANDARD.decode(wrapped).map_err(|_| wrong())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>().ok_or_else(wrong)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let opened = self
            .cipher()?
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(self.id.as_bytes()),
                sealed.as_mut_slice(),
            )
            .map_err(|_| wrong())?;
        Ok(DataKey(Zeroizing::new(opened.to_vec())))
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        cipher(self.secret.as_slice())
    }
}

impl fmt::Debug for TenantKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TenantKey({:?})", self.id)
    }
}

impl DataKey {
    /// A fresh one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new(vec![0; KEY_BYTES]);
        rand::fill(&mut bytes).map_err(|_| KeyError::Cipher("give random bytes"))?;
        Ok(Self(bytes))
    }

    /// The bytes: for the writer of a file, and for a query engine that may read it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// AES-256-GCM with this key.
    pub(crate) fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        cipher(&self.0)
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DataKey(..)")
    }
}

fn cipher(secret: &[u8]) -> Result<LessSafeKey, KeyError> {
    let key = UnboundKey::new(&AES_256_GCM, secret).map_err(|_| KeyError::Cipher("take a key"))?;
    Ok(LessSafeKey::new(key))
}

fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| KeyError::Cipher("give random bytes"))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str, byte: u8) -> TenantKey {
        TenantKey::new(id, Zeroizing::new([byte; KEY_BYTES])).unwrap()
    }

    #[test]
    fn a_data_key_comes_back_and_only_with_the_key_and_the_id_that_wrapped_it() {
        let data = DataKey::generate().unwrap();
        let wrapped = key("red/1", 1).wrap(&data).unwrap();
        assert_eq!(key("red/1", 1).unwrap(&wrapped).unwrap().expose(), data.expose());
        for other in [key("red/1", 2), key("red/2", 1), key("blue/1", 1)] {
            assert_eq!(other.unwrap(&wrapped).unwrap_err(), KeyError::Wrong(other.id().to_owned()));
        }
    }

    #[test]
    fn the_wrapping_is_nonce_ciphertext_and_tag() {
        let data = DataKey::generate().unwrap();
        let bytes = STANDARD.decode(key("red/1", 1).wrap(&data).unwrap()).unwrap();
        assert_eq!(bytes.len(), NONCE_LEN + KEY_BYTES + TAG_BYTES);
    }

    #[test]
    fn every_changed_byte_of_a_wrapped_key_is_noticed() {
        let key = key("red/1", 1);
        let bytes = STANDARD.decode(key.wrap(&DataKey::generate().unwrap()).unwrap()).unwrap();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(key.unwrap(&STANDARD.encode(changed)).is_err(), "byte {at}");
            assert!(key.unwrap(&STANDARD.encode(&bytes[..at])).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn what_is_no_id_makes_no_key() {
        for id in ["", "red", "/1", "red/", "r\ned/1", &"r/".repeat(200)] {
            assert!(matches!(TenantKey::new(id, Zeroizing::default()), Err(KeyError::Id(_))), "{id:?}");
        }
    }

    #[test]
    fn secrets_do_not_print() {
        assert_eq!(format!("{:?}", key("red/1", 7)), "TenantKey(\"red/1\")");
        assert_eq!(format!("{:?}", DataKey::generate().unwrap()), "DataKey(..)");
    }
}
