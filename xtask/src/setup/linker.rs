//! `bpf-linker`: turns bitcode into an object that the kernel's loader understands.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Toolchain, debian, rustup};
use crate::shell;

/// The version that goes with the compilers; both must share LLVM's major version.
pub(crate) const VERSION: &str = "0.13.0";

/// Installs the linker when it is missing or of another version.
pub(crate) fn ensure(toolchain: &Toolchain) -> Result<()> {
    let version = shell::output("bpf-linker", &["--version"])
        .or_else(|| shell::output(in_cargo_home(), &["--version"]));
    if version.is_some_and(|version| version.ends_with(VERSION)) {
        return Ok(());
    }
    eprintln!("building bpf-linker {VERSION}, about a minute");
    let mut command = install(toolchain);
    let line = shell::line(&command);
    shell::run(&mut command).with_context(|| format!("bpf-linker is missing; install it with\n  {line}"))
}

/// Where `cargo install` puts it, also when that is not on the search path.
pub(crate) fn in_cargo_home() -> PathBuf {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    home.unwrap_or_default().join("bin/bpf-linker")
}

fn install(toolchain: &Toolchain) -> Command {
    let mut command = shell::cargo(&["install", "bpf-linker", "--version", VERSION, "--locked", "--force"]);
    // Our own target directory would be searched for a workspace that the linker is not part of.
    command.env_remove("CARGO_TARGET_DIR");
    match toolchain {
        Toolchain::Debian => {
            command.args(["--no-default-features", "--features", "llvm-22"]);
            command.env("LLVM_PREFIX", debian::LLVM_PREFIX).env("LLVM_SYS_221_PREFIX", debian::LLVM_PREFIX);
        }
        // LLVM's development files of this major version must be there; the build says so when they are not.
        Toolchain::Nightly => {
            command.args(["--no-default-features", "--features", &format!("llvm-{}", rustup::llvm_major())]);
        }
    }
    command
}
