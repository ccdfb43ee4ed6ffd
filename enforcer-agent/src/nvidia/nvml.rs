//! The functions of NVML that tell what a GPU is and who uses it. Types and numbers are those of `nvml.h`.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::path::Path;

use super::library::{Library, NvidiaError};

const SUCCESS: c_int = 0;
const NOT_SUPPORTED: c_int = 3;
const INSUFFICIENT_SIZE: c_int = 7;
/// `NVML_DEVICE_UUID_V2_BUFFER_SIZE`; the other texts are shorter.
const TEXT_MAX: usize = 96;
/// GPUs of a node, processes of a GPU: more than there are.
const GPUS_MAX: u32 = 256;
const PROCESSES_MAX: usize = 16_384;

type Answer = c_int;
type Handle = *mut c_void;
type Number = unsafe extern "C" fn(Handle, *mut c_uint) -> Answer;
type Pair = unsafe extern "C" fn(Handle, *mut c_uint, *mut c_uint) -> Answer;

/// `nvmlProcessInfo_t`, of the functions `_v2` and `_v3`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct ProcessInfo {
    pid: c_uint,
    memory: c_ulonglong,
    instance: c_uint,
    compute_instance: c_uint,
}

type Processes = unsafe extern "C" fn(Handle, *mut c_uint, *mut ProcessInfo) -> Answer;

/// NVML, initialised until it is dropped: meanwhile it holds the devices open.
pub(super) struct Nvml {
    library: Library,
}

/// A GPU.
pub(super) struct Gpu<'a> {
    nvml: &'a Nvml,
    handle: Handle,
}

impl Nvml {
    pub(super) fn open(path: &Path) -> Result<Self, NvidiaError> {
        let library = Library::open(path)?;
        // SAFETY: the type is that of the function's declaration; it takes nothing.
        let init: unsafe extern "C" fn() -> Answer = unsafe { library.function("nvmlInit_v2") }?;
        // SAFETY: as above.
        check("nvmlInit_v2", unsafe { init() })?;
        Ok(Self { library })
    }

    pub(super) fn driver_version(&self) -> Result<String, NvidiaError> {
        const NAME: &str = "nvmlSystemGetDriverVersion";
        type Text = unsafe extern "C" fn(*mut c_char, c_uint) -> Answer;
        // SAFETY: the type is that of the function's declaration.
        let get: Text = unsafe { self.library.function(NAME) }?;
        // SAFETY: the buffer is as long as is said.
        text(NAME, |to, room| unsafe { get(to, room) })
    }

    pub(super) fn gpus(&self) -> Result<Vec<Gpu<'_>>, NvidiaError> {
        type ByIndex = unsafe extern "C" fn(c_uint, *mut Handle) -> Answer;
        // SAFETY: the types are those of the functions' declarations.
        let (count, by_index) = unsafe {
            let count: unsafe extern "C" fn(*mut c_uint) -> Answer =
                self.library.function("nvmlDeviceGetCount_v2")?;
            let by_index: ByIndex = self.library.function("nvmlDeviceGetHandleByIndex_v2")?;
            (count, by_index)
        };
        let mut gpus = 0;
        // SAFETY: a place for one number.
        check("nvmlDeviceGetCount_v2", unsafe { count(&raw mut gpus) })?;
        let gpu = |index| {
            let mut handle = std::ptr::null_mut();
            // SAFETY: a place for one handle.
            check("nvmlDeviceGetHandleByIndex_v2", unsafe { by_index(index, &raw mut handle) })?;
            Ok(Gpu { nvml: self, handle })
        };
        (0..gpus.min(GPUS_MAX)).map(gpu).collect()
    }
}

impl Drop for Nvml {
    fn drop(&mut self) {
        // SAFETY: the type is that of the function's declaration; it takes nothing.
        let shutdown = unsafe { self.library.function::<unsafe extern "C" fn() -> Answer>("nvmlShutdown") };
        // SAFETY: as above. What goes wrong ends with this process.
        let _ended = shutdown.map(|shutdown| unsafe { shutdown() });
    }
}

impl Gpu<'_> {
    pub(super) fn uuid(&self) -> Result<String, NvidiaError> {
        const NAME: &str = "nvmlDeviceGetUUID";
        type Text = unsafe extern "C" fn(Handle, *mut c_char, c_uint) -> Answer;
        // SAFETY: the type is that of the function's declaration.
        let get: Text = unsafe { self.nvml.library.function(NAME) }?;
        // SAFETY: the buffer is as long as is said; the handle is the library's.
        text(NAME, |to, room| unsafe { get(self.handle, to, room) })
    }

    /// The firmware that runs the GPU's own processor.
    pub(super) fn gsp_version(&self) -> Result<String, NvidiaError> {
        const NAME: &str = "nvmlDeviceGetGspFirmwareVersion";
        type Text = unsafe extern "C" fn(Handle, *mut c_char) -> Answer;
        // SAFETY: the type is that of the function's declaration.
        let get: Text = unsafe { self.nvml.library.function(NAME) }?;
        // SAFETY: the buffer is longer than the 64 bytes that the header says; the handle is the library's.
        text(NAME, |to, _| unsafe { get(self.handle, to) })
    }

    /// The number behind `/dev/nvidia`.
    pub(super) fn minor(&self) -> Result<u32, NvidiaError> {
        self.number("nvmlDeviceGetMinorNumber")
    }

    pub(super) fn persistence(&self) -> Result<u32, NvidiaError> {
        self.number("nvmlDeviceGetPersistenceMode")
    }

    pub(super) fn compute_mode(&self) -> Result<u32, NvidiaError> {
        self.number("nvmlDeviceGetComputeMode")
    }

    pub(super) fn ecc(&self) -> Result<u32, NvidiaError> {
        self.current("nvmlDeviceGetEccMode")
    }

    pub(super) fn mig(&self) -> Result<u32, NvidiaError> {
        self.current("nvmlDeviceGetMigMode")
    }

    /// `0000:3B:00.0`, as the header's `busId`.
    pub(super) fn pci(&self) -> Result<String, NvidiaError> {
        const NAME: &str = "nvmlDeviceGetPciInfo_v3";
        /// `nvmlPciInfo_t`, with room for a longer one of a later library.
        const BYTES: usize = 256;
        const BUS_ID: std::ops::Range<usize> = 36..68;
        type Info = unsafe extern "C" fn(Handle, *mut [u64; BYTES / 8]) -> Answer;
        // SAFETY: the structure is plain data of 68 bytes, for which there is more than room.
        let get: Info = unsafe { self.nvml.library.function(NAME) }?;
        let mut info = [0_u64; BYTES / 8];
        // SAFETY: as above; the handle is the library's.
        check(NAME, unsafe { get(self.handle, &raw mut info) })?;
        let bytes: Vec<u8> = info.iter().flat_map(|word| word.to_ne_bytes()).collect();
        Ok(until_zero(bytes.get(BUS_ID).unwrap_or_default()))
    }

    /// Processes with a compute or a graphics context on it.
    pub(super) fn processes(&self) -> Result<Vec<u32>, NvidiaError> {
        let compute = ["nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"];
        let graphics =
            ["nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"];
        let mut all = self.listed(compute)?;
        all.extend(self.listed(graphics)?);
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    fn listed(&self, [newer, older]: [&'static str; 2]) -> Result<Vec<u32>, NvidiaError> {
        // SAFETY: both functions have this declaration.
        let found = unsafe { self.nvml.library.function::<Processes>(newer) };
        let (name, get) = match found {
            Ok(get) => (newer, get),
            // SAFETY: as above.
            Err(_) => (older, unsafe { self.nvml.library.function::<Processes>(older) }?),
        };
        let mut room = 64;
        while room <= PROCESSES_MAX {
            let mut list = vec![ProcessInfo::default(); room];
            let mut count = c_uint::try_from(room).unwrap_or(0);
            // SAFETY: the list has room for as many as is said; the handle is the library's.
            match unsafe { get(self.handle, &raw mut count, list.as_mut_ptr()) } {
                INSUFFICIENT_SIZE => room *= 4,
                code => {
                    check(name, code)?;
                    let count = usize::try_from(count).unwrap_or(usize::MAX);
                    return Ok(list.iter().take(count).map(|process| process.pid).collect());
                }
            }
        }
        Err(NvidiaError::Cannot(format!("{name}: more than {PROCESSES_MAX} processes")))
    }

    fn number(&self, name: &'static str) -> Result<u32, NvidiaError> {
        // SAFETY: the functions that are asked for by this have this declaration.
        let get: Number = unsafe { self.nvml.library.function(name) }?;
        let mut value = 0;
        // SAFETY: a place for one number; the handle is the library's.
        check(name, unsafe { get(self.handle, &raw mut value) })?;
        Ok(value)
    }

    fn current(&self, name: &'static str) -> Result<u32, NvidiaError> {
        // SAFETY: the functions that are asked for by this have this declaration.
        let get: Pair = unsafe { self.nvml.library.function(name) }?;
        let (mut current, mut pending) = (0, 0);
        // SAFETY: places for two numbers; the handle is the library's.
        check(name, unsafe { get(self.handle, &raw mut current, &raw mut pending) })?;
        Ok(current)
    }
}

/// True where the device cannot have what was asked for.
pub(super) const fn is_unsupported(error: &NvidiaError) -> bool {
    matches!(error, NvidiaError::Refused { code: NOT_SUPPORTED, .. })
}

fn text(name: &'static str, get: impl FnOnce(*mut c_char, c_uint) -> Answer) -> Result<String, NvidiaError> {
    let mut bytes = [0_u8; TEXT_MAX];
    check(name, get(bytes.as_mut_ptr().cast(), c_uint::try_from(TEXT_MAX).unwrap_or(0)))?;
    Ok(until_zero(&bytes))
}

fn until_zero(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn check(function: &'static str, code: c_int) -> Result<(), NvidiaError> {
    let meaning = match code {
        SUCCESS => return Ok(()),
        1 => "not initialised",
        2 => "invalid argument",
        NOT_SUPPORTED => "not supported by this device",
        4 => {
            "no permission: the device gate lets this control group open nothing of NVIDIA's, or the user may not"
        }
        6 => "not found",
        INSUFFICIENT_SIZE => "more than there is room for",
        9 => "the driver is not loaded",
        12 => "a library is missing",
        15 => "the GPU is lost",
        18 => "driver and library do not fit",
        _ => "an error of NVML",
    };
    Err(NvidiaError::Refused { function, code, meaning })
}
