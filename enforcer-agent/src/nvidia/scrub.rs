//! The memory job: overwrites what a GPU has of free memory, looks at samples before and after, and says what it could
//! not reach. `enforcer-agent scrub-nvidia`, a child of whoever hands a device over.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::cuda::{Context, Cuda, Piece};
use super::library::NvidiaError;
use super::pattern::{self, WINDOW};
use super::{CUDA, NVML, read};

/// Device memory comes in pages of 2 MiB; a smaller piece is not asked for.
const PAGE: usize = 2 << 20;
/// Pieces that are asked for: each failure halves the size, so that there are few.
const PIECES_MAX: usize = 65_536;
/// Bytes of a nonce.
const NONCE_BYTES: std::ops::RangeInclusive<usize> = 16..=64;
const SAMPLES_MAX: i64 = 1 << 20;

/// What no memory job reaches, whatever it covers.
const NOT_COVERED: [&str; 4] = [
    "registers, shared memory and caches of the GPU",
    "memory of the host: pinned buffers, /dev/shm, swap",
    "memory that the driver keeps for itself, and pages that were retired",
    "what this job's own context occupies",
];

/// What `scrub-nvidia` needs to know.
#[derive(Clone, Debug, Args)]
pub struct ScrubFlags {
    /// The number behind /dev/nvidia, which is not CUDA's own order
    #[arg(long, value_name = "N")]
    pub index: u32,
    /// 16 to 64 bytes that nobody could know before, hexadecimal: pattern and places of samples follow from them
    #[arg(long, value_name = "HEX")]
    pub nonce: String,
    /// Places to look at, 256 bytes each
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=SAMPLES_MAX))]
    pub samples: u32,
    /// How much of the whole memory must be covered, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 90, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub min_covered: u8,
    /// The CUDA driver library, instead of the one that the dynamic linker finds
    #[arg(long, value_name = "PATH", default_value = CUDA)]
    pub cuda_library: PathBuf,
    /// NVML, instead of the one that the dynamic linker finds
    #[arg(long, value_name = "PATH", default_value = NVML)]
    pub nvml_library: PathBuf,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScrubReport {
    /// `cuda-memset`
    pub method: &'static str,
    /// Bytes that were overwritten.
    pub bytes_covered: u64,
    /// Bytes that the device has.
    pub bytes_total: u64,
    /// Windows of 256 bytes that were read back.
    pub samples: u64,
    /// Of those, the ones that did not hold what was written.
    pub mismatches: u64,
    /// Bytes of the windows read before the overwrite that were not zero. They are counted and never shown.
    pub residue: u64,
    /// Bytes that were read before the overwrite.
    pub residue_of: u64,
    /// The device's UUID, as NVML writes it.
    pub uuid: String,
    /// Whether the device was reset: this job never does.
    pub reset: &'static str,
    /// What was not reached, in sentences.
    pub not_covered: Vec<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything that was looked at holds what was written, and enough was covered.
    Clean,
    /// Something does not hold what was written.
    Mismatch,
    /// Too little was covered.
    Short,
}

impl Verdict {
    /// The exit status; 3 is for what could not be begun or carried through, 2 for a wrong command line.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Mismatch => 4,
            Self::Short => 5,
        }
    }
}

impl ScrubReport {
    /// What is to be made of it.
    #[must_use]
    pub fn verdict(&self, min_covered: u8) -> Verdict {
        let enough =
            u128::from(self.bytes_covered) * 100 >= u128::from(self.bytes_total) * u128::from(min_covered);
        match (self.mismatches, enough && self.bytes_covered > 0) {
            (0, true) => Verdict::Clean,
            (0, false) => Verdict::Short,
            (_, _) => Verdict::Mismatch,
        }
    }
}

/// Does it.
///
/// # Errors
/// The device is not there, is in use, is cut into instances, or a call of the driver failed: then nothing is known.
pub fn scrub(flags: &ScrubFlags) -> Result<ScrubReport, NvidiaError> {
    let nonce = nonce(&flags.nonce)?;
    let gpu = read::find(&flags.nvml_library, flags.index)?;
    if gpu.mig.is("on") {
        let why = "the GPU is cut into MIG instances: no job reaches all of its memory; destroy them first";
        return Err(NvidiaError::Cannot(why.to_owned()));
    }
    match &gpu.processes {
        Ok(users) if users.is_empty() => {}
        Ok(users) => return Err(NvidiaError::Cannot(format!("the GPU is used by the processes {users:?}"))),
        Err(why) => {
            return Err(NvidiaError::Cannot(format!("whether the GPU is in use is not known: {why}")));
        }
    }
    let cuda = Cuda::open(&flags.cuda_library)?;
    let device = cuda.device(uuid(&gpu.uuid)?)?;
    let total = cuda.total(device)?;
    let mut context = cuda.context(device)?;
    take(&mut context)?;
    let lengths: Vec<usize> = context.pieces().iter().map(|piece| piece.bytes).collect();
    let before = pattern::windows(&nonce, b"before", &lengths, flags.samples);
    let residue = residue(&context, &before)?;
    for (index, piece) in context.pieces().iter().enumerate() {
        context.set_words(*piece, pattern::word(&nonce, index))?;
    }
    context.synchronize()?;
    let after = pattern::windows(&nonce, b"after", &lengths, flags.samples);
    let mismatches = mismatches(&context, &after, &nonce)?;
    // The pattern is nobody's secret, but the next job's residue should be a tenant's and not ours.
    context.pieces().iter().try_for_each(|piece| context.set_zero(*piece))?;
    context.synchronize()?;
    let covered: usize = lengths.iter().sum();
    context.close()?;
    let left = total.saturating_sub(covered);
    let mut not_covered = vec![format!("{left} bytes of {total}, that could not be allocated")];
    not_covered.extend(NOT_COVERED.map(str::to_owned));
    Ok(ScrubReport {
        method: "cuda-memset",
        bytes_covered: wide(covered),
        bytes_total: wide(total),
        samples: wide(after.len()),
        mismatches,
        residue,
        residue_of: wide(before.len().saturating_mul(WINDOW)),
        uuid: gpu.uuid,
        reset: "not asked",
        not_covered,
    })
}

/// Takes all memory that there is: in pieces that halve until not even a page is left.
fn take(context: &mut Context<'_>) -> Result<(), NvidiaError> {
    let mut size = context.free_bytes()? / PAGE * PAGE;
    while size >= PAGE {
        if context.pieces().len() >= PIECES_MAX {
            return Err(NvidiaError::Cannot(format!("the memory is in more than {PIECES_MAX} pieces")));
        }
        if context.alloc(size)?.is_none() {
            size = size / 2 / PAGE * PAGE;
        }
    }
    Ok(())
}

fn piece(context: &Context<'_>, index: usize) -> Result<Piece, NvidiaError> {
    let found = context.pieces().get(index).copied();
    found.ok_or_else(|| NvidiaError::Cannot("a sample of no piece of memory".to_owned()))
}

fn residue(context: &Context<'_>, windows: &[(usize, usize)]) -> Result<u64, NvidiaError> {
    let (mut seen, mut window) = (0_u64, [0_u8; WINDOW]);
    for (index, offset) in windows {
        context.read(piece(context, *index)?, *offset, &mut window)?;
        seen = seen.saturating_add(wide(window.iter().filter(|byte| **byte != 0).count()));
    }
    Ok(seen)
}

fn mismatches(context: &Context<'_>, windows: &[(usize, usize)], nonce: &[u8]) -> Result<u64, NvidiaError> {
    let mut wrong = 0_u64;
    for (index, offset) in windows {
        let mut window = [0_u8; WINDOW];
        context.read(piece(context, *index)?, *offset, &mut window)?;
        let word = pattern::word(nonce, *index).to_ne_bytes();
        let holds = window.chunks_exact(4).all(|found| found == word);
        wrong = wrong.saturating_add(u64::from(!holds));
    }
    Ok(wrong)
}

fn nonce(text: &str) -> Result<Vec<u8>, NvidiaError> {
    let parsed = decode(text).filter(|bytes| NONCE_BYTES.contains(&bytes.len()));
    parsed.ok_or_else(|| NvidiaError::Cannot("the nonce is not 16 to 64 bytes in hexadecimal".to_owned()))
}

/// `GPU-` and 32 hexadecimal digits in five groups.
fn uuid(text: &str) -> Result<[u8; 16], NvidiaError> {
    let digits: String =
        text.strip_prefix("GPU-").unwrap_or_default().chars().filter(|c| *c != '-').collect();
    let parsed = decode(&digits).and_then(|bytes| bytes.try_into().ok());
    parsed.ok_or_else(|| NvidiaError::Cannot("the GPU's UUID is not what NVML writes".to_owned()))
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}
