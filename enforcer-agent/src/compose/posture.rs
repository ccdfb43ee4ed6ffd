//! The posture room, joined to the policy, NVIDIA's driver and the records.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::clock;
use crate::config::Settings;
use crate::door::device::{Door, PostureCommand};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::nvidia::child::Asker;
use crate::posture::{self, Parts, Reader};

/// Opens the room and starts it.
pub(super) fn open(
    settings: &Settings,
    policy: &PolicyDoor,
    tell: Tell,
    stop: Stop,
    tasks: &mut JoinSet<()>,
) -> Door<PostureCommand> {
    let asker = Asker::default();
    let (door, room) = posture::open(Parts {
        node: settings.node_name.clone(),
        reader: Reader {
            proc: "/proc".into(),
            sys: "/sys".into(),
            cgroups: settings.cgroup_root.clone(),
            nvidia: Arc::new(move || asker.ask()),
        },
        every: settings.device_gate.posture.every,
        policy: policy.clone(),
        tell,
        clock: clock::now,
        stop,
    });
    tasks.spawn(room);
    door
}
