//! What is signed about a handover: who had the device, how it was cleaned, how well that was looked at, and what nobody
//! looked at. One spelling: the fields in this order, as `serde_json` writes them without spaces.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What is signed begins with it, so that the key signs nothing else in a receipt's place.
pub const CONTEXT: &[u8] = b"enforcer custody receipt v1\n";
/// The version of this form.
pub const VERSION: u32 = 1;
/// Largest receipt that is read, in bytes.
pub const BYTES_MAX: usize = 1 << 20;

/// What no scrubber of a whole device reaches, or nobody can show that it does: said in every receipt.
pub const NOT_COVERED: [&str; 7] = [
    "registers, shared memory and caches of the device",
    "BAR1 apertures of other processes",
    "pinned memory of the host",
    "swap",
    "layers of containers",
    "shader and kernel caches on disk",
    "images of checkpoints",
];

/// How good the proof is, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// Somebody says so: a command that ended well, a person.
    Declared,
    /// The scrubber told what it covered.
    Attested,
    /// The agent read samples back itself.
    Sampled,
    /// The agent read everything back itself.
    Full,
}

/// The device of a receipt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReceiptDevice {
    /// Class name.
    pub class: String,
    /// The number within the class.
    pub number: u32,
    /// `char` or `block`.
    pub kind: String,
    /// Major number, at that time.
    pub major: u32,
    /// Minor number, at that time.
    pub minor: u32,
    /// The driver's name for it; empty where nobody asked.
    pub uuid: String,
}

/// What was read back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Samples {
    /// How many places.
    pub count: u64,
    /// What they were drawn with, hexadecimal.
    pub seed: String,
    /// How many held something else than was written.
    pub mismatches: u64,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// [`VERSION`].
    pub version: u32,
    /// Which device.
    pub device: ReceiptDevice,
    /// This node.
    pub node: String,
    /// Everybody who had it since it was clean.
    pub previous_tenants: BTreeSet<String>,
    /// To whom it is granted next, as far as that was known.
    pub next_tenants: BTreeSet<String>,
    /// `command`, `overwrite`, `nvidia`, `skipped-by-policy`, `released-by-person`.
    pub method: String,
    /// More about it: the scrubber's own word, a person's reason.
    pub detail: String,
    /// Bytes that were overwritten.
    pub bytes_covered: u64,
    /// Bytes that the device has.
    pub bytes_total: u64,
    /// What was read back.
    pub samples: Samples,
    /// SHA-256 over the settings that isolation rests on, hexadecimal; empty where they are not read.
    pub settings: String,
    /// How good the proof is.
    pub evidence: Evidence,
    /// What is not covered.
    pub not_covered: Vec<String>,
    /// When it began, nanoseconds since 1970.
    pub started_ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// The agent's SPIFFE ID; empty where it has none.
    pub agent: String,
    /// What the pattern was derived from, hexadecimal: new for every scrub.
    pub nonce: String,
    /// SHA-256 of the receipt before this one of the same device, hexadecimal; empty in the first.
    pub previous: String,
    /// The public key that signs this, hexadecimal.
    pub signer: String,
}

impl Receipt {
    /// Exactly the bytes that are signed, behind [`CONTEXT`].
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // Plain fields only: there is nothing in it that JSON has no word for.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What the key signs.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        [CONTEXT, &self.to_bytes()].concat()
    }

    /// Its name in the chain: SHA-256 of [`Self::to_bytes`], hexadecimal.
    #[must_use]
    pub fn hash(&self) -> String {
        Sha256::digest(self.to_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// From the bytes that were signed.
    ///
    /// # Errors
    /// They are none, or are spelled otherwise.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > BYTES_MAX {
            return Err(ReceiptError::Size);
        }
        let receipt: Self =
            serde_json::from_slice(bytes).map_err(|error| ReceiptError::Shape(error.to_string()))?;
        if receipt.version != VERSION {
            return Err(ReceiptError::Version(receipt.version));
        }
        if receipt.to_bytes() == bytes { Ok(receipt) } else { Err(ReceiptError::Spelling) }
    }
}

/// Why bytes are no receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Too many.
    #[error("it is larger than any receipt")]
    Size,
    /// Not these fields.
    #[error("it is no receipt: {0}")]
    Shape(String),
    /// Another form.
    #[error("it is a receipt of version {0}, which this version does not know")]
    Version(u32),
    /// It says the same and is spelled otherwise: somebody wrote it anew.
    #[error("it is not spelled as it was signed")]
    Spelling,
}
