//! A fake GPU: the functions of libcuda and libnvidia-ml that Enforcer calls, over a file that stands in for the memory
//! of the device and outlives the processes that use it. `FAKE_GPU_MEMORY` names the file, `FAKE_GPU_PROCESSES` whom
//! the driver lists, `FAKE_GPU_FAULT` what goes wrong: `short-alloc`, `lying-memset`, `failing-copy`, `no-permission`.
#![expect(clippy::missing_safety_doc, reason = "the functions are those of the vendor's libraries")]
#![expect(missing_docs, reason = "the functions are those of the vendor's libraries")]

pub mod cuda;
pub mod nvml;

use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// The device's UUID, as CUDA has it.
pub const UUID: [u8; 16] = [0xfa, 0xce, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
/// The same, as NVML writes it.
pub const UUID_TEXT: &str = "GPU-face0102-0304-0506-0708-090a0b0c0d0e";
/// What a context takes for itself, at the end of the memory.
pub const CONTEXT_BYTES: u64 = 4 << 20;

fn fault(name: &str) -> bool {
    std::env::var("FAKE_GPU_FAULT").is_ok_and(|fault| fault == name)
}

fn memory() -> Option<File> {
    let path = std::env::var_os("FAKE_GPU_MEMORY")?;
    File::options().read(true).write(true).open(path).ok()
}

fn total() -> u64 {
    memory().and_then(|file| file.metadata().ok()).map_or(0, |data| data.len())
}

fn write(offset: u64, bytes: &[u8]) -> bool {
    memory().is_some_and(|file| file.write_all_at(bytes, offset).is_ok())
}

fn read(offset: u64, bytes: &mut [u8]) -> bool {
    memory().is_some_and(|file| file.read_exact_at(bytes, offset).is_ok())
}
