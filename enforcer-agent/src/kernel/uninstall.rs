//! Removing the walls: the only thing that does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::error::KernelError;
use super::pins;

/// Removes every link and table below the pin root, of every ABI version, and names each. Programs go with
/// their last link.
///
/// # Errors
/// Something could not be removed; what is named in the log before it is gone.
pub fn uninstall(pin_root: &Path) -> Result<Vec<String>, KernelError> {
    let mut removed = Vec::new();
    match fs::metadata(pin_root) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(removed),
        Err(error) => {
            return Err(KernelError::File { operation: "read", path: pin_root.to_owned(), error });
        }
        Ok(_) => pins::remove_tree(pin_root, &mut removed)?,
    }
    Ok(removed)
}
