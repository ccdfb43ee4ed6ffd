//! Who holds a gated device: the account of open files, and a walk over every process.

use std::io::Read as _;
use std::time::Duration;

use enforcer_common::maps::{HoldingRecord, LOST_HANDLE_FULL, VIA_DESCRIPTOR, VIA_MAPPING};
use enforcer_core::device::holding::{Files, HandleSweep, Holding, OpenFile, Touched, Via};
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::enforce::{EnforceError, Inspection as _};
use nix::time::{ClockId, clock_gettime};

use super::error::kernel;
use super::wall::Wall;
use super::{adopt, sys, walk};

/// What a walk may write at most: a node has no million descriptors of accelerators.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One look.
pub(super) fn sweep(wall: &Wall) -> Result<HandleSweep, EnforceError> {
    let mut found = HandleSweep {
        boot_ns: boot_ns()?,
        files: files(wall)?,
        touched: touched(wall)?,
        ..HandleSweep::default()
    };
    let lacking = wall.walks_absent.clone().or_else(|| wall.files_unknown.clone());
    if let Some(reason) = lacking {
        found.lacking = Some(reason);
        return Ok(found);
    }
    for (program, over) in walk::WALKS {
        match walked(wall, program, &mut found.holdings) {
            Ok(true) => {}
            Ok(false) => found.lacking = Some(format!("more than {BYTES_MAX} bytes of {over}")),
            Err(error) => found.lacking = Some(error.to_string()),
        }
    }
    Ok(found)
}

/// `CLOCK_BOOTTIME`, which the account of open files has its times of, in nanoseconds.
pub(super) fn boot_ns() -> Result<u64, EnforceError> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map_err(kernel("read", "the boot clock"))?;
    Ok(u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX))
}

/// Reads one walk to its end; false when that did not come.
fn walked(wall: &Wall, program: &'static str, holdings: &mut Vec<Holding>) -> Result<bool, EnforceError> {
    let fd = adopt::program_fd(&wall.object, program).map_err(kernel("open", program))?;
    let file = sys::walk(fd).map_err(kernel("begin the walk of", program))?;
    let mut bytes = Vec::new();
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(kernel("read the walk of", program))?;
    holdings.extend(bytes.chunks_exact(size_of::<HoldingRecord>()).filter_map(holding));
    Ok(u64::try_from(bytes.len()).is_ok_and(|length| length < BYTES_MAX))
}

fn holding(bytes: &[u8]) -> Option<Holding> {
    // SAFETY: the record is integers without padding, of which any bytes are a value, and the chunk is as long.
    let record = unsafe { bytes.as_ptr().cast::<HoldingRecord>().read_unaligned() };
    let via = match record.via {
        VIA_DESCRIPTOR => Via::Descriptor(u32::try_from(record.at).ok()?),
        VIA_MAPPING => Via::Mapping(record.at),
        _ => return None,
    };
    Some(Holding {
        device: DeviceNumber::from_words(record.kind, record.major, record.minor)?,
        file: record.file,
        via,
        process: record.process,
        cgroup: record.cgroup,
        identity: record.identity,
        access: record.access,
    })
}

fn files(wall: &Wall) -> Result<Files, EnforceError> {
    let since_ns = match wall.account() {
        Ok(since_ns) => since_ns,
        Err(reason) => return Ok(Files::Absent(reason)),
    };
    let mut open = Vec::new();
    for entry in wall.tables.handles.iter() {
        let (file, value) = entry.map_err(kernel("read", "HANDLES"))?;
        let Some(device) = DeviceNumber::from_words(value.kind, value.major, value.minor) else { continue };
        open.push(OpenFile {
            file,
            device,
            opened_ns: value.opened_ns,
            cgroup: value.cgroup,
            identity: value.identity,
            process: value.process,
            access: value.access,
            receipts: value.receipts,
        });
    }
    let lost =
        wall.losses()?.iter().filter(|loss| loss.cause == LOST_HANDLE_FULL).map(|loss| loss.count).sum();
    Ok(Files::Known { since_ns, open, lost })
}

fn touched(wall: &Wall) -> Result<Vec<Touched>, EnforceError> {
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
    Ok(touched)
}
