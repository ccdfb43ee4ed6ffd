//! Way one: Debian's packages. No nightly, no download of a toolchain, no `build-std`.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// The compiler that emits the bitcode.
pub(crate) const RUSTC: &str = "/usr/bin/rustc";
/// What a person types first.
pub(crate) const UPDATE: &str = "apt-get update";
/// What a person types then.
pub(crate) const INSTALL: &str =
    "apt-get install -y rustc-web libstd-rust-web-dev-bpf llvm-22-dev libpolly-22-dev libzstd-dev";
/// Where Debian puts LLVM; without it the linker's build says "unable to find library -lLLVM".
pub(crate) const LLVM_PREFIX: &str = "/usr/lib/llvm-22";

const CORE_PACKAGE: &str = "libstd-rust-web-dev-bpf";
const TARGET: &str = "bpfel-unknown-none";

/// The compiler is there, and so is `core` for the kernel's target.
pub(crate) fn is_installed() -> bool {
    let sysroot = shell::output(RUSTC, &["--print", "sysroot"]);
    sysroot.is_some_and(|sysroot| Path::new(&sysroot).join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

/// The archive has the packages; asking needs root, because the lists may be old.
pub(crate) fn is_offered() -> Result<bool> {
    if !shell::has("apt-get") {
        return Ok(false);
    }
    if nix::unistd::geteuid().is_root() {
        update()?;
    }
    let policy = shell::output("apt-cache", &["policy", CORE_PACKAGE]).unwrap_or_default();
    Ok(policy.contains("Candidate:") && !policy.contains("Candidate: (none)"))
}

pub(crate) fn install() -> Result<()> {
    eprintln!("installing the compiler for the kernel's target from Debian's archive");
    let packages: Vec<&str> = INSTALL.split(' ').skip(3).collect();
    install_packages(&packages)
}

pub(crate) fn update() -> Result<()> {
    shell::run(&mut apt(&["update", "-q"]))
}

pub(crate) fn install_packages(packages: &[&str]) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        bail!(
            "installing packages needs root; run as root:\n  {UPDATE}\n  apt-get install -y {}",
            packages.join(" ")
        );
    }
    shell::run(apt(&["install", "-y", "-q", "--no-install-recommends"]).args(packages))
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    command
}
