//! A tiny job, to see whether CUDA works where it is run: `enforcer-agent cuda-probe`.

use std::path::{Path, PathBuf};

use clap::Args;

use super::CUDA;
use super::cuda::Cuda;
use super::library::NvidiaError;

/// Bytes of the job.
const BYTES: usize = 2 << 20;
const WORD: u32 = 0x5eed_5eed;

/// What `cuda-probe` needs to know.
#[derive(Clone, Debug, Args)]
pub struct ProbeFlags {
    /// The CUDA driver library, instead of the one that the dynamic linker finds
    #[arg(long, value_name = "PATH", default_value = CUDA)]
    pub cuda_library: PathBuf,
}

/// Allocates, writes and reads back on the first device.
///
/// # Errors
/// CUDA does not work here, or what was read is not what was written.
pub fn probe(library: &Path) -> Result<(), NvidiaError> {
    let cuda = Cuda::open(library)?;
    let mut context = cuda.context(cuda.first()?)?;
    let piece = context.alloc(BYTES)?;
    let piece = piece.ok_or_else(|| NvidiaError::Cannot("no memory is free".to_owned()))?;
    context.set_words(piece, WORD)?;
    context.synchronize()?;
    let mut read = vec![0; BYTES];
    context.read(piece, 0, &mut read)?;
    let holds = read.chunks_exact(4).all(|word| word == WORD.to_ne_bytes());
    context.set_zero(piece)?;
    context.synchronize()?;
    context.close()?;
    if holds { Ok(()) } else { Err(NvidiaError::Cannot("what was read is not what was written".to_owned())) }
}
