//! `trace verify`: whether a store is as it was written. Without an agent.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use enforcer_trace::keys::PublicKey;
use enforcer_trace::{VerifyOptions, verify};

use crate::console::Console;
use crate::failure::Failure;
use crate::files::FileError;
use crate::view::trace::verify::VerifyView;

/// Larger than any key or checkpoint.
const FILE_MAX_BYTES: u64 = 64 << 20;

/// Verify a store of traces, without an agent and without a key.
#[derive(Args, Debug)]
#[command(
    long_about = "Verifies a store of traces, or a copy of one: every block of every sealed file, every line of every chain, \
                  every frame of the log, every signature. It needs no agent and no key; an agent may be writing \
                  meanwhile. What is changed, missing, cut off, out of order or not signed is named with its place, and \
                  the exit code is 6.\n\nWhoever can write the store and has its key could sign anew: --signer holds it \
                  against a public key, and --checkpoint against a checkpoint, that were kept elsewhere.",
    after_help = "Examples:\n  enforcerctl trace verify /var/lib/enforcer/trace\n  \
                  enforcerctl trace verify /backup/trace --signer signer.pub --checkpoint checkpoint.json\n  \
                  enforcerctl trace verify /var/lib/enforcer/trace -o json"
)]
pub(super) struct Verify {
    /// The store's directory.
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// The signer's public key: a PEM file, or 64 hexadecimal digits.
    #[arg(long, value_name = "FILE|HEX")]
    signer: Option<String>,

    /// A checkpoint of this store that was kept elsewhere.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
}

impl Verify {
    /// Looks, and prints.
    pub(super) fn run(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let options = VerifyOptions {
            key: self.signer.as_deref().map(public_key).transpose()?,
            anchor: self.checkpoint.as_deref().map(read).transpose()?,
            keys: None,
        };
        let report =
            verify(&self.directory, &options).map_err(|error| Failure::Unverified(error.to_string()))?;
        let findings = u64::try_from(report.findings.len()).unwrap_or(u64::MAX);
        let findings = findings.saturating_add(report.findings_left_out);
        console.show(&VerifyView::from(report))?;
        if findings == 0 { Ok(()) } else { Err(Failure::Tampered(findings)) }
    }
}

pub(in crate::verb) fn public_key(word: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = PublicKey::parse(word) {
        return Ok(key);
    }
    let text = read(Path::new(word))?;
    let text = String::from_utf8_lossy(&text);
    PublicKey::parse(&text).map_err(|error| Failure::Unverified(format!("{word}: {error}")))
}

pub(in crate::verb) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let denied = |error| Failure::from(FileError::Read { path: path.display().to_string(), error });
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(denied)?;
    file.take(FILE_MAX_BYTES).read_to_end(&mut bytes).map_err(denied)?;
    Ok(bytes)
}
