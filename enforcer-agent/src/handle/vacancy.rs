//! Whether anybody still has a device: control groups, descriptors and mappings, open files and the driver's own list, each
//! looked at, and what could not be looked at said.

use std::collections::BTreeSet;
use std::time::Duration;

use enforcer_common::identity;
use enforcer_core::device::holding::{Files, HandleSweep, Vacancy};
use enforcer_core::device::number::DeviceNumber;
use tokio::time::timeout;

use super::desk::{Desk, blocking};

/// How long a driver may take to list its processes.
const DRIVER_MAX: Duration = Duration::from_secs(10);

/// Whose holding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// Everybody's but host services': they have devices by the node's configuration, and keep them from tenant to tenant.
    Anybody,
    /// This tenant's.
    Tenant(u32),
}

impl Whose {
    pub(super) const fn counts(self, number: u32) -> bool {
        match self {
            Self::Anybody => !identity::is_service(number),
            Self::Tenant(tenant) => tenant == number,
        }
    }
}

/// Looks at a device.
pub(super) async fn look(desk: &Desk, device: DeviceNumber, whose: Whose) -> Result<Vacancy, String> {
    let sweep = desk.sweep().await?;
    let mut vacancy = of_sweep(&sweep, device, whose);
    match populated(desk, &sweep, device, whose).await {
        Ok(populated) => vacancy.populated = populated,
        Err(why) => vacancy.lacking.push(why),
    }
    if whose == Whose::Anybody {
        match driver(desk, device).await {
            Ok(listed) => vacancy.driver = listed.map(|listed| without_services(listed, &sweep)),
            Err(why) => vacancy.lacking.push(why),
        }
    }
    Ok(vacancy)
}

/// What the kernel says of it.
fn of_sweep(sweep: &HandleSweep, device: DeviceNumber, whose: Whose) -> Vacancy {
    let holdings = sweep.holdings.iter().filter(|holding| holding.device == device);
    let holders: BTreeSet<u32> =
        holdings.filter(|holding| whose.counts(holding.identity)).map(|holding| holding.process).collect();
    Vacancy {
        holders: holders.into_iter().collect(),
        files: files(sweep, device, whose),
        lacking: sweep.lacking.iter().cloned().collect(),
        ..Vacancy::default()
    }
}

/// An account that lost something proves no absence; what it does have is there all the same. A file that a host service
/// opened and nobody received is the service's.
fn files(sweep: &HandleSweep, device: DeviceNumber, whose: Whose) -> Option<usize> {
    let Files::Known { open, lost, .. } = &sweep.files else { return None };
    let counts = open.iter().filter(|file| file.device == device).filter(|file| {
        let holders = sweep.holdings.iter().filter(|holding| holding.file == file.file);
        let mut holders = holders.peekable();
        if holders.peek().is_some() {
            return holders.any(|holding| whose.counts(holding.identity));
        }
        whose.counts(file.identity) || (file.receipts > 0 && whose == Whose::Anybody)
    });
    let count = counts.count();
    (*lost == 0 || count > 0).then_some(count)
}

async fn populated(
    desk: &Desk,
    sweep: &HandleSweep,
    device: DeviceNumber,
    whose: Whose,
) -> Result<Vec<u64>, String> {
    let touched = sweep.touched.iter().filter(|touched| touched.device == device);
    let ids: BTreeSet<u64> =
        touched.filter(|touched| whose.counts(touched.identity)).map(|touched| touched.cgroup).collect();
    let groups = desk.groups.clone();
    blocking(move || {
        let mut populated = Vec::new();
        for group in groups.find(&ids).map_err(|error| error.to_string())? {
            if group.is_populated().map_err(|error| error.to_string())? {
                populated.push(group.id);
            }
        }
        Ok(populated)
    })
    .await
}

async fn driver(desk: &Desk, device: DeviceNumber) -> Result<Option<Vec<u32>>, String> {
    let Some(ask) = desk.parts.driver_processes.clone() else { return Ok(None) };
    match timeout(DRIVER_MAX, blocking(move || ask(device))).await {
        Ok(listed) => listed.map_err(|why| format!("the driver's list of processes: {why}")),
        Err(_) => Err(format!("the driver has not listed its processes within {} s", DRIVER_MAX.as_secs())),
    }
}

fn without_services(listed: Vec<u32>, sweep: &HandleSweep) -> Vec<u32> {
    let services: BTreeSet<u32> = sweep
        .holdings
        .iter()
        .filter(|holding| identity::is_service(holding.identity))
        .map(|holding| holding.process)
        .collect();
    listed.into_iter().filter(|process| !services.contains(process)).collect()
}
