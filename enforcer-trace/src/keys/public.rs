//! The public half of the signer of checkpoints: how it is written for others, read back, and used.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::hex;

/// What an Ed25519 key begins with as SubjectPublicKeyInfo (RFC 8410, section 4).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";
/// Longest text that is looked at.
const TEXT_MAX_BYTES: usize = 1024;

/// Not a public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 public key: neither PEM (SubjectPublicKeyInfo) nor 64 hexadecimal digits")]
pub struct PublicKeyError;

/// An Ed25519 public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// From PEM, as `signer.pub` and openssl have it, or from 64 hexadecimal digits.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str) -> Result<Self, PublicKeyError> {
        let text = text.trim();
        if text.len() > TEXT_MAX_BYTES {
            return Err(PublicKeyError);
        }
        if let Some(bytes) = hex::decode(text) {
            return Ok(Self(bytes));
        }
        let inner = text.strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(PublicKeyError)?;
        let base64: String = inner.split_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| PublicKeyError)?;
        let key = der.strip_prefix(&SPKI).ok_or(PublicKeyError)?;
        key.try_into().map(Self).map_err(|_| PublicKeyError)
    }

    /// As PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode([&SPKI[..], &self.0].concat()))
    }

    /// SHA-256 of its 32 bytes, hexadecimal: its name.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0))
    }

    /// True when this key signed the message.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Keys as _, Memory};
    use super::*;

    #[test]
    fn both_spellings_come_back() {
        let key = PublicKey(Memory::new().public());
        assert_eq!(PublicKey::parse(&key.pem()), Ok(key));
        assert_eq!(PublicKey::parse(&hex::encode(&key.0)), Ok(key));
        for wrong in ["", "abc", BEGIN, &key.pem().replace("MC", "MD"), &"a".repeat(2000)] {
            assert_eq!(PublicKey::parse(wrong), Err(PublicKeyError), "{wrong}");
        }
    }

    #[test]
    fn a_signature_is_of_one_message_and_one_key() {
        let keys = Memory::new();
        let key = PublicKey(keys.public());
        let signature = keys.sign(b"a").unwrap();
        assert!(key.verifies(b"a", &signature));
        assert!(!key.verifies(b"b", &signature));
        assert!(!PublicKey(Memory::new().public()).verifies(b"a", &signature));
    }
}
