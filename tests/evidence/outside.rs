//! Other people's programs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// The virtual environment that `cargo xtask setup` makes.
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin");
const CLIENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/evidence/clients");

/// A program of the virtual environment.
pub(crate) fn of_python(name: &str) -> Result<PathBuf> {
    let path = Path::new(PYTHON).join(name);
    ensure!(path.exists(), "{} is not there: run `cargo xtask setup`", path.display());
    Ok(path)
}

/// One of our clients in Python.
pub(crate) fn client(name: &str) -> Result<Command> {
    let mut command = Command::new(of_python("python")?);
    command.arg(Path::new(CLIENTS).join(name));
    Ok(command)
}

/// Runs a program to its end; it must succeed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let (succeeded, out, err) = outcome(command)?;
    if !succeeded {
        bail!("{command:?}: {out}{err}");
    }
    Ok(out)
}

/// Runs a program to its end; its last line is JSON.
pub(crate) fn json(command: &mut Command) -> Result<Value> {
    let out = run(command)?;
    let last = out.lines().next_back().with_context(|| format!("{command:?} says nothing"))?;
    serde_json::from_str(last).with_context(|| out.clone())
}

/// Runs a program to its end: whether it succeeded, and what it said.
pub(crate) fn outcome(command: &mut Command) -> Result<(bool, String, String)> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

/// A program that runs until it is dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().with_context(|| format!("{command:?}"))?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}
