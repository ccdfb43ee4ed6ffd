//! The receipt for a tenant's destroyed key: what can never be read again, signed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::checkpoint::ChainPosition;
use crate::hex;
use crate::keys::{KeyError, Keys, PublicKey};

/// The receipts' directory, in the store's.
pub const DIRECTORY: &str = "receipts";
/// What is signed begins with it, so that the key signs nothing else in a receipt's place.
const CONTEXT: &[u8] = b"enforcer destruction receipt v1\n";

/// A receipt with its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// What is signed.
    pub body: Destroyed,
    /// Ed25519, base64, over `enforcer destruction receipt v1\n` and the body as it is written here.
    pub signature: String,
}

/// What a receipt says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destroyed {
    /// Whose key.
    pub tenant: String,
    /// Why, as the operator said.
    pub reason: String,
    /// Who did it.
    pub actor: String,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
    /// On which node.
    pub node: String,
    /// Sealed files that can never be read again.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Their records.
    pub records: u64,
    /// The first and the last sequence number among them; 0 when there are none.
    pub first: u64,
    /// See `first`.
    pub last: u64,
    /// Where the tenant's chain was.
    pub chain: ChainPosition,
    /// The signer's public key, hexadecimal.
    pub signer: String,
}

impl Receipt {
    /// Signs a receipt.
    ///
    /// # Errors
    /// The key cannot be had.
    pub fn sign(body: Destroyed, keys: &dyn Keys) -> Result<Self, KeyError> {
        let signature = STANDARD.encode(keys.sign(&message(&body))?);
        Ok(Self { body, signature })
    }

    /// As JSON, on one line.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From JSON; `None` when it is no receipt, or not signed by the key.
    #[must_use]
    pub fn verified(json: &str, key: &PublicKey) -> Option<Self> {
        let receipt: Self = serde_json::from_str(json).ok()?;
        let signature = STANDARD.decode(&receipt.signature).ok()?;
        let is_good = receipt.to_json() == json.trim_end()
            && receipt.body.signer == hex::encode(&key.0)
            && key.verifies(&message(&receipt.body), &signature);
        is_good.then_some(receipt)
    }
}

fn message(body: &Destroyed) -> Vec<u8> {
    [CONTEXT, &serde_json::to_vec(body).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Memory;

    #[test]
    fn a_receipt_is_good_until_a_byte_of_it_changes() {
        let keys = Memory::new();
        let key = PublicKey(keys.public());
        let body = Destroyed {
            tenant: "red".to_owned(),
            signer: hex::encode(&keys.public()),
            ..Destroyed::default()
        };
        let receipt = Receipt::sign(body, &keys).unwrap();
        let json = receipt.to_json();
        assert_eq!(Receipt::verified(&json, &key), Some(receipt));
        for at in 0..json.len() {
            let mut changed = json.clone().into_bytes();
            changed[at] ^= 1;
            let good = String::from_utf8(changed).is_ok_and(|text| Receipt::verified(&text, &key).is_some());
            assert!(!good, "byte {at}");
        }
        assert_eq!(Receipt::verified(&json, &PublicKey(Memory::new().public())), None);
    }
}
