//! NVML.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};

use crate::{UUID_TEXT, fault, is_refused, memory, said, total};

const SUCCESS: c_int = 0;
const NOT_SUPPORTED: c_int = 3;
const NO_PERMISSION: c_int = 4;
const INSUFFICIENT_SIZE: c_int = 7;
const DRIVER_NOT_LOADED: c_int = 9;

#[repr(C)]
pub struct Memory {
    total: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[repr(C)]
pub struct Process {
    pid: c_uint,
    memory: c_ulonglong,
    instance: c_uint,
    compute_instance: c_uint,
}

fn put<T>(to: *mut T, value: T) -> c_int {
    // SAFETY: callers hand in a place for the answer, as the vendor's functions ask for.
    unsafe { to.write(value) };
    SUCCESS
}

fn text(to: *mut c_char, room: c_uint, words: &str) -> c_int {
    let room = usize::try_from(room).unwrap_or(0);
    if words.len() >= room {
        return INSUFFICIENT_SIZE;
    }
    // SAFETY: callers hand in a buffer of `room` bytes, and the words with their end fit.
    unsafe {
        std::ptr::copy_nonoverlapping(words.as_ptr(), to.cast(), words.len());
        to.cast::<u8>().add(words.len()).write(0);
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_int {
    match (memory().is_some(), fault("no-permission") || is_refused()) {
        (_, true) => NO_PERMISSION,
        (true, _) => SUCCESS,
        (false, _) => DRIVER_NOT_LOADED,
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlSystemGetDriverVersion(to: *mut c_char, room: c_uint) -> c_int {
    text(to, room, "0.0-fake")
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_int {
    put(count, 1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetHandleByIndex_v2(_index: c_uint, device: *mut *mut c_void) -> c_int {
    put(device, std::ptr::dangling_mut::<u8>().cast())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetUUID(_device: *mut c_void, to: *mut c_char, room: c_uint) -> c_int {
    text(to, room, UUID_TEXT)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMinorNumber(_device: *mut c_void, minor: *mut c_uint) -> c_int {
    put(minor, said("FAKE_GPU_MINOR").and_then(|minor| minor.parse().ok()).unwrap_or(0))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMemoryInfo(_device: *mut c_void, memory: *mut Memory) -> c_int {
    put(memory, Memory { total: total(), free: total(), used: 0 })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetEccMode(
    _device: *mut c_void,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    put(current, 1);
    put(pending, 1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetMigMode(
    _device: *mut c_void,
    current: *mut c_uint,
    pending: *mut c_uint,
) -> c_int {
    if !fault("mig") {
        return NOT_SUPPORTED;
    }
    put(current, 1);
    put(pending, 1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetPersistenceMode(_device: *mut c_void, mode: *mut c_uint) -> c_int {
    put(mode, 1)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeMode(_device: *mut c_void, mode: *mut c_uint) -> c_int {
    put(mode, 0)
}

/// This library has the newer name alone for one list, and the older alone for the other.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    _device: *mut c_void,
    count: *mut c_uint,
    list: *mut Process,
) -> c_int {
    let listed = said("FAKE_GPU_PROCESSES").unwrap_or_default();
    let listed: Vec<c_uint> = listed.split(',').filter_map(|pid| pid.parse().ok()).collect();
    // SAFETY: callers say how many entries fit.
    let room = usize::try_from(unsafe { count.read() }).unwrap_or(0);
    put(count, c_uint::try_from(listed.len()).unwrap_or(c_uint::MAX));
    if listed.len() > room {
        return INSUFFICIENT_SIZE;
    }
    for (index, pid) in listed.into_iter().enumerate() {
        // SAFETY: there is room, as was just seen.
        unsafe { list.add(index).write(Process { pid, memory: 1, instance: 0, compute_instance: 0 }) };
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v2(
    _device: *mut c_void,
    count: *mut c_uint,
    _list: *mut Process,
) -> c_int {
    put(count, 0)
}
