//! What an operator does with key-encryption keys in a file: make one, add a newer one, drop those that nothing
//! needs any more.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::error::CustodyError;
use super::keyfile::{self, Key};
use super::{drawer, name, place, vault};

/// Makes a key file and an empty vault. Neither replaces anything.
///
/// # Errors
/// There is a key file already, the vault holds something that another key has sealed, or the file system refuses.
pub fn init(key_file: &Path, vault_directory: &Path) -> Result<String, CustodyError> {
    place::prepare(vault_directory)?;
    if !key_file.exists()
        && let Some((id, drawer)) = needed(vault_directory)?.into_iter().next()
    {
        return Err(CustodyError::KeyLost { vault: vault_directory.to_owned(), drawer, id });
    }
    let directory = key_file.parent().unwrap_or(Path::new("/"));
    place::above(directory)?;
    let key = keyfile::generate()?;
    let id = key.id.clone();
    match place::create(key_file, keyfile::print(&[key]).as_bytes(), true) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(CustodyError::Exists(key_file.to_owned()));
        }
        Err(error) => return Err(CustodyError::io("create", key_file, error)),
    }
    place::sync(directory)?;
    Ok(id)
}

/// Adds a key that seals from now on; the others still open. Returns its id. The agent takes it up when it
/// re-wraps its vault.
///
/// # Errors
/// There is no key file, it is not ours alone, or the file system refuses; it is as it was.
pub fn kek_rotate(key_file: &Path) -> Result<String, CustodyError> {
    let mut keys = read(key_file)?;
    let key = keyfile::generate()?;
    let id = key.id.clone();
    keys.insert(0, key);
    write(key_file, &keys)?;
    Ok(id)
}

/// What became of the older keys.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Ids of those that were dropped.
    pub dropped: Vec<String>,
    /// Ids of those that are still needed, each with a drawer that needs it.
    pub kept: Vec<(String, String)>,
}

/// Drops the older keys that no drawer of the vault needs. One that is needed stays.
///
/// # Errors
/// A drawer cannot be read, or the key file; nothing was dropped.
pub fn kek_prune(key_file: &Path, vault_directory: &Path) -> Result<Pruned, CustodyError> {
    let _lock = vault::lock(vault_directory)?;
    let needed = needed(vault_directory)?;
    let (mut kept, mut pruned) = (Vec::new(), Pruned::default());
    for key in read(key_file)? {
        match needed.get(&key.id) {
            _ if kept.is_empty() => kept.push(key),
            Some(drawer) => {
                pruned.kept.push((key.id.clone(), drawer.clone()));
                kept.push(key);
            }
            None => pruned.dropped.push(key.id),
        }
    }
    if !pruned.dropped.is_empty() {
        write(key_file, &kept)?;
    }
    Ok(pruned)
}

/// Keys by id, each with a drawer that needs it.
fn needed(vault_directory: &Path) -> Result<BTreeMap<String, String>, CustodyError> {
    let mut needed = BTreeMap::new();
    for drawer in place::list(vault_directory)? {
        if name::drawer(&drawer).is_ok()
            && let Some(id) = drawer::key_id(vault_directory, &drawer)?
        {
            needed.insert(id, drawer);
        }
    }
    Ok(needed)
}

fn read(key_file: &Path) -> Result<Vec<Key>, CustodyError> {
    let text = place::read(key_file, place::OTHERS, keyfile::BYTES_MAX)?
        .ok_or_else(|| CustodyError::NoKey { place: key_file.display().to_string(), more: "" })?;
    keyfile::parse(key_file, &text)
}

fn write(key_file: &Path, keys: &[Key]) -> Result<(), CustodyError> {
    let temporary: PathBuf = {
        let mut named = key_file.as_os_str().to_owned();
        named.push(".new");
        named.into()
    };
    // What a command that was interrupted left behind.
    place::remove(&temporary)?;
    place::replace(key_file, &temporary, keyfile::print(keys).as_bytes(), true)
}
