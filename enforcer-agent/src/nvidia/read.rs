//! What NVML says of every GPU, as one line of JSON: `enforcer-agent read-nvidia`.

use std::path::{Path, PathBuf};

use clap::Args;
use enforcer_core::device::posture::gpu::{Fact, GpuFacts, NvidiaFacts};

use super::NVML;
use super::library::NvidiaError;
use super::nvml::{self, Gpu, Nvml};

/// What `read-nvidia` needs to know.
#[derive(Clone, Debug, Args)]
pub struct ReadFlags {
    /// NVML, instead of the one that the dynamic linker finds
    #[arg(long, value_name = "PATH", default_value = NVML)]
    pub nvml_library: PathBuf,
    /// A control group to move to before anything is opened, by its whole path
    #[arg(long, value_name = "DIRECTORY")]
    pub cgroup: Option<PathBuf>,
}

/// Moves to the control group that was named, then reads.
///
/// # Errors
/// It cannot be moved to, or [`read`] failed.
pub fn read_from(flags: &ReadFlags) -> Result<NvidiaFacts, NvidiaError> {
    if let Some(group) = &flags.cgroup {
        let moved = std::fs::write(group.join("cgroup.procs"), "0");
        moved.map_err(|error| NvidiaError::Cannot(format!("{}: {error}", group.display())))?;
    }
    read(&flags.nvml_library)
}

/// Reads everything; the library is closed again before this returns.
///
/// # Errors
/// NVML cannot be opened, or does not list its GPUs.
pub fn read(library: &Path) -> Result<NvidiaFacts, NvidiaError> {
    let nvml = Nvml::open(library)?;
    let gpus = nvml.gpus()?.iter().map(gpu).collect::<Result<_, _>>()?;
    Ok(NvidiaFacts { driver: fact(nvml.driver_version()), gpus })
}

fn gpu(gpu: &Gpu<'_>) -> Result<GpuFacts, NvidiaError> {
    Ok(GpuFacts {
        minor: gpu.minor()?,
        uuid: gpu.uuid()?,
        pci: fact(gpu.pci()),
        gsp: fact(gpu.gsp_version()),
        ecc: fact(gpu.ecc().map(on)),
        mig: fact(gpu.mig().map(on)),
        persistence: fact(gpu.persistence().map(on)),
        compute_mode: fact(gpu.compute_mode().map(compute_mode)),
        processes: gpu.processes().map_err(|error| error.to_string()),
    })
}

fn fact(read: Result<String, NvidiaError>) -> Fact {
    match read {
        Ok(value) => Fact::Is(value),
        Err(error) if nvml::is_unsupported(&error) => Fact::Unsupported,
        Err(error) => Fact::Unknown(error.to_string()),
    }
}

fn on(mode: u32) -> String {
    if mode == 0 { "off" } else { "on" }.to_owned()
}

/// `nvmlComputeMode_t`
fn compute_mode(mode: u32) -> String {
    match mode {
        0 => "default".to_owned(),
        1 => "exclusive-thread".to_owned(),
        2 => "prohibited".to_owned(),
        3 => "exclusive-process".to_owned(),
        other => other.to_string(),
    }
}

/// The UUID, and whether it is cut into instances, of the GPU behind a number of `/dev/nvidia`; and who uses it.
pub(super) fn find(library: &Path, minor: u32) -> Result<GpuFacts, NvidiaError> {
    let found = read(library)?.gpus.into_iter().find(|gpu| gpu.minor == minor);
    found.ok_or_else(|| NvidiaError::Cannot(format!("there is no GPU behind /dev/nvidia{minor}")))
}
