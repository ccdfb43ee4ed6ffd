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

/// LLVM's major version in that nightly: the linker must be built with the same.
pub(crate) fn llvm_major() -> String {
    let version = shell::output("rustup", &["run", "nightly", "rustc", "-vV"]).unwrap_or_default();
    let version = version.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    version.and_then(|version| version.split('.').next()).unwrap_or("22").to_owned()
}

pub(crate) fn install() -> Result<()> {
    eprintln!("installing a nightly with rust-src by way of rustup");
    let mut words = INSTALL.split(' ');
    let mut command = Command::new(words.next().unwrap_or("rustup"));
    shell::run(command.args(words))
}
