//! NVIDIA's driver, by its own libraries: opened by name in a process of their own, so that what fails or hangs in them
//! is a child's end and not the agent's. It must not know what a tenant is.

pub mod child;
mod cuda;
mod library;
mod nvml;
mod pattern;
pub mod probe;
pub mod read;
pub mod scrub;

pub use self::library::NvidiaError;

/// The library of the CUDA driver API, as the dynamic linker finds it.
pub const CUDA: &str = "libcuda.so.1";
/// NVML, as the dynamic linker finds it.
pub const NVML: &str = "libnvidia-ml.so.1";
