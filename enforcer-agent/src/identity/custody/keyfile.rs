//! The key file: a first line with the version, then one key a line, the current one first.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::error::CustodyError;
use super::frame::{KEY_BYTES, KEY_ID_MAX_BYTES, random};
use crate::hex::hex;

const VERSION: &str = "enforcer-key-encryption-keys 1";
/// Keys that a file may hold.
const KEYS_MAX: usize = 64;
/// Largest key file.
pub(super) const BYTES_MAX: u64 = 16 << 10;

/// A key-encryption key.
pub(super) struct Key {
    pub(super) id: String,
    pub(super) bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// A new key with a name of its own.
pub(super) fn generate() -> Result<Key, CustodyError> {
    let name = random::<8>()?;
    let id = hex(name.as_slice());
    Ok(Key { id, bytes: random()? })
}

/// The text of a file with these keys.
pub(super) fn print(keys: &[Key]) -> Zeroizing<String> {
    // One allocation: a growing text would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(VERSION.len() + 1 + keys.len() * 128));
    text.push_str(VERSION);
    text.push('\n');
    for key in keys {
        text.push_str(&key.id);
        text.push(' ');
        STANDARD.encode_string(key.bytes.as_slice(), &mut text);
        text.push('\n');
    }
    text
}

/// Reads the text of a file: every line counts, and there is at least one key.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<Key>, CustodyError> {
    let error = |line, what| CustodyError::KeyFile { path: path.to_owned(), line, what };
    let text = std::str::from_utf8(bytes).map_err(|_| error(1, "the file is no text"))?;
    let mut lines = text.lines();
    if lines.next() != Some(VERSION) {
        return Err(error(1, "the first line is not \"enforcer-key-encryption-keys 1\""));
    }
    let (mut keys, mut ids) = (Vec::new(), BTreeSet::new());
    for (number, line) in (2..).zip(lines) {
        let key = parse_line(line).map_err(|what| error(number, what))?;
        if !ids.insert(key.id.clone()) {
            return Err(error(number, "the id of this key is used twice"));
        }
        keys.push(key);
        if keys.len() > KEYS_MAX {
            return Err(error(number, "there are too many keys"));
        }
    }
    if keys.is_empty() { Err(error(2, "there is no key")) } else { Ok(keys) }
}

fn parse_line(line: &str) -> Result<Key, &'static str> {
    let (id, key) = line.split_once(' ').ok_or("a key is an id, a space and 32 bytes in base 64")?;
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    if id.is_empty() || id.len() > KEY_ID_MAX_BYTES || !id.bytes().all(plain) {
        return Err("the id of a key is one to 64 letters, digits, '.', '-' or '_'");
    }
    let decoded = Zeroizing::new(STANDARD.decode(key).map_err(|_| "the key is not base 64")?);
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if decoded.len() != KEY_BYTES {
        return Err("the key has not 32 bytes");
    }
    bytes.copy_from_slice(&decoded);
    Ok(Key { id: id.to_owned(), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(text: &str) -> (usize, &'static str) {
        match parse(Path::new("kek"), text.as_bytes()) {
            Err(CustodyError::KeyFile { line, what, .. }) => (line, what),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{text:?} was taken"),
        }
    }

    #[test]
    fn what_is_printed_is_read_and_the_first_key_stays_first() {
        let keys = [generate().unwrap(), generate().unwrap()];
        let read = parse(Path::new("kek"), print(&keys).as_bytes()).unwrap();
        let pairs = read.iter().zip(&keys);
        assert!(pairs.clone().all(|(read, key)| read.id == key.id && *read.bytes == *key.bytes));
        assert_eq!(pairs.count(), 2);
    }

    #[test]
    fn every_wrong_line_is_named() {
        let key = STANDARD.encode([7; 32]);
        let file = |lines: &str| format!("{VERSION}\n{lines}");
        assert_eq!(what("").0, 1);
        assert_eq!(what("enforcer-key-encryption-keys 2\n").0, 1);
        assert_eq!(what(&file("")), (2, "there is no key"));
        assert_eq!(what(&file("a")).0, 2);
        assert_eq!(what(&file(&format!("a/b {key}"))).0, 2);
        assert_eq!(what(&file(&format!("a {key}\nb !"))), (3, "the key is not base 64"));
        assert_eq!(what(&file(&format!("a {}", STANDARD.encode([7; 31])))).1, "the key has not 32 bytes");
        assert_eq!(what(&file(&format!("a {key}\na {key}"))).0, 3);
        assert_eq!(what(&file(&format!("a {key}\n\n"))).0, 3);
        let many: String = (0..=KEYS_MAX).map(|n| format!("k{n} {key}\n")).collect();
        assert_eq!(what(&file(&many)).1, "there are too many keys");
        assert!(parse(Path::new("kek"), &[0xff]).is_err());
    }
}
