//! `cargo xtask build-ebpf`: the kernel programs, for the kernel's target, with their own flags and lock file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::setup::{self, Toolchain};
use crate::{root, shell};

const TARGET: &str = "bpfel-unknown-none";
/// What the object is made of, from the root of the repository.
const SOURCES: [&str; 6] = [
    "enforcer-ebpf/src",
    "enforcer-ebpf/Cargo.toml",
    "enforcer-ebpf/Cargo.lock",
    "enforcer-ebpf/.cargo",
    "enforcer-common/src",
    "enforcer-common/Cargo.toml",
];
/// Flags for the host's compiler that would replace the ones of `enforcer-ebpf/.cargo/config.toml`.
const FOREIGN: [&str; 7] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
];

/// Builds the object unless it is newer than everything it is made of.
pub(crate) fn build() -> Result<()> {
    if is_fresh()? {
        return Ok(());
    }
    let toolchain = setup::ready()?;
    let output = root::workspace().join("target/bpf/build");
    let mut command = compiler(&toolchain);
    command.args(["--release", "--target", TARGET, "--target-dir"]).arg(&output);
    shell::run(command.current_dir(root::workspace().join("enforcer-ebpf")))?;
    publish(&output.join(TARGET).join("release/enforcer"))
}

fn compiler(toolchain: &Toolchain) -> Command {
    let mut command = match toolchain {
        Toolchain::Debian => {
            let mut command = shell::cargo(&["build", "--quiet"]);
            // One unstable feature of aya-ebpf, which a stable compiler grants when asked this way.
            command.env("RUSTC", setup::DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            command
        }
        Toolchain::Nightly => {
            let mut command = Command::new("rustup");
            command.args(["run", "nightly", "cargo", "build", "--quiet", "-Z", "build-std=core"]);
            command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").env_remove("RUSTC");
            command
        }
    };
    for name in FOREIGN {
        command.env_remove(name);
    }
    command.env("PATH", search_path());
    command
}

/// The search path with the place where `cargo install` puts the linker.
fn search_path() -> std::ffi::OsString {
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    places.extend(setup::linker_in_cargo_home().parent().map(Path::to_path_buf));
    std::env::join_paths(places).unwrap_or_default()
}

/// Replaces the object at once, so that no build of the agent sees half of it.
fn publish(built: &Path) -> Result<()> {
    let object = root::bpf_object();
    let new = object.with_extension("new");
    fs::copy(built, &new).with_context(|| format!("{} to {}", built.display(), new.display()))?;
    fs::rename(&new, &object).with_context(|| format!("{}", object.display()))
}

fn is_fresh() -> Result<bool> {
    let Ok(built) = fs::metadata(root::bpf_object()).and_then(|object| object.modified()) else {
        return Ok(false);
    };
    let mut newest = SystemTime::UNIX_EPOCH;
    for source in SOURCES {
        newest = newest.max(newest_in(&root::workspace().join(source))?);
    }
    Ok(newest < built)
}

fn newest_in(path: &Path) -> Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| format!("{}", path.display()))?;
    let mut newest = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(newest_in(&entry?.path())?);
        }
    }
    Ok(newest)
}
