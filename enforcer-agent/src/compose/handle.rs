//! The room of handles, joined to the kernel, to custody where that room is open, and to the records.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::clock;
use crate::config::Settings;
use crate::door::device::{DeviceDoors, Door, HandleCommand};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::handle::{self, Parts};
use crate::nvidia::child::Asker;

/// Opens the room and starts it. It needs no configuration: who holds a device can always be asked.
pub(super) fn open(
    settings: &Settings,
    (policy, devices): (&PolicyDoor, &DeviceDoors),
    asker: Asker,
    (tell, stop): (&Tell, Stop),
    tasks: &mut JoinSet<()>,
) -> Door<HandleCommand> {
    let (handles, revoke) = (&settings.device_gate.handles, &settings.device_gate.revoke);
    let (door, room) = handle::open(Parts {
        node: settings.node_name.clone(),
        settings: handle::Settings {
            sweep: handles.sweep,
            patience: handles.grant_without_holder,
            pod_resources: handles.pod_resources.clone(),
            reset: revoke.reset_command.clone(),
            reset_within: revoke.reset_within,
        },
        cgroup_root: settings.cgroup_root.clone(),
        policy: policy.clone(),
        custody: devices.custody.clone(),
        driver_processes: Some(asker.clone().processes()),
        driver_ids: Some(asker.ids()),
        tell: Arc::clone(tell),
        clock: clock::now,
        stop,
    });
    tasks.spawn(room);
    door
}
