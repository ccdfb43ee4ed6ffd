//! What an operator wants, as values: which devices, whose, how far, until when.

use std::collections::BTreeSet;
use std::time::Duration;

use enforcer_common::maps::MINOR_ANY;
use enforcer_core::device::class::Role;
use enforcer_core::device::ledger::title;
use enforcer_core::device::number::DeviceNumber;
use enforcer_proto::v1;
use enforcer_proto::v1::revoke_request::Of;

use crate::door::device::Revocation;
use crate::door::policy::InForce;
use crate::handle::vacancy::Whose;

/// All steps together, when nothing else is asked for.
const DEADLINE: Duration = Duration::from_secs(30);

/// A step. Each is stronger than the one before, and takes it for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Gate,
    Handles,
    Freeze,
    Kill,
    Reset,
}

impl Step {
    pub(super) const ALL: [Self; 5] = [Self::Gate, Self::Handles, Self::Freeze, Self::Kill, Self::Reset];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Handles => "handles",
            Self::Freeze => "freeze",
            Self::Kill => "kill",
            Self::Reset => "reset",
        }
    }

    /// What is true when it has succeeded.
    pub(super) const fn strength(self) -> &'static str {
        match self {
            Self::Gate => "no new opens",
            Self::Handles => "no new use through the kernel; mappings and doorbells go on",
            Self::Freeze => "stopped",
            Self::Kill => "gone",
            Self::Reset => "gone and reset",
        }
    }
}

/// What an operator wants.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    /// Never empty.
    pub(super) devices: BTreeSet<DeviceNumber>,
    pub(super) whose: Whose,
    /// The device or tenant, for the record.
    pub(super) subject: String,
    pub(super) to: Step,
    pub(super) deadline: Duration,
    pub(super) reason: String,
    pub(super) actor: String,
}

/// From the request's words.
pub(super) fn parse(in_force: &InForce, revocation: &Revocation) -> Result<Wish, String> {
    let v1::RevokeRequest { of, to, deadline_ms, reason } = &revocation.request;
    let to = Step::ALL
        .into_iter()
        .find(|step| step.word() == to)
        .ok_or_else(|| format!("\"{to}\" is no step: gate, handles, freeze, kill or reset"))?;
    let (devices, whose, subject) = match of {
        Some(Of::Device(name)) => device(in_force, name)?,
        Some(Of::Tenant(name)) => tenant(in_force, name)?,
        None => return Err("name a device or a tenant".to_owned()),
    };
    let deadline = deadline_ms.map_or(DEADLINE, |ms| Duration::from_millis(ms.into()));
    let (reason, actor) = (reason.clone(), revocation.actor.clone());
    Ok(Wish { devices, whose, subject, to, deadline, reason, actor })
}

type Target = (BTreeSet<DeviceNumber>, Whose, String);

fn device(in_force: &InForce, name: &str) -> Result<Target, String> {
    let table = &in_force.facts.devices;
    let region = table.parse_device(name).map_err(|error| error.to_string())?;
    let device = DeviceNumber::from_words(region.kind, region.major, region.minor)
        .filter(|device| table.class_of(device.kind, device.major, device.minor).is_some())
        .ok_or_else(|| format!("\"{name}\" is no gated device: there is no gate to close"))?;
    Ok(([device].into(), Whose::Anybody, title(table, device)))
}

/// The accelerators that a tenant was granted. Control devices are doors of the node for everybody, and are not closed for
/// one tenant's sake.
fn tenant(in_force: &InForce, name: &str) -> Result<Target, String> {
    let tenant = in_force.current.policy.tenants.get(name);
    let tenant = tenant.ok_or_else(|| format!("there is no tenant \"{name}\" in the policy in force"))?;
    let table = &in_force.facts.devices;
    let accelerators =
        tenant.devices.iter().filter(|grant| table.role(&grant.class) == Some(Role::Accelerator));
    let regions = accelerators
        .flat_map(|grant| table.resolve(&grant.class, grant.minors.as_deref()).unwrap_or_default());
    let devices: BTreeSet<DeviceNumber> = regions
        .filter(|region| region.minor != MINOR_ANY)
        .filter_map(|region| DeviceNumber::from_words(region.kind, region.major, region.minor))
        .collect();
    if devices.is_empty() {
        return Err(format!("tenant \"{name}\" was granted no accelerator of this node"));
    }
    Ok((devices, Whose::Tenant(tenant.id), name.to_owned()))
}
