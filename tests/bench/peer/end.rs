//! Starting a peer in a place, and hearing what it says.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::enter::Place;
use serde::de::DeserializeOwned;

/// What a peer that serves says once it listens.
pub(super) const READY: &str = "ready";

/// A peer that serves until it is dropped.
pub(crate) struct Serving(Child);

impl Serving {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(place: &Place, arguments: &[&str]) -> Result<Self> {
        let mut command = place.command(std::env::current_exe()?)?;
        command.arg("peer").args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut serving = Self(command.spawn().with_context(|| arguments.join(" "))?);
        let out = serving.0.stdout.take().context("standard output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        ensure!(line.trim() == READY, "peer {}: {line}", arguments.join(" "));
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Runs a peer to its end, and takes its answer.
pub(crate) fn ask<T: DeserializeOwned>(place: &Place, arguments: &[&str]) -> Result<T> {
    let mut command = place.command(std::env::current_exe()?)?;
    let output = command.arg("peer").args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(said.trim()).with_context(|| {
        format!("peer {}: {said}{}", arguments.join(" "), String::from_utf8_lossy(&output.stderr))
    })
}
