//! Devices: who asks, what stands behind the number, what `decide_device()` says.

use std::collections::BTreeMap;

use enforcer_common::device::{ACCESS_READ, ACCESS_WRITE, Asker, DeviceRequest as Request, decide_device};
use enforcer_common::identity;
use enforcer_common::maps::MINOR_ANY;

use crate::device::class::Kind;
use crate::device::holding::GateCustody;
use crate::device::number::DeviceNumber;
use crate::node::NodeFacts;
use crate::policy::compile::{compile_tenant, node};
use crate::policy::image::{DeviceRegion, Image};
use crate::policy::model::{Policy, Workload};
use crate::policy::tables::ImageTables;

use super::party::identity_name;
use super::{ExplainError, Explanation, explained, reason_text};

/// A device to explain: opening it for reading and writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// A workload, tenant or host service name, or a cgroup path.
    pub subject: String,
    /// `/dev/nvidia0`, `c 195:0` or `nvidia:0`.
    pub device: String,
    /// Where devices are between two tenants, as the gate in the kernel has it.
    pub custody: BTreeMap<DeviceNumber, GateCustody>,
}

/// The verdict on opening a device, and the way to it.
///
/// # Errors
/// The request does not say which device or who asks, or the device is not gated.
pub fn explain_device(
    policy: &Policy,
    facts: &NodeFacts,
    request: &DeviceRequest,
) -> Result<Explanation, ExplainError> {
    let region = facts.devices.parse_device(&request.device)?;
    let subject = Subject::find(policy, facts, &request.subject)?;
    let custody = request.custody.iter().map(|(device, custody)| (device.custody_key(), custody.value()));
    let image = Image { custody: custody.collect(), ..focus(policy, facts, subject.identity) };
    let open = Request {
        kind: region.kind,
        major: region.major,
        minor: region.minor,
        access: ACCESS_READ | ACCESS_WRITE,
    };
    let asker = Asker { identity: subject.identity, in_root: 0 };
    let (verdict, _, gate) = decide_device(&ImageTables::new(&image), || asker, &open)
        .ok_or_else(|| ExplainError::NotGated(request.device.clone()))?;
    let mut explanation = explained(policy, &verdict, subject.name.clone(), String::new());
    let class = facts.devices.class_name(gate.class).unwrap_or("unassigned");
    explanation.steps = vec![
        format!("subject: {}", subject.how),
        format!("device: {}, of class {class}", device_words(facts, region)),
        match verdict.reason {
            enforcer_common::reason::NONE => format!("granted: {}", explanation.rule),
            number => reason_text(number).to_owned(),
        },
    ];
    explanation.proof = Err("the device gate is not asked: only an open would");
    Ok(explanation)
}

struct Subject {
    identity: u32,
    name: String,
    how: String,
}

impl Subject {
    fn find(policy: &Policy, facts: &NodeFacts, words: &str) -> Result<Self, ExplainError> {
        if words.starts_with('/') {
            return Ok(Self::of_cgroup(policy, facts, words));
        }
        if let Some(workload) = policy.workloads.get(words) {
            return Ok(Self::of_workload(policy, workload));
        }
        if let Some(tenant) = policy.tenants.get(words) {
            let how = format!("tenant {}, number {}", tenant.name, tenant.id);
            return Ok(Self { identity: tenant.id, name: words.to_owned(), how });
        }
        let service = node::numbered_services(facts).find(|(_, service)| service.name == words);
        let (number, service) = service.ok_or_else(|| ExplainError::UnknownSubject(words.to_owned()))?;
        Ok(Self {
            identity: number,
            name: service.name.clone(),
            how: format!("host service {}", service.name),
        })
    }

    fn of_workload(policy: &Policy, workload: &Workload) -> Self {
        let identity = policy.tenants.get(&workload.tenant).map_or(identity::UNKNOWN, |tenant| tenant.id);
        let how = format!("workload {} of tenant {}", workload.name, workload.tenant);
        Self { identity, name: identity_name(policy, identity), how }
    }

    /// The workload of the nearest cgroup above, as the kernel finds it.
    fn of_cgroup(policy: &Policy, facts: &NodeFacts, path: &str) -> Self {
        let above = |workload: &&Workload| {
            let own = workload.cgroup.as_deref().filter(|_| node::is_local(facts, workload));
            own.and_then(|own| path.strip_prefix(own))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let workloads = policy.workloads.values().map(AsRef::as_ref).filter(above);
        match workloads.max_by_key(|workload| workload.cgroup.as_ref().map_or(0, String::len)) {
            Some(workload) => Self::of_workload(policy, workload),
            None => Self {
                identity: identity::UNKNOWN,
                name: identity_name(policy, identity::UNKNOWN),
                how: format!("cgroup {path}, which is no workload's"),
            },
        }
    }
}

/// An image of the gates and the one who asks: nobody else has a say.
fn focus(policy: &Policy, facts: &NodeFacts, subject: u32) -> Image {
    let name = policy.index.tenant_by_id.get(&subject);
    let tenant = name.and_then(|name| policy.tenants.get(name));
    Image {
        tenants: tenant
            .map(|tenant| (tenant.id, compile_tenant(policy, tenant, facts)))
            .into_iter()
            .collect(),
        gates: facts.devices.gates(),
        services: node::services(facts),
        ..Image::default()
    }
}

fn device_words(facts: &NodeFacts, region: DeviceRegion) -> String {
    match Kind::from_number(region.kind) {
        Some(kind) if region.minor != MINOR_ANY => {
            facts.devices.device_name(kind, region.major, region.minor)
        }
        _ => format!("major {}", region.major),
    }
}
