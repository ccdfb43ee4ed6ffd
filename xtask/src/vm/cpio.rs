//! Writes the archive that a kernel unpacks as its first file system: cpio in the `newc` form, uncompressed.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Component, Path};

const MAGIC: &str = "070701";
const TRAILER: &str = "TRAILER!!!";
const DIRECTORY: u32 = 0o040_755;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_777;
const CHARACTER: u32 = 0o020_600;

/// An archive that is being written. Every entry belongs to root.
pub(super) struct Archive<W> {
    out: W,
    entries: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(super) const fn new(out: W) -> Self {
        Self { out, entries: 0, directories: BTreeSet::new() }
    }

    /// A directory, and those above it.
    pub(super) fn directory(&mut self, path: &Path) -> io::Result<()> {
        let mut whole = String::new();
        for part in path.components() {
            let Component::Normal(part) = part else { continue };
            if !whole.is_empty() {
                whole.push('/');
            }
            whole.push_str(&part.to_string_lossy());
            if self.directories.insert(whole.clone()) {
                self.entry(&whole, DIRECTORY, &[], (0, 0))?;
            }
        }
        Ok(())
    }

    /// A regular file, with the directories above it; `mode` are its permissions.
    pub(super) fn file(&mut self, path: &Path, mode: u32, contents: &[u8]) -> io::Result<()> {
        self.above(path)?;
        self.entry(&name(path), REGULAR | mode, contents, (0, 0))
    }

    /// A symbolic link, with the directories above it.
    pub(super) fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        self.above(path)?;
        self.entry(&name(path), SYMLINK, target.to_string_lossy().as_bytes(), (0, 0))
    }

    /// The node of a character device, with the directories above it.
    pub(super) fn device(&mut self, path: &Path, major: u32, minor: u32) -> io::Result<()> {
        self.above(path)?;
        self.entry(&name(path), CHARACTER, &[], (major, minor))
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry(TRAILER, 0, &[], (0, 0))?;
        self.out.flush()
    }

    fn above(&mut self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| self.directory(parent))
    }

    fn entry(&mut self, name: &str, mode: u32, contents: &[u8], device: (u32, u32)) -> io::Result<()> {
        self.entries += 1;
        let too_large = |_| io::Error::other(format!("{name} is too large for an archive"));
        let size = u32::try_from(contents.len()).map_err(too_large)?;
        let name_size = u32::try_from(name.len() + 1).map_err(too_large)?;
        // Inode, mode, owner, group, links, time, size, device, node's device, length of the name, checksum.
        let (major, minor) = device;
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
        let mut head = MAGIC.to_owned();
        head.extend(fields.map(|field| format!("{field:08X}")));
        head.push_str(name);
        head.push('\0');
        self.padded(head.as_bytes())?;
        self.padded(contents)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        let beyond = bytes.len().next_multiple_of(4) - bytes.len();
        self.out.write_all([0; 4].get(..beyond).unwrap_or_default())
    }
}

/// A path as it stands in an archive: without the root.
fn name(path: &Path) -> String {
    path.strip_prefix("/").unwrap_or(path).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_directories_come_once_and_first() {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.file(Path::new("/a/b/c"), 0o755, b"hello").unwrap();
        archive.file(Path::new("/a/b/d"), 0o600, b"").unwrap();
        archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(text.matches(MAGIC).count(), 5);
        assert!(text.starts_with("07070100000001000041ED"));
        let places = ["a\0", "a/b\0", "a/b/c\0", "hello", "a/b/d\0", TRAILER].map(|part| text.find(part));
        assert!(places.is_sorted() && places.iter().all(Option::is_some), "{places:?}");
    }
}
