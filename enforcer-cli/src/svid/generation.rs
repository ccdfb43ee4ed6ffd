//! One generation of files: a directory that is written once, and then only read or removed.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::files::{FEDERATED, Files};

/// For whoever runs us, and nobody else.
pub(super) const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Writes all of it to the disk.
pub(super) fn write(dir: &Path, files: &Files) -> io::Result<()> {
    create_directory(dir)?;
    for (name, text) in &files.top {
        write_file(&dir.join(name), text)?;
    }
    if !files.federated.is_empty() {
        write_federated(&dir.join(FEDERATED), files)?;
    }
    sync(dir)
}

/// True when the directory holds these files and no others.
pub(super) fn holds(dir: &Path, files: &Files) -> io::Result<bool> {
    let federated = dir.join(FEDERATED);
    let same_names = count(dir)? == files.names().count() && count(&federated)? == files.federated.len();
    let same = |dir: &Path, name: &str, text: &str| read_is(&dir.join(name), text);
    Ok(same_names
        && files.top.iter().all(|(name, text)| same(dir, name, text))
        && files.federated.iter().all(|(name, text)| same(&federated, name, text)))
}

/// Makes what was written to a directory survive a loss of power.
pub(super) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn create_directory(dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(DIRECTORY_MODE).create(dir)
}

fn write_federated(dir: &Path, files: &Files) -> io::Result<()> {
    create_directory(dir)?;
    for (name, text) in &files.federated {
        write_file(&dir.join(name), text)?;
    }
    sync(dir)
}

fn write_file(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Entries of a directory; none when it is not there.
fn count(dir: &Path) -> io::Result<usize> {
    match fs::read_dir(dir) {
        Ok(entries) => Ok(entries.count()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// True when the file holds the text; what cannot be read does not.
fn read_is(path: &Path, text: &str) -> bool {
    let mut found = zeroize::Zeroizing::new(vec![0; text.len() + 1]);
    let read = File::open(path).and_then(|mut file| read_full(&mut file, &mut found));
    read.is_ok_and(|length| found.get(..length) == Some(text.as_bytes()))
}

fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            read => length += read,
        }
    }
    Ok(length)
}
