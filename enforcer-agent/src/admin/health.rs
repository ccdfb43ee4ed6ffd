//! gRPC health: serving once the kernel holds what it should, and only then.

use std::sync::Arc;

use enforcer_proto::v1::node_service_server::NodeServiceServer;
use enforcer_proto::v1::policy_service_server::PolicyServiceServer;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::service::node::NodeCalls;
use super::service::policy::PolicyCalls;
use crate::door::identity::Health;
use crate::door::policy::InForce;
use crate::door::stop::Stop;

/// Follows what is in force, and the identity wall if there is one, until the agent stops.
pub(super) async fn follow(
    reporter: HealthReporter,
    mut in_force: watch::Receiver<Arc<InForce>>,
    identity: Option<watch::Receiver<Health>>,
    mut stop: Stop,
) {
    // Without an identity wall nothing is ever said of it.
    let quiet = watch::Sender::new(Health { ready: true, warnings: Vec::new() });
    let mut identity = identity.unwrap_or_else(|| quiet.subscribe());
    loop {
        let ready = in_force.borrow_and_update().ready && identity.borrow_and_update().ready;
        tell(&reporter, ready).await;
        tokio::select! {
            () = stop.wait() => break,
            changed = in_force.changed() => if changed.is_err() { break },
            changed = identity.changed() => if changed.is_err() { break },
        }
    }
    tell(&reporter, false).await;
}

async fn tell(reporter: &HealthReporter, ready: bool) {
    let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
    reporter.set_service_status("", status).await;
    if ready {
        reporter.set_serving::<PolicyServiceServer<PolicyCalls>>().await;
        reporter.set_serving::<NodeServiceServer<NodeCalls>>().await;
    } else {
        reporter.set_not_serving::<PolicyServiceServer<PolicyCalls>>().await;
        reporter.set_not_serving::<NodeServiceServer<NodeCalls>>().await;
    }
}
