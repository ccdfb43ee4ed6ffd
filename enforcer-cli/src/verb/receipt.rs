//! `receipt verify`: whether receipts of handovers are as they were signed. Without an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use enforcer_trace::hex;
use enforcer_trace::keys::PublicKey;

use super::trace::verify::{public_key, read};
use crate::console::Console;
use crate::failure::Failure;
use crate::view::custody::{CheckedView, ReceiptsView, SignedView};

/// Look at receipts of handovers.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  enforcerctl receipt verify receipt.json --signer signer.pub")]
pub(crate) struct ReceiptVerbs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Verify(Verify),
}

/// Verify receipts, without an agent.
#[derive(Args, Debug)]
#[command(
    long_about = "Verifies receipts: one as it lies in the state directory, or what `enforcerctl get receipts -o json` \
                  printed. Each must be signed, and where several of one device are there, each must name the one before. \
                  Exit code 6 says that one does not hold.\n\nWhoever has the node's key can sign anything: --signer holds \
                  the receipts against a public key that was kept elsewhere. Without it the key in the receipt itself is \
                  used, which shows no more than that nobody without a key has changed it.",
    after_help = "Examples:\n  enforcerctl receipt verify receipt.json\n  \
                  enforcerctl receipt verify receipts.json --signer signer.pub -o json"
)]
struct Verify {
    /// A receipt, or a list of them.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// The signer's public key: a PEM file, or 64 hexadecimal digits.
    #[arg(long, value_name = "FILE|HEX")]
    signer: Option<String>,
}

impl ReceiptVerbs {
    /// Does what the verb below says.
    pub(crate) fn run(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let Verb::Verify(verify) = &self.verb;
        let signer = verify.signer.as_deref().map(public_key).transpose()?;
        let receipts = parse(&read(&verify.file)?)?;
        let view = check(&receipts, signer.as_ref());
        console.show(&view)?;
        if view.intact { Ok(()) } else { Err(Failure::Forged(view.findings.len())) }
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<SignedView>, Failure> {
    if let Ok(one) = serde_json::from_slice::<SignedView>(bytes) {
        return Ok(vec![one]);
    }
    let list: ReceiptsView =
        serde_json::from_slice(bytes).map_err(|error| Failure::Unverified(format!("no receipt: {error}")))?;
    if list.receipts.is_empty() {
        return Err(Failure::Unverified("there is no receipt in it".to_owned()));
    }
    Ok(list.receipts)
}

fn check(receipts: &[SignedView], signer: Option<&PublicKey>) -> CheckedView {
    let (mut findings, mut signers) = (Vec::new(), BTreeSet::new());
    let mut not_covered = BTreeSet::new();
    let mut by_device: BTreeMap<String, Vec<&SignedView>> = BTreeMap::new();
    for signed in receipts {
        let SignedView { receipt, signature } = signed;
        let device = format!("{}/{}:{}", receipt.node, receipt.device.class, receipt.device.number);
        let named = hex::decode(&receipt.signer).map(PublicKey);
        let key = signer.copied().or(named);
        let holds = key.is_some_and(|key| {
            let signature = hex::decode::<64>(signature).unwrap_or([0; 64]);
            named == Some(key) && key.verifies(&receipt.message(), &signature)
        });
        if !holds {
            let short: String = receipt.hash().chars().take(12).collect();
            findings.push(format!("receipt {short} of {device} is not signed by the key that should have"));
        }
        signers.extend(named.map(|key| key.fingerprint()));
        not_covered.extend(receipt.not_covered.iter().cloned());
        by_device.entry(device).or_default().push(signed);
    }
    for (device, mut chain) in by_device {
        chain.sort_by_key(|signed| signed.receipt.ended_ns);
        let pairs = chain.iter().zip(chain.iter().skip(1));
        for (before, after) in pairs.filter(|(before, after)| after.receipt.previous != before.receipt.hash())
        {
            let (from, to) = (before.receipt.hash(), after.receipt.hash());
            let short = |hash: &str| hash.chars().take(12).collect::<String>();
            findings.push(format!("{device}: {} does not follow on {}", short(&to), short(&from)));
        }
    }
    CheckedView {
        intact: findings.is_empty(),
        receipts: receipts.len(),
        signers: signers.into_iter().collect(),
        findings,
        not_covered: not_covered.into_iter().collect(),
    }
}
