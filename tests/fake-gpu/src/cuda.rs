//! The driver API of CUDA.

use std::ffi::{c_int, c_uint, c_void};
use std::sync::Mutex;

use crate::{CONTEXT_BYTES, UUID, fault, is_refused, memory, read, total, write};

const SUCCESS: c_int = 0;
const OUT_OF_MEMORY: c_int = 2;
const NO_DEVICE: c_int = 100;
const OPERATING_SYSTEM: c_int = 304;
const ILLEGAL_ADDRESS: c_int = 700;
const LAUNCH_FAILED: c_int = 719;
/// Where the device's addresses begin.
const BASE: u64 = 0x7f00_0000_0000;

/// What this process has allocated: up to here.
static ALLOCATED: Mutex<u64> = Mutex::new(0);

fn usable() -> u64 {
    let free = total().saturating_sub(CONTEXT_BYTES);
    if fault("short-alloc") { free / 2 } else { free }
}

fn put<T>(to: *mut T, value: T) -> c_int {
    // SAFETY: callers hand in a place for the answer, as the vendor's functions ask for.
    unsafe { to.write(value) };
    SUCCESS
}

fn small(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

#[unsafe(no_mangle)]
pub extern "C" fn cuInit(_flags: c_uint) -> c_int {
    match (is_refused(), memory().is_some()) {
        (true, _) => OPERATING_SYSTEM,
        (false, true) => SUCCESS,
        (false, false) => NO_DEVICE,
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetCount(count: *mut c_int) -> c_int {
    put(count, 1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGet(device: *mut c_int, _ordinal: c_int) -> c_int {
    put(device, 0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceGetUuid(uuid: *mut [u8; 16], _device: c_int) -> c_int {
    put(uuid, UUID)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuDeviceTotalMem_v2(bytes: *mut usize, _device: c_int) -> c_int {
    put(bytes, small(total()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuCtxCreate_v2(context: *mut *mut c_void, _flags: c_uint, _device: c_int) -> c_int {
    put(context, std::ptr::dangling_mut::<u8>().cast())
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxDestroy_v2(_context: *mut c_void) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuCtxSynchronize() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemGetInfo_v2(free: *mut usize, all: *mut usize) -> c_int {
    let used = ALLOCATED.lock().map_or(0, |used| *used);
    put(free, small(total().saturating_sub(CONTEXT_BYTES).saturating_sub(used)));
    put(all, small(total()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemAlloc_v2(pointer: *mut u64, bytes: usize) -> c_int {
    let Ok(mut used) = ALLOCATED.lock() else { return LAUNCH_FAILED };
    let end = used.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    // As on a real device, no allocation is so large that it takes everything at once.
    if end > usable() || u64::try_from(bytes).unwrap_or(u64::MAX) > usable() / 2 {
        return OUT_OF_MEMORY;
    }
    put(pointer, BASE + *used);
    *used = end;
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemFree_v2(_pointer: u64) -> c_int {
    SUCCESS
}

fn fill(pointer: u64, word: [u8; 4], bytes: usize) -> c_int {
    if fault("lying-memset") {
        return SUCCESS;
    }
    let Some(offset) = pointer.checked_sub(BASE) else { return ILLEGAL_ADDRESS };
    let content: Vec<u8> = word.into_iter().cycle().take(bytes).collect();
    if write(offset, &content) { SUCCESS } else { ILLEGAL_ADDRESS }
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD32_v2(pointer: u64, word: c_uint, count: usize) -> c_int {
    fill(pointer, word.to_ne_bytes(), count.saturating_mul(4))
}

#[unsafe(no_mangle)]
pub extern "C" fn cuMemsetD8_v2(pointer: u64, byte: u8, count: usize) -> c_int {
    fill(pointer, [byte; 4], count)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn cuMemcpyDtoH_v2(to: *mut c_void, pointer: u64, bytes: usize) -> c_int {
    if fault("failing-copy") {
        return LAUNCH_FAILED;
    }
    let Some(offset) = pointer.checked_sub(BASE) else { return ILLEGAL_ADDRESS };
    // SAFETY: callers hand in a buffer of `bytes` bytes, as the vendor's function asks for.
    let to = unsafe { std::slice::from_raw_parts_mut(to.cast::<u8>(), bytes) };
    if read(offset, to) { SUCCESS } else { ILLEGAL_ADDRESS }
}
