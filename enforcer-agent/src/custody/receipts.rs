//! From what happened to a signed receipt on disk.

use enforcer_core::device::custody::receipt::{
    Evidence, NOT_COVERED, Receipt, ReceiptDevice, Samples, VERSION,
};
use enforcer_core::device::custody::{Custody, DeviceKey, Granted};
use enforcer_core::device::number::DeviceNumber;

use super::edges::Edges;
use super::keep::{Keep, Signed};
use super::scrub::{Job, Outcome};
use crate::hex::hex;

/// What a receipt says of the cleaning itself.
pub(super) struct Cleaning {
    pub(super) method: String,
    pub(super) detail: String,
    pub(super) evidence: Evidence,
    pub(super) bytes_covered: u64,
    pub(super) bytes_total: u64,
    pub(super) samples: Samples,
    pub(super) uuid: String,
    pub(super) nonce: String,
    pub(super) started_ns: u64,
    /// What else is not covered.
    pub(super) lacking: Vec<String>,
}

impl Cleaning {
    /// By a scrubber.
    pub(super) fn scrubbed(job: &Job, method: &str, outcome: Outcome, started_ns: u64) -> Self {
        Self {
            method: method.to_owned(),
            detail: outcome.detail,
            evidence: outcome.evidence,
            bytes_covered: outcome.bytes_covered,
            bytes_total: outcome.bytes_total,
            samples: Samples { count: outcome.samples, seed: hex(&job.seed), mismatches: outcome.mismatches },
            uuid: outcome.uuid,
            nonce: hex(&job.nonce),
            started_ns,
            lacking: outcome.not_covered,
        }
    }

    /// By nobody: somebody says that it need not be.
    pub(super) fn declared(method: &str, detail: &str, now_ns: u64, lacking: Vec<String>) -> Self {
        Self {
            method: method.to_owned(),
            detail: detail.to_owned(),
            evidence: Evidence::Declared,
            bytes_covered: 0,
            bytes_total: 0,
            samples: Samples::default(),
            uuid: String::new(),
            nonce: String::new(),
            started_ns: now_ns,
            lacking,
        }
    }
}

/// Writes the receipt; answers with its hash.
pub(super) async fn write(
    (edges, keep): (&Edges, &Keep),
    (key, number): (&DeviceKey, Option<DeviceNumber>),
    (custody, granted): (&Custody, &Granted),
    cleaning: Cleaning,
) -> Result<String, String> {
    let last = keep.receipts(key, 1).map_err(|error| error.to_string())?;
    let previous = last.last().map(|signed| signed.receipt.hash()).unwrap_or_default();
    let mut not_covered: Vec<String> = NOT_COVERED.iter().map(|words| (*words).to_owned()).collect();
    not_covered.extend(cleaning.lacking);
    let settings = edges.settings().await;
    if settings.is_empty() {
        not_covered.push("the settings that isolation rests on, which could not be read".to_owned());
    }
    let receipt = Receipt {
        version: VERSION,
        device: ReceiptDevice {
            class: key.class.clone(),
            number: key.number,
            kind: number.map(|number| number.kind.name().to_owned()).unwrap_or_default(),
            major: number.map_or(0, |number| number.major),
            minor: number.map_or(0, |number| number.minor),
            uuid: cleaning.uuid,
        },
        node: edges.node.clone(),
        previous_tenants: custody.past.clone(),
        next_tenants: granted.tenants.clone(),
        method: cleaning.method,
        detail: cleaning.detail,
        bytes_covered: cleaning.bytes_covered,
        bytes_total: cleaning.bytes_total,
        samples: cleaning.samples,
        settings,
        evidence: cleaning.evidence,
        not_covered,
        started_ns: cleaning.started_ns,
        ended_ns: (edges.clock)(),
        agent: edges.agent.clone(),
        nonce: cleaning.nonce,
        previous,
        signer: hex(&edges.sign.public()),
    };
    let signed = Signed { signature: hex(&edges.sign.sign(&receipt.message())), receipt };
    keep.append(key, &signed).map_err(|error| error.to_string())?;
    Ok(signed.receipt.hash())
}
