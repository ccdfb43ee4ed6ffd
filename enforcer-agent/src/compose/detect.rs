//! The detection room, joined to records, policy, identities and the kernel.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use enforcer_core::detect::respond::Mode;
use enforcer_core::enforce::{Response, ResponseMode};
use enforcer_core::identity::target::Target;
use enforcer_core::policy::model::Name;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::clock;
use crate::config::Settings;
use crate::config::settings::DetectionSettings;
use crate::detect::{self, Hands, Lasting, Parts};
use crate::door::detect::DetectDoor;
use crate::door::identity::{Command, IdentityDoor, Order};
use crate::door::policy::PolicyDoor;
use crate::door::records::{Subscribe, Tell};
use crate::door::stop::Stop;

/// How long it may take until a revocation that was accepted is known here.
const KNOWN_MAX: Duration = Duration::from_secs(10);
/// Who withdraws certificates, for the identity wall's record.
const AUTHOR: &str = "agent";

/// What the room is joined to.
pub(super) struct Joints<'a> {
    pub(super) policy: &'a PolicyDoor,
    pub(super) identity: Option<IdentityDoor>,
    pub(super) subscribe: Subscribe,
    pub(super) tell: Tell,
    pub(super) stop: Stop,
}

/// Opens the room and starts it.
pub(super) fn open(
    settings: &Settings,
    detection: &DetectionSettings,
    joints: Joints<'_>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<DetectDoor> {
    let Joints { policy, identity, subscribe, tell, stop } = joints;
    let rules = detect::load(detection.rules.as_deref()).context("the rules of detection")?;
    let (door, room) = detect::open(Parts {
        node: settings.node_name.clone(),
        rules,
        responses_per_tenant: detection.responses_per_tenant,
        state_directory: settings.state_directory.clone(),
        subscribe,
        tell,
        in_force: policy.watch(),
        hands: Arc::new(NodeHands { policy: policy.clone(), identity }),
        clock: clock::now,
        stop,
    })
    .context("the state of detection")?;
    tasks.spawn(room);
    Ok(door)
}

/// The kernel's hand by the policy room, the certificates' by the identity room.
struct NodeHands {
    policy: PolicyDoor,
    identity: Option<IdentityDoor>,
}

impl NodeHands {
    fn identity(&self) -> Result<&IdentityDoor, String> {
        self.identity.as_ref().ok_or_else(|| "identities are turned off on this node".to_owned())
    }

    /// Waits until it is known here whether a workload is revoked: what is undone too early would not be undone.
    async fn until_known(door: &IdentityDoor, workload: &Name, is_revoked: bool) -> Result<(), String> {
        let mut trust = door.trust.clone();
        let known = trust.wait_for(|trust| trust.revoked.workloads.contains(workload) == is_revoked);
        match timeout(KNOWN_MAX, known).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err("the agent is stopping".to_owned()),
            Err(_) => Err("it was accepted, and is not known here yet".to_owned()),
        }
    }
}

#[tonic::async_trait]
impl Hands for NodeHands {
    async fn hold(&self, tenant: &Name, hold: Option<Lasting>) -> Result<(), String> {
        if hold.is_none() && !self.policy.in_force().current.policy.tenants.contains_key(tenant) {
            // Whoever has left the policy is held by nobody.
            return Ok(());
        }
        let response = hold.map(|Lasting { mode, lasts }| {
            let mode = match mode {
                Mode::DenyNew => ResponseMode::DenyNew,
                // A limit of nothing denies.
                Mode::Limit(rate) => match NonZeroU32::new(rate) {
                    Some(flows_per_second) => ResponseMode::Limit { flows_per_second },
                    None => ResponseMode::DenyNew,
                },
            };
            Response { mode, lasts }
        });
        let answer = self.policy.respond(Arc::clone(tenant), response).await;
        answer.map_err(|closed| closed.to_string())?
    }

    async fn revoke(&self, workload: &Name, resumed: bool, reason: &str) -> Result<(), String> {
        let door = self.identity()?;
        if door.trust.borrow().revoked.workloads.contains(workload) {
            let somebody = "it is revoked already, by somebody who has not asked for an end of it";
            return if resumed { Ok(()) } else { Err(somebody.to_owned()) };
        }
        let target = Target::Workload(Arc::clone(workload));
        let order = Order { target, reason: reason.to_owned(), author: AUTHOR.to_owned() };
        let answer = door.ask(|reply| Command::Revoke(order, reply)).await;
        answer.map_err(|closed| closed.to_string())?.map_err(|refused| refused.to_string())?;
        Self::until_known(door, workload, true).await
    }

    async fn restore(&self, workload: &Name) -> Result<(), String> {
        let door = self.identity()?;
        if !door.trust.borrow().revoked.workloads.contains(workload) {
            return Ok(());
        }
        let target = Target::Workload(Arc::clone(workload));
        let order = Order { target, reason: "its time was up".to_owned(), author: AUTHOR.to_owned() };
        let answer = door.ask(|reply| Command::Restore(order, reply)).await;
        answer.map_err(|closed| closed.to_string())?.map_err(|refused| refused.to_string())?;
        Self::until_known(door, workload, false).await
    }
}
