//! Way two: a nightly from rustup, which compiles `core` for the kernel's target from its sources.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::shell;

/// What a person types.
pub(crate) const INSTALL: &str = "rustup toolchain install nightly --profile minimal --component rust-src";

/// A nightly is there with the sources of `core`.
pub(crate) fn is_installed() -> bool {
    let sysroot = shell::output("rustup", &["run", "nightly", "rustc", "--print", "sysroot"]);
    sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/core").is_dir())
}

pub(crate) fn install() -> Result<()> {
    eprintln!("installing a nightly with rust-src by way of rustup");
    let mut words = INSTALL.split(' ');
    let mut command = Command::new(words.next().unwrap_or("rustup"));
    shell::run(command.args(words))
}
