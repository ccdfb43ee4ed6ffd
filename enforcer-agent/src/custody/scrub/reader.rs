//! Reading back: what a place of a device should hold after it was overwritten, and whether it does. The places are drawn
//! after the scrubber has ended, so that it cannot know them.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use enforcer_core::device::class::Kind;
use sha2::{Digest as _, Sha256};

use super::{Job, ScrubError};

/// Bytes of a place.
pub(super) const BLOCK: usize = 4096;
const BLOCK_BYTES: u64 = 4096;
/// How many places get a canary before the scrub.
const CANARIES: u64 = 8;

/// A device as a file: where it is, with `{number}`, `{major}` and `{minor}` replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of the device node.
    pub path: String,
    /// Its length, where it cannot be asked for.
    pub bytes: Option<u64>,
    /// It must be the device of the job; false in tests on plain files.
    pub is_device: bool,
}

impl Place {
    /// Opens it for reading and writing.
    pub(super) fn open(&self, job: &Job) -> Result<(File, u64), ScrubError> {
        let path = PathBuf::from(fill(&self.path, job));
        let at = path.display().to_string();
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(libc::O_NOFOLLOW);
        let mut file = options.open(&path).map_err(ScrubError::io(at.clone()))?;
        let facts = file.metadata().map_err(ScrubError::io(at.clone()))?;
        let kind = match facts.file_type() {
            kind if kind.is_block_device() => Some(Kind::Block),
            kind if kind.is_char_device() => Some(Kind::Char),
            _ => None,
        };
        let (major, minor) = (nix::sys::stat::major(facts.rdev()), nix::sys::stat::minor(facts.rdev()));
        let device = &job.device;
        let is_it =
            kind == Some(device.kind) && (major, minor) == (u64::from(device.major), u64::from(device.minor));
        if self.is_device && !is_it {
            let found = kind
                .map_or_else(|| "no device".to_owned(), |kind| format!("{} {major}:{minor}", kind.letter()));
            return Err(ScrubError::Stranger { path: at, found, wanted: device.to_string() });
        }
        let bytes = match self.bytes {
            Some(bytes) => bytes,
            None => file.seek(SeekFrom::End(0)).map_err(ScrubError::io(at))?,
        };
        Ok((file, bytes))
    }
}

/// Replaces the words in braces.
pub(super) fn fill(text: &str, job: &Job) -> String {
    text.replace("{device}", &job.key.to_string())
        .replace("{number}", &job.key.number.to_string())
        .replace("{major}", &job.device.major.to_string())
        .replace("{minor}", &job.device.minor.to_string())
        .replace("{nonce}", &crate::hex::hex(&job.nonce))
}

/// What should be there afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing but zeros.
    Zeros,
    /// For each block a digest over the nonce and its number, again and again.
    Pattern,
}

impl Content {
    /// Of a block.
    pub(super) fn block(self, nonce: &[u8; 32], index: u64) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        if self == Self::Pattern {
            let digest = Sha256::new().chain_update(nonce).chain_update(index.to_le_bytes()).finalize();
            for part in block.chunks_mut(digest.len()) {
                part.copy_from_slice(&digest);
            }
        }
        block
    }
}

/// Reads places back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Of which device.
    pub place: Place,
    /// What should be there.
    pub content: Content,
    /// How many places; `None` for all.
    pub samples: Option<u64>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) samples: u64,
    pub(super) mismatches: u64,
    pub(super) bytes: u64,
}

impl Reader {
    /// Writes canaries that the scrub must remove, and reads them: a device that does not keep them proves nothing later.
    pub(super) fn plant(&self, job: &Job) -> Result<(), ScrubError> {
        let (file, bytes) = self.place.open(job)?;
        for draw in 0..CANARIES {
            let (offset, length) = extent(place_of(b"canary", &job.seed, draw, bytes), bytes);
            let canary = canary(job, draw);
            let part = canary.get(..length).unwrap_or_default();
            file.write_all_at(part, offset).map_err(ScrubError::io("write a canary"))?;
            let mut back = vec![0; length];
            file.read_exact_at(&mut back, offset).map_err(|_| ScrubError::Canary)?;
            if back != part {
                return Err(ScrubError::Canary);
            }
        }
        file.sync_all().or_else(unless_unsupported).map_err(ScrubError::io("write canaries"))
    }

    /// Reads the places back that held canaries, and others, or all.
    pub(super) fn read(&self, job: &Job) -> Result<Seen, ScrubError> {
        let (file, bytes) = self.place.open(job)?;
        let mut seen = Seen { bytes, ..Seen::default() };
        let blocks = bytes.div_ceil(BLOCK_BYTES);
        if blocks == 0 {
            return Ok(seen);
        }
        match self.samples {
            None => (0..blocks).for_each(|index| self.compare(job, &file, index, &mut seen)),
            Some(samples) => {
                for draw in 0..CANARIES {
                    self.compare(job, &file, place_of(b"canary", &job.seed, draw, bytes), &mut seen);
                }
                for draw in 0..samples {
                    self.compare(job, &file, place_of(b"sample", &job.seed, draw, bytes), &mut seen);
                }
                // The end is where short writes show.
                self.compare(job, &file, blocks - 1, &mut seen);
            }
        }
        Ok(seen)
    }

    fn compare(&self, job: &Job, file: &File, index: u64, seen: &mut Seen) {
        let (offset, length) = extent(index, seen.bytes);
        let mut back = vec![0; length];
        let wanted = self.content.block(&job.nonce, index);
        let is_right =
            file.read_exact_at(&mut back, offset).is_ok() && wanted.get(..length) == Some(&back[..]);
        seen.samples = seen.samples.saturating_add(1);
        if !is_right {
            seen.mismatches = seen.mismatches.saturating_add(1);
        }
    }
}

/// Some character devices have nothing to write back.
pub(super) fn unless_unsupported(error: std::io::Error) -> std::io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::ENOTSUP | libc::ENOSYS) => Ok(()),
        _ => Err(error),
    }
}

/// The number of a drawn block.
fn place_of(what: &[u8], seed: &[u8; 32], draw: u64, bytes: u64) -> u64 {
    let digest =
        Sha256::new().chain_update(what).chain_update(seed).chain_update(draw.to_le_bytes()).finalize();
    let mut word = [0; 8];
    word.copy_from_slice(digest.get(..8).unwrap_or(&[0; 8]));
    let blocks = bytes.div_ceil(BLOCK_BYTES).max(1);
    u64::from_le_bytes(word) % blocks
}

/// Where a block is, and how much of it there is.
pub(super) fn extent(index: u64, bytes: u64) -> (u64, usize) {
    let offset = index.saturating_mul(BLOCK_BYTES);
    let length = bytes.saturating_sub(offset).min(BLOCK_BYTES);
    (offset, usize::try_from(length).unwrap_or(BLOCK))
}

fn canary(job: &Job, draw: u64) -> [u8; BLOCK] {
    Content::Pattern.block(&job.seed, draw ^ u64::MAX)
}
