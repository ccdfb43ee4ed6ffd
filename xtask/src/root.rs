//! Where things are.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The kernel programs, where the agent's build looks for them.
pub(crate) fn bpf_object() -> PathBuf {
    workspace().join("target/bpf/enforcer.o")
}
