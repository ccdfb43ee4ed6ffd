//! Removing the walls: the only thing that does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::KernelError;
use super::pins;

/// Removes every link and table of every ABI version below the pin root, and names each. Programs go with their
/// last link. What no agent made stays.
///
/// # Errors
/// Something could not be removed; what is named in the log before it is gone.
pub fn uninstall(pin_root: &Path) -> Result<Vec<String>, KernelError> {
    let mut removed = Vec::new();
    let entries = match fs::read_dir(pin_root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(removed),
        entries => entries.map_err(KernelError::file("read", pin_root))?,
    };
    let mut foreign = false;
    for entry in entries {
        let path = entry.map_err(KernelError::file("read", pin_root))?.path();
        if pins::is_version(&path) {
            pins::remove_tree(&path, &mut removed)?;
        } else {
            tracing::warn!(path = %path.display(), "not ours, and so left where it is");
            foreign = true;
        }
    }
    if !foreign {
        fs::remove_dir(pin_root).map_err(KernelError::file("remove", pin_root))?;
    }
    Ok(removed)
}
