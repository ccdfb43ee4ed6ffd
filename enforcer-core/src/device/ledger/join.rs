//! From descriptors, mappings and open files to lines that people read: one for each process and device.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, UNIX_EPOCH};

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE};
use enforcer_common::identity;
use enforcer_proto::v1;

use super::Look;
use super::name::device_name;
use crate::device::holding::{Files, Holding, OpenFile, Via};
use crate::device::number::DeviceNumber;
use crate::policy::compile::node::{numbered_services, services};
use crate::policy::image::DeviceRegion;
use crate::policy::model::UnixNanos;
use enforcer_common::maps::MINOR_ANY;

/// Lines of an answer; what is more is counted in `account_reason`.
const LINES_MAX: usize = 16_384;
/// Descriptor numbers of a line.
const DESCRIPTORS_MAX: usize = 256;

/// Everything but findings.
#[must_use]
pub fn handles(look: &Look<'_>) -> v1::HandlesResponse {
    let (account, account_reason) = account(look);
    let mut groups: BTreeMap<(DeviceNumber, u32), Vec<&Holding>> = BTreeMap::new();
    for holding in &look.sweep.holdings {
        groups.entry((holding.device, holding.process)).or_default().push(holding);
    }
    let open = open_files(&look.sweep.files);
    let by_file: BTreeMap<u64, &OpenFile> = open.iter().map(|open| (open.file, open)).collect();
    let total = groups.len();
    let lines = groups.into_iter().take(LINES_MAX);
    let handles: Vec<v1::Handle> = lines.map(|(_, group)| handle(look, &by_file, &group)).collect();
    let account_reason = match total.checked_sub(handles.len()) {
        None | Some(0) => account_reason,
        Some(more) => format!("{account_reason}{more} more holders are left out; ").trim_start().to_owned(),
    };
    v1::HandlesResponse {
        time: Some(timestamp(look.at)),
        handles,
        hidden: hidden(look, open),
        findings: Vec::new(),
        account,
        account_reason,
        allocations_absent: String::new(),
    }
}

fn open_files(files: &Files) -> &[OpenFile] {
    match files {
        Files::Known { open, .. } => open,
        Files::Absent(_) => &[],
    }
}

/// "complete" only where nothing can be held unseen.
fn account(look: &Look<'_>) -> (String, String) {
    let (word, why) = match &look.sweep.files {
        Files::Known { lost: 0, .. } => ("complete", None),
        Files::Known { lost, .. } => {
            ("descriptors", Some(format!("{lost} open files found the kernel's account full")))
        }
        Files::Absent(why) => ("descriptors", Some(why.clone())),
    };
    match &look.sweep.lacking {
        None => (word.to_owned(), why.unwrap_or_default()),
        Some(lacking) => {
            let both = why.map_or_else(|| lacking.clone(), |why| format!("{why}; {lacking}"));
            ("descriptors".to_owned(), both)
        }
    }
}

fn handle(look: &Look<'_>, by_file: &BTreeMap<u64, &OpenFile>, group: &[&Holding]) -> v1::Handle {
    let (mut descriptors, mut mappings, mut access) = (BTreeSet::new(), 0_u32, 0);
    let mut files: Vec<&OpenFile> = Vec::new();
    for holding in group {
        match holding.via {
            Via::Descriptor(number) => drop(descriptors.insert(number)),
            Via::Mapping(_) => mappings = mappings.saturating_add(1),
        }
        access |= holding.access;
        files.extend(by_file.get(&holding.file));
    }
    // A group is never empty; of a process whose threads differ the first line speaks.
    let (device, process, cgroup, identity) = group.first().map_or_else(
        || {
            (
                DeviceNumber { kind: crate::device::class::Kind::Char, major: 0, minor: 0 },
                0,
                0,
                identity::UNKNOWN,
            )
        },
        |first| (first.device, first.process, first.cgroup, first.identity),
    );
    let oldest = files.iter().min_by_key(|file| file.opened_ns);
    v1::Handle {
        device: Some(device_name(&look.facts.devices, device)),
        holder: party(look, identity),
        workload: look.workloads.get(&cgroup).map(ToString::to_string).unwrap_or_default(),
        process: Some(look.processes.get(&process).cloned().unwrap_or_else(|| v1::Process {
            pid: process,
            cgroup_id: cgroup,
            gap: "gone before it was looked at".to_owned(),
            ..v1::Process::default()
        })),
        via: if descriptors.is_empty() { "mapping" } else { "descriptor" }.to_owned(),
        descriptors: descriptors.into_iter().take(DESCRIPTORS_MAX).collect(),
        mappings,
        access: access_words(access).to_owned(),
        opened_by: oldest.map(|file| party(look, file.identity)).unwrap_or_default(),
        opened: oldest.map(|file| opened(look, file)),
        received: files.iter().any(|file| file.process != process),
        granted: is_granted(look, identity, device),
    }
}

/// Open files that no descriptor and no mapping shows, and that are not younger than the walk: one that was opened while
/// the processes were walked over is not hidden, it is new.
fn hidden(look: &Look<'_>, open: &[OpenFile]) -> Vec<v1::HiddenFile> {
    let seen: BTreeSet<u64> = look.sweep.holdings.iter().map(|holding| holding.file).collect();
    let is_hidden = |file: &&OpenFile| !seen.contains(&file.file) && file.opened_ns <= look.sweep.boot_ns;
    let lines = open.iter().filter(is_hidden).take(LINES_MAX);
    lines
        .map(|file| v1::HiddenFile {
            device: Some(device_name(&look.facts.devices, file.device)),
            opened_by: party(look, file.identity),
            opened: Some(opened(look, file)),
            pid: file.process,
        })
        .collect()
}

const fn access_words(access: u32) -> &'static str {
    match (access & ACCESS_READ != 0, access & ACCESS_WRITE != 0) {
        (true, true) => "read+write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "none",
    }
}

/// A tenant or host service by name; "host" for none; the number of one that is gone.
pub(super) fn party(look: &Look<'_>, number: u32) -> String {
    if let Some(name) = identity::reserved_name(number) {
        return name.to_owned();
    }
    if let Some(name) = look.policy.index.tenant_by_id.get(&number) {
        return name.to_string();
    }
    numbered_services(look.facts)
        .find(|(service, _)| *service == number)
        .map_or_else(|| format!("identity-{number}"), |(_, service)| service.name.clone())
}

/// Whether the policy, or the configuration of a host service, grants the device now.
pub(super) fn is_granted(look: &Look<'_>, number: u32, device: DeviceNumber) -> bool {
    let exact = DeviceRegion { kind: device.kind.number(), major: device.major, minor: device.minor };
    let whole = DeviceRegion { minor: MINOR_ANY, ..exact };
    if identity::is_service(number) {
        let granted = services(look.facts);
        return granted.get(&number).is_some_and(|to| to.contains_key(&exact) || to.contains_key(&whole));
    }
    let tenant = look.policy.index.tenant_by_id.get(&number).and_then(|name| look.policy.tenants.get(name));
    tenant.is_some_and(|tenant| {
        tenant.devices.iter().any(|grant| {
            let regions =
                look.facts.devices.resolve(&grant.class, grant.minors.as_deref()).unwrap_or_default();
            regions.contains(&exact) || regions.contains(&whole)
        })
    })
}

fn opened(look: &Look<'_>, file: &OpenFile) -> prost_types::Timestamp {
    timestamp(look.at.saturating_sub(look.sweep.boot_ns.saturating_sub(file.opened_ns)))
}

pub(super) fn timestamp(at: UnixNanos) -> prost_types::Timestamp {
    prost_types::Timestamp::from(UNIX_EPOCH + Duration::from_nanos(at))
}
