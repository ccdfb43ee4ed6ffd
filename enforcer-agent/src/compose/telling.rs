//! How much the kernel tells, as the configuration says it.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_common::telling::{AGGREGATION_CONNECTIONS, AGGREGATION_NONE, AGGREGATION_STATES, Telling};

use enforcer_core::enforce;
use enforcer_core::policy::model::Name;
use tracing::warn;

use crate::config::settings::{Aggregation, RecordingSettings};
use crate::door::policy::{Closed, PolicyDoor};

/// Rates are for a second, and what was not used of one second may be used at once in the next.
pub(super) const fn telling(recording: &RecordingSettings) -> Telling {
    Telling {
        security_rate: recording.events_per_second,
        security_burst: recording.events_per_second,
        sample_rate: recording.samples_per_second,
        sample_burst: recording.samples_per_second,
        process_rate: recording.processes_per_second,
        process_burst: recording.processes_per_second,
        packet_bytes: recording.packet_bytes,
        aggregation: match recording.aggregation {
            Aggregation::None => AGGREGATION_NONE,
            Aggregation::Connections => AGGREGATION_CONNECTIONS,
            Aggregation::States => AGGREGATION_STATES,
        },
    }
}

/// Has the kernel know which tenants have an aggregation of their own, whenever the policy gives them numbers.
pub(super) async fn follow(door: PolicyDoor, tenants: BTreeMap<Name, Aggregation>) {
    let level = |aggregation: &Aggregation| match aggregation {
        Aggregation::None => enforce::Aggregation::None,
        Aggregation::Connections => enforce::Aggregation::Connections,
        Aggregation::States => enforce::Aggregation::States,
    };
    let mut in_force = door.watch();
    loop {
        let policy = Arc::clone(&in_force.borrow_and_update().current.policy);
        let is_here = |name: &Name| policy.tenants.contains_key(name);
        let here = tenants.iter().filter(|(name, _)| is_here(name));
        let wanted = here.map(|(name, aggregation)| (Name::clone(name), level(aggregation))).collect();
        match door.aggregate(wanted).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error, "how much is told of some tenants could not be set"),
            Err(Closed) => return,
        }
        if in_force.changed().await.is_err() {
            return;
        }
    }
}
