//! Devices with memory, as their users see it: what one tenant writes, and whether the next one finds it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_lab::disk::{Disk, MAJOR};
use enforcer_lab::outcome::Outcome;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// Keeps a disk that goes with this process, and makes a node for it.
pub(crate) fn disk(node: &Path, kibibytes: u64) -> Result<()> {
    let disk = Disk::new(kibibytes * 1024)?;
    let number = makedev(MAJOR.into(), disk.minor().into());
    mknod(node, SFlag::S_IFBLK, Mode::S_IRUSR | Mode::S_IWUSR, number)
        .with_context(|| node.display().to_string())?;
    println!("ready");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Writes a word again and again until the device is full.
pub(crate) fn fill(path: &Path, word: &str) -> Outcome {
    let write = || {
        let bytes = all(path)?.len();
        let text = word.bytes().cycle().take(bytes).collect::<Vec<_>>();
        let mut device = File::options().write(true).open(path)?;
        device.write_all(&text)?;
        device.sync_all()
    };
    Outcome::from(write())
}

/// Whether a word is anywhere on the device.
pub(crate) fn find(path: &Path, word: &str) -> Result<bool> {
    let bytes = all(path).with_context(|| path.display().to_string())?;
    Ok(bytes.windows(word.len()).any(|part| part == word.as_bytes()))
}

fn all(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
