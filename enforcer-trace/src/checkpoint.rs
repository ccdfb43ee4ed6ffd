//! Signed checkpoints: how long every chain was and what it ended in, and where the log was. Kept elsewhere, one proves
//! that nothing before it was cut off since.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::hex;
use crate::keys::{KeyError, Keys, PublicKey};

/// The latest one, in the store's directory.
pub const NAME: &str = "checkpoint.json";
/// Largest that is read: some hundred bytes a tenant.
pub const BYTES_MAX: u64 = 64 << 20;
/// What is signed begins with it, so that the key signs nothing else in a checkpoint's place.
const CONTEXT: &[u8] = b"enforcer checkpoint v1\n";

/// A checkpoint with its signature, as it is on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Checkpoint {
    /// What is signed.
    pub body: Body,
    /// Ed25519, base64, over `enforcer checkpoint v1\n` and the body as it is written here.
    pub signature: String,
}

/// What a checkpoint says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Body {
    /// Grows with every checkpoint.
    pub number: u64,
    /// Of this node.
    pub node: String,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// The signer's public key, hexadecimal.
    pub signer: String,
    /// Every record up to this one was on disk.
    pub sequence: u64,
    /// Where the log was.
    pub log: LogPosition,
    /// Each tenant's chain, by tenant; `_node` for what belongs to none.
    pub chains: BTreeMap<String, ChainPosition>,
}

/// Where the log was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogPosition {
    /// The oldest segment that is not sealed; larger than `segment` when all are.
    pub oldest: u64,
    /// The segment written last; 0 when there was none ever.
    pub segment: u64,
    /// Where the next frame goes in it.
    pub bytes: u64,
    /// The hash of the last frame, hexadecimal.
    pub hash: String,
}

/// Where a chain was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ChainPosition {
    /// How many lines it had.
    pub lines: u64,
    /// How many bytes.
    pub bytes: u64,
    /// The hash of the last line, hexadecimal.
    pub head: String,
}

/// Why bytes are no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Not as it is written here.
    #[error("it is no checkpoint of this version")]
    Shape,
    /// It says the same and is spelled otherwise: somebody wrote it anew.
    #[error("it is not spelled as it was signed")]
    Spelling,
    /// Not signed by the key that should have.
    #[error("its signature is not by the key {0}")]
    Signature(String),
}

impl Checkpoint {
    /// Signs a body.
    ///
    /// # Errors
    /// The key cannot be had.
    pub fn sign(body: Body, keys: &dyn Keys) -> Result<Self, KeyError> {
        let signature = STANDARD.encode(keys.sign(&message(&body))?);
        Ok(Self { body, signature })
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = json(self);
        bytes.push(b'\n');
        bytes
    }

    /// From the file's bytes; the signature is not looked at yet.
    ///
    /// # Errors
    /// They are none, or not exactly what is written.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let checkpoint: Self = serde_json::from_slice(bytes).map_err(|_| CheckpointError::Shape)?;
        if checkpoint.to_bytes() != bytes {
            return Err(CheckpointError::Spelling);
        }
        Ok(checkpoint)
    }

    /// The key it says it was signed with.
    #[must_use]
    pub fn signer(&self) -> Option<PublicKey> {
        hex::decode(&self.body.signer).map(PublicKey)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// Another key signed it, or none.
    pub fn verify(&self, key: &PublicKey) -> Result<(), CheckpointError> {
        let signed = STANDARD
            .decode(&self.signature)
            .is_ok_and(|signature| key.verifies(&message(&self.body), &signature));
        if signed && self.signer() == Some(*key) {
            Ok(())
        } else {
            Err(CheckpointError::Signature(key.fingerprint()))
        }
    }
}

fn message(body: &Body) -> Vec<u8> {
    [CONTEXT, &json(body)].concat()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Maps with text keys and plain fields: there is nothing in it that JSON has no word for.
    serde_json::to_vec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Memory;

    fn body(keys: &Memory) -> Body {
        let red = ChainPosition { lines: 3, bytes: 99, head: "ab".repeat(32) };
        Body {
            number: 7,
            node: "n1".to_owned(),
            signer: hex::encode(&keys.public()),
            chains: BTreeMap::from([("red".to_owned(), red)]),
            ..Body::default()
        }
    }

    #[test]
    fn a_signed_checkpoint_comes_back_and_is_of_its_key() {
        let keys = Memory::new();
        let checkpoint = Checkpoint::sign(body(&keys), &keys).unwrap();
        let read = Checkpoint::parse(&checkpoint.to_bytes()).unwrap();
        assert_eq!(read, checkpoint);
        assert_eq!(read.verify(&PublicKey(keys.public())), Ok(()));
        let other = PublicKey(Memory::new().public());
        assert_eq!(read.verify(&other), Err(CheckpointError::Signature(other.fingerprint())));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let keys = Memory::new();
        let key = PublicKey(keys.public());
        let bytes = Checkpoint::sign(body(&keys), &keys).unwrap().to_bytes();
        for at in 0..bytes.len() {
            for flip in [0x01, 0x20, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                let good = Checkpoint::parse(&changed).is_ok_and(|read| read.verify(&key).is_ok());
                assert!(!good, "byte {at} ^ {flip:#x}");
            }
            assert!(Checkpoint::parse(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
