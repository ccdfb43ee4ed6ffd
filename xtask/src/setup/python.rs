//! The virtual environment of the levels `identity` and `evidence`: programs that others wrote, pinned by version.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};

use super::tools;
use crate::{root, shell};

const REQUIREMENTS: &str = "tests/requirements.txt";
const HOME: &str = "target/python";
/// A copy of the requirements that the environment was made from.
const STAMP: &str = "made-from.txt";

/// Makes the environment, unless the one that is there was made from the same requirements.
///
/// # Errors
/// It could not be made; what to type is in the error.
pub(crate) fn ensure() -> Result<()> {
    let (home, requirements) = (root::workspace().join(HOME), root::workspace().join(REQUIREMENTS));
    let wanted = fs::read(&requirements).with_context(|| REQUIREMENTS)?;
    let stamp = home.join(STAMP);
    if fs::read(&stamp).is_ok_and(|made| made == wanted) {
        return Ok(());
    }
    let python = tools::python()?;
    eprintln!("installing {REQUIREMENTS} into {HOME}");
    // Not there at all, or half of it, or of another Python.
    shell::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(&home))?;
    let mut install = Command::new(home.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements);
    shell::run(&mut install).context("the packages that the levels `identity` and `evidence` use")?;
    fs::write(&stamp, wanted).with_context(|| format!("{}", stamp.display()))
}
