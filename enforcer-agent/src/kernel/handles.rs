//! Who holds a gated device: the account of open files, and a walk over every process.

use enforcer_core::device::holding::{Files, HandleSweep, Touched};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::EnforceError;
use nix::time::{ClockId, clock_gettime};

use super::error::kernel;
use super::wall::Wall;

/// One look.
pub(super) fn sweep(wall: &Wall) -> Result<HandleSweep, EnforceError> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(kernel("read", "the boot clock"))?;
    let boot_ns = u64::try_from(std::time::Duration::from(now).as_nanos()).unwrap_or(u64::MAX);
    let mut touched = Vec::new();
    for entry in wall.tables.touched.iter() {
        let (key, value) = entry.map_err(kernel("read", "TOUCHED"))?;
        let Some(device) = DeviceNumber::from_words(key.kind, key.major, key.minor) else { continue };
        touched.push(Touched {
            cgroup: key.cgroup,
            device,
            first_ns: value.first_ns,
            identity: value.identity,
        });
    }
    let files = Files::Absent("the hooks that keep it are not loaded".to_owned());
    let lacking = Some("the iterators are not loaded".to_owned());
    Ok(HandleSweep { boot_ns, holdings: Vec::new(), files, touched, lacking })
}
