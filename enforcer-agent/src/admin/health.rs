//! gRPC health: serving once the kernel holds what it should, and only then.

use std::sync::Arc;

use enforcer_proto::v1::node_service_server::NodeServiceServer;
use enforcer_proto::v1::policy_service_server::PolicyServiceServer;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::service::node::NodeCalls;
use super::service::policy::PolicyCalls;
use crate::door::policy::InForce;
use crate::door::stop::Stop;

/// Follows what is in force until the agent stops.
pub(super) async fn follow(
    reporter: HealthReporter,
    mut in_force: watch::Receiver<Arc<InForce>>,
    mut stop: Stop,
) {
    loop {
        let ready = in_force.borrow_and_update().ready;
        tell(&reporter, ready).await;
        tokio::select! {
            () = stop.wait() => break,
            changed = in_force.changed() => if changed.is_err() { break },
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
