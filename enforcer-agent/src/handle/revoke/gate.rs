//! The first two steps, in the kernel: nobody opens the device any more, and what is held is refused.

use std::sync::Arc;

use enforcer_core::device::holding::GateCustody;
use enforcer_core::device::ledger::title;
use enforcer_core::device::number::DeviceNumber;
use enforcer_core::node::Capability;

use super::ladder::Outcome;
use super::wish::Wish;
use crate::door::device::{CustodyCommand, Quarantine};
use crate::handle::desk::Desk;

/// Closes the gate of each device, and reads from the kernel that it is.
pub(super) async fn close(desk: &Arc<Desk>, wish: &Wish) -> Outcome {
    let in_force = desk.parts.policy.in_force();
    let mut open = Vec::new();
    for device in &wish.devices {
        if let Err(why) = close_one(desk, wish, *device).await {
            open.push(format!("{}: {why}", title(&in_force.facts.devices, *device)));
        }
    }
    if !open.is_empty() {
        return Outcome::Failed(open.join("; "));
    }
    let closed: Vec<String> =
        wish.devices.iter().map(|device| title(&in_force.facts.devices, *device)).collect();
    Outcome::Ok(format!("closed to every tenant: {}", closed.join(", ")))
}

async fn close_one(desk: &Desk, wish: &Wish, device: DeviceNumber) -> Result<(), String> {
    match &desk.parts.custody {
        Some(custody) => {
            let (reason, actor) = (format!("revoked: {}", wish.reason), wish.actor.clone());
            let quarantine = Quarantine { device, reason, actor };
            let asked = custody.ask(|reply| CustodyCommand::Quarantine(quarantine, reply)).await;
            asked.map_err(|closed| closed.to_string())??;
        }
        None => {
            let set = desk.parts.policy.set_custody(device, Some(GateCustody::Closed)).await;
            set.map_err(|closed| closed.to_string())??;
        }
    }
    let held = desk.parts.policy.custody().await.map_err(|closed| closed.to_string())??;
    match held.get(&device) {
        Some(GateCustody::Closed) => Ok(()),
        other => Err(format!("the kernel does not have it closed, but {other:?}")),
    }
}

/// Nothing is left to be done: where the hooks are proven, they ask the closed gate at each use.
pub(super) fn refuse(desk: &Arc<Desk>) -> Outcome {
    match &desk.parts.policy.in_force().facts.capabilities.device_handles {
        Capability::Present => Outcome::Ok(
            "held descriptors are refused since the gate closed; what is mapped already goes on".to_owned(),
        ),
        Capability::Absent(why) => Outcome::Absent(format!("held descriptors go on working: {why}")),
    }
}
