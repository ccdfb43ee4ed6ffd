//! Other people's programs.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::heard::Client;

/// The virtual environment that `cargo xtask setup` makes.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/identity/clients");

/// A program of the virtual environment.
pub(crate) fn of_python(name: &str) -> Result<PathBuf> {
    let path = Path::new(PYTHON).join(name);
    ensure!(path.exists(), "{} is not there: run `cargo xtask setup`", path.display());
    Ok(path)
}

/// py-spiffe inside a workload.
pub(crate) fn python(client: &Client, words: &[&str]) -> Result<Command> {
    let mut command = client.command(of_python("python")?)?;
    command.arg(Path::new(CLIENTS).join("fetch.py")).args(words);
    Ok(command)
}

/// Runs a program to its end; it must succeed.
pub(crate) fn run(command: &mut Command, input: &str) -> Result<String> {
    let (succeeded, out) = outcome(command, input)?;
    if !succeeded {
        bail!("{command:?}: {out}");
    }
    Ok(out)
}

/// Runs a program to its end: whether it succeeded, and all it said.
pub(crate) fn outcome(command: &mut Command, input: &str) -> Result<(bool, String)> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
    // A program that ends before it read everything is judged by how it ends.
    let _judged = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
}
