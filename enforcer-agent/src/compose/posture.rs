//! The posture room, joined to the policy, NVIDIA's driver and the records.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::{clock, custody};
use crate::config::Settings;
use crate::door::device::{Door, PostureCommand};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::nvidia::child::Asker;
use crate::posture::{self, Parts, Reader};

/// Who asks NVIDIA's driver: as the scrubber, where there is one for its devices.
pub(super) fn asker(settings: &Settings) -> Asker {
    let group = custody::asking(settings);
    Asker::own(settings.device_gate.posture.nvml_library.as_deref(), group.as_deref())
}

/// Opens the room and starts it.
pub(super) fn open(
    settings: &Settings,
    policy: &PolicyDoor,
    asker: Asker,
    (tell, stop): (Tell, Stop),
    tasks: &mut JoinSet<()>,
) -> Door<PostureCommand> {
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
