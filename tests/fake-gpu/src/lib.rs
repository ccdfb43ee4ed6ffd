//! A fake GPU: the functions of libcuda and libnvidia-ml that Enforcer calls, over a file that stands in for the memory
//! of the device and outlives the processes that use it. `FAKE_GPU_MEMORY` names the file, `FAKE_GPU_PROCESSES` whom the
//! driver lists, `FAKE_GPU_MINOR` the number behind `/dev/nvidia`, `FAKE_GPU_FAULT` what goes wrong: `short-alloc`,
//! `lying-memset`, `failing-copy`, `no-permission`, `mig`. `FAKE_GPU_NODE` is a device node that both libraries
//! open first, as those of a driver do. Where the environment has no such word, a file of that
//! name beside the library has it: scrubbers run with a cleared environment.
#![expect(clippy::missing_safety_doc, reason = "the functions are those of the vendor's libraries")]
#![expect(missing_docs, reason = "the functions are those of the vendor's libraries")]

pub mod cuda;
pub mod nvml;

use std::ffi::{CStr, OsStr, c_void};
use std::fs::File;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The device's UUID, as CUDA has it.
pub const UUID: [u8; 16] = [0xfa, 0xce, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
/// The same, as NVML writes it.
pub const UUID_TEXT: &str = "GPU-face0102-0304-0506-0708-090a0b0c0d0e";
/// What a context takes for itself, at the end of the memory.
pub const CONTEXT_BYTES: u64 = 4 << 20;

/// What a test said, in the environment or beside the library.
fn said(name: &str) -> Option<String> {
    let in_environment = std::env::var(name).ok();
    in_environment
        .or_else(|| Some(std::fs::read_to_string(own_directory()?.join(name)).ok()?.trim().to_owned()))
}

/// Where this library was opened from.
fn own_directory() -> Option<PathBuf> {
    let mut info = MaybeUninit::<libc::Dl_info>::uninit();
    let own: fn(&str) -> Option<String> = said;
    // SAFETY: an address in this library, and a place for the answer.
    if unsafe { libc::dladdr(own as *const c_void, info.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: it was filled in, and the name is a text that lives as long as the library is open.
    let path = unsafe { CStr::from_ptr(info.assume_init().dli_fname) };
    Path::new(OsStr::from_bytes(path.to_bytes())).parent().map(Path::to_owned)
}

fn fault(name: &str) -> bool {
    said("FAKE_GPU_FAULT").is_some_and(|fault| fault == name)
}

fn memory() -> Option<File> {
    File::options().read(true).write(true).open(said("FAKE_GPU_MEMORY")?).ok()
}

/// Whether the device's node may be opened; that there is no driver behind it is fine.
fn is_refused() -> bool {
    said("FAKE_GPU_NODE").is_some_and(|node| {
        let opened = File::options().read(true).write(true).open(node);
        opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    })
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
