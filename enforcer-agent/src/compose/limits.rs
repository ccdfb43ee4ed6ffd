//! What the process may have of the system.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::{debug, warn};

/// Raises the number of files that may be open to what the service manager allows: a flow in the tunnel takes two. The
/// lower bound that processes begin with is for programs that use select(2).
pub(super) fn raise_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(hard)
    });
    match raised {
        Ok(files) => debug!(files, "files that may be open"),
        Err(error) => warn!(%error, "the number of open files stays as it is"),
    }
}
