//! What one core encrypts: no carrier that encrypts and decrypts can be cheaper.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::figure::Figure;
use crate::suite::Effort;

/// What a TLS record holds at most.
const RECORD_BYTES: &str = "16384";
const CIPHERS: [&str; 2] = ["aes-128-gcm", "aes-256-gcm"];

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let seconds = match effort {
        Effort::Full => "3",
        Effort::Quick => "1",
    };
    let mut figures = Vec::new();
    for cipher in CIPHERS {
        let bytes = speed(cipher, seconds)?;
        figures.push(Figure::once(format!("limit/{cipher}"), "Gbit/s", bytes * 8.0 / 1e9).note(format!(
            "openssl speed, one core, records of {RECORD_BYTES} bytes; {:.3} s/GB",
            1e9 / bytes
        )));
    }
    Ok(figures)
}

/// Bytes a second.
fn speed(cipher: &str, seconds: &str) -> Result<f64> {
    let words = ["speed", "-mr", "-seconds", seconds, "-bytes", RECORD_BYTES, "-evp", cipher];
    let output = Command::new("openssl").args(words).output().context("openssl")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "openssl speed {cipher}: {text}");
    // `+F:<index>:<cipher>:<bytes a second>`
    let line = text.lines().find_map(|line| line.strip_prefix("+F:")).with_context(|| text.to_string())?;
    Ok(line.split(':').nth(2).with_context(|| line.to_owned())?.parse()?)
}
