//! Names in a vault: they become names of files, and are part of what is sealed.

use super::error::CustodyError;

/// Longest name of a drawer: a trust domain's.
pub(super) const DRAWER_MAX_BYTES: usize = 255;
/// Longest name of an item: a file's, with room for the name it has while it is written.
pub(super) const ITEM_MAX_BYTES: usize = 200;
/// The item that holds a drawer's own key.
pub(super) const KEY: &str = "key";

/// Checks the name of a drawer.
pub(super) fn drawer(name: &str) -> Result<(), CustodyError> {
    plain(name, DRAWER_MAX_BYTES)
}

/// Checks the name of an item.
pub(super) fn item(name: &str) -> Result<(), CustodyError> {
    if name == KEY {
        return Err(CustodyError::Name(name.to_owned()));
    }
    plain(name, ITEM_MAX_BYTES)
}

fn plain(name: &str, bytes_max: usize) -> Result<(), CustodyError> {
    let allowed = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, b'.' | b'-' | b'_');
    let fits = !name.is_empty() && name.len() <= bytes_max && !name.starts_with('.');
    if fits && name.bytes().all(allowed) { Ok(()) } else { Err(CustodyError::Name(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leaves_neither_its_directory_nor_its_alphabet() {
        for good in ["red.fleet.example", "fleet", "a", "svid-0_1", &"a".repeat(200)] {
            assert!(item(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "../a", "a/b", ".new", "A", "ä", "a b", "a\0", "key", &"a".repeat(201)] {
            assert!(item(bad).is_err(), "{bad}");
        }
        assert!(drawer(&"a".repeat(255)).is_ok());
        assert!(drawer(&"a".repeat(256)).is_err());
    }
}
