//! The functions of the CUDA driver API that a memory job needs. Types and numbers are those of `cuda.h`.

use std::ffi::{c_int, c_uint, c_void};
use std::path::Path;

use super::library::{Library, NvidiaError};

/// `CUDA_ERROR_OUT_OF_MEMORY`
const OUT_OF_MEMORY: c_int = 2;

type Answer = c_int;

/// The library, initialised.
pub(super) struct Cuda {
    device_count: unsafe extern "C" fn(*mut c_int) -> Answer,
    device_get: unsafe extern "C" fn(*mut c_int, c_int) -> Answer,
    device_uuid: unsafe extern "C" fn(*mut [u8; 16], c_int) -> Answer,
    device_total: unsafe extern "C" fn(*mut usize, c_int) -> Answer,
    create: unsafe extern "C" fn(*mut *mut c_void, c_uint, c_int) -> Answer,
    destroy: unsafe extern "C" fn(*mut c_void) -> Answer,
    synchronize: unsafe extern "C" fn() -> Answer,
    info: unsafe extern "C" fn(*mut usize, *mut usize) -> Answer,
    alloc: unsafe extern "C" fn(*mut u64, usize) -> Answer,
    free: unsafe extern "C" fn(u64) -> Answer,
    set_bytes: unsafe extern "C" fn(u64, u8, usize) -> Answer,
    set_words: unsafe extern "C" fn(u64, c_uint, usize) -> Answer,
    to_host: unsafe extern "C" fn(*mut c_void, u64, usize) -> Answer,
}

/// A piece of device memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The device's address.
    pub(super) address: u64,
    /// How long.
    pub(super) bytes: usize,
}

impl Cuda {
    pub(super) fn open(path: &Path) -> Result<Self, NvidiaError> {
        let library = Library::open(path)?;
        // SAFETY: each type is that of the function's declaration in `cuda.h`.
        let (init, cuda) = unsafe {
            let init: unsafe extern "C" fn(c_uint) -> Answer = library.function("cuInit")?;
            let cuda = Self {
                device_count: library.function("cuDeviceGetCount")?,
                device_get: library.function("cuDeviceGet")?,
                device_uuid: library.function("cuDeviceGetUuid")?,
                device_total: library.function("cuDeviceTotalMem_v2")?,
                create: library.function("cuCtxCreate_v2")?,
                destroy: library.function("cuCtxDestroy_v2")?,
                synchronize: library.function("cuCtxSynchronize")?,
                info: library.function("cuMemGetInfo_v2")?,
                alloc: library.function("cuMemAlloc_v2")?,
                free: library.function("cuMemFree_v2")?,
                set_bytes: library.function("cuMemsetD8_v2")?,
                set_words: library.function("cuMemsetD32_v2")?,
                to_host: library.function("cuMemcpyDtoH_v2")?,
            };
            (init, cuda)
        };
        // SAFETY: the flags must be zero, and are.
        check("cuInit", unsafe { init(0) })?;
        Ok(cuda)
    }

    /// The device of this UUID. CUDA's own order of devices is not that of `/dev`.
    pub(super) fn device(&self, uuid: [u8; 16]) -> Result<c_int, NvidiaError> {
        let mut count = 0;
        // SAFETY: a place for one number.
        check("cuDeviceGetCount", unsafe { (self.device_count)(&raw mut count) })?;
        for ordinal in 0..count {
            let (mut device, mut found) = (0, [0; 16]);
            // SAFETY: a place for one handle, and one for sixteen bytes.
            unsafe {
                check("cuDeviceGet", (self.device_get)(&raw mut device, ordinal))?;
                check("cuDeviceGetUuid", (self.device_uuid)(&raw mut found, device))?;
            }
            if found == uuid {
                return Ok(device);
            }
        }
        Err(NvidiaError::Cannot(format!("none of CUDA's {count} devices has the UUID that NVML says")))
    }

    /// The first device, whichever it is.
    pub(super) fn first(&self) -> Result<c_int, NvidiaError> {
        let mut device = 0;
        // SAFETY: a place for one handle.
        check("cuDeviceGet", unsafe { (self.device_get)(&raw mut device, 0) })?;
        Ok(device)
    }

    /// Every byte that the device has.
    pub(super) fn total(&self, device: c_int) -> Result<usize, NvidiaError> {
        let mut bytes = 0;
        // SAFETY: a place for one number.
        check("cuDeviceTotalMem_v2", unsafe { (self.device_total)(&raw mut bytes, device) })?;
        Ok(bytes)
    }

    /// A context, current on this thread until it is dropped; memory lives in it.
    pub(super) fn context(&self, device: c_int) -> Result<Context<'_>, NvidiaError> {
        let mut handle = std::ptr::null_mut();
        // SAFETY: a place for one handle; the device is one that the library gave.
        check("cuCtxCreate_v2", unsafe { (self.create)(&raw mut handle, 0, device) })?;
        Ok(Context { cuda: self, handle, pieces: Vec::new() })
    }
}

/// A context with its memory.
pub(super) struct Context<'a> {
    cuda: &'a Cuda,
    handle: *mut c_void,
    pieces: Vec<Piece>,
}

impl Context<'_> {
    /// Bytes that nobody has allocated.
    pub(super) fn free_bytes(&self) -> Result<usize, NvidiaError> {
        let (mut free, mut total) = (0, 0);
        // SAFETY: places for two numbers.
        check("cuMemGetInfo_v2", unsafe { (self.cuda.info)(&raw mut free, &raw mut total) })?;
        Ok(free)
    }

    /// A piece of memory; `None` when there is no room for it.
    pub(super) fn alloc(&mut self, bytes: usize) -> Result<Option<Piece>, NvidiaError> {
        let mut address = 0;
        // SAFETY: a place for one address.
        match unsafe { (self.cuda.alloc)(&raw mut address, bytes) } {
            OUT_OF_MEMORY => Ok(None),
            code => {
                check("cuMemAlloc_v2", code)?;
                let piece = Piece { address, bytes };
                self.pieces.push(piece);
                Ok(Some(piece))
            }
        }
    }

    /// What was allocated, in order.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Writes a word over a piece, whose length is a multiple of four.
    pub(super) fn set_words(&self, piece: Piece, word: u32) -> Result<(), NvidiaError> {
        // SAFETY: the piece is this context's, and so many words lie in it.
        check("cuMemsetD32_v2", unsafe { (self.cuda.set_words)(piece.address, word, piece.bytes / 4) })
    }

    /// Writes zeros over a piece.
    pub(super) fn set_zero(&self, piece: Piece) -> Result<(), NvidiaError> {
        // SAFETY: the piece is this context's, and so many bytes lie in it.
        check("cuMemsetD8_v2", unsafe { (self.cuda.set_bytes)(piece.address, 0, piece.bytes) })
    }

    /// Waits until everything is done.
    pub(super) fn synchronize(&self) -> Result<(), NvidiaError> {
        // SAFETY: it takes nothing.
        check("cuCtxSynchronize", unsafe { (self.cuda.synchronize)() })
    }

    /// Reads bytes of a piece from an offset on.
    pub(super) fn read(&self, piece: Piece, offset: usize, to: &mut [u8]) -> Result<(), NvidiaError> {
        let end = offset.checked_add(to.len()).filter(|end| *end <= piece.bytes);
        let at = u64::try_from(offset).ok().and_then(|offset| piece.address.checked_add(offset));
        let (Some(_), Some(at)) = (end, at) else {
            return Err(NvidiaError::Cannot("a sample lies outside of its piece of memory".to_owned()));
        };
        // SAFETY: the buffer is as long as is said, and so is what is left of the piece.
        check("cuMemcpyDtoH_v2", unsafe { (self.cuda.to_host)(to.as_mut_ptr().cast(), at, to.len()) })
    }

    /// Gives everything back.
    pub(super) fn close(mut self) -> Result<(), NvidiaError> {
        let pieces = std::mem::take(&mut self.pieces);
        // SAFETY: each piece was allocated in this context, and is given back once.
        pieces.iter().try_for_each(|piece| check("cuMemFree_v2", unsafe { (self.cuda.free)(piece.address) }))
    }
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is the library's, and is given back once. What goes wrong ends with this process.
        let _given_back = unsafe { (self.cuda.destroy)(self.handle) };
    }
}

fn check(function: &'static str, code: c_int) -> Result<(), NvidiaError> {
    let meaning = match code {
        0 => return Ok(()),
        1 => "invalid value",
        OUT_OF_MEMORY => "out of memory",
        3 => "not initialised",
        100 => "no CUDA device, or none that may be opened here",
        101 => "no such device",
        201 => "invalid context",
        214 => "an uncorrectable ECC error",
        304 => "the operating system refused: the device may not be opened here",
        700 => "illegal address",
        719 => "the job failed on the device",
        800 => "not permitted",
        802 => "the system is not ready",
        803 => "driver and library do not fit",
        _ => "an error of the CUDA driver",
    };
    Err(NvidiaError::Refused { function, code, meaning })
}
