//! Finds the kernel programs, so that the agent can carry them inside.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=ENFORCER_BPF_OBJECT");
    let object = std::env::var_os("ENFORCER_BPF_OBJECT").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/enforcer.o"),
        PathBuf::from,
    );
    println!("cargo:rerun-if-changed={}", object.display());
    assert!(
        object.is_file(),
        "the kernel programs are not built: {} is missing. Run `cargo xtask build-ebpf` first, or name the object in ENFORCER_BPF_OBJECT.",
        object.display()
    );
    println!("cargo:rustc-env=ENFORCER_BPF_OBJECT={}", object.display());
}
