//! What a node enforces, as its kernel says: with stable field names.

mod text;

use enforcer_proto::v1;
use serde::Serialize;

use crate::{hex, instant};

/// What a node enforces.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusView {
    node: String,
    version: String,
    kernel: String,
    abi: u32,
    revision: u64,
    digest: String,
    in_sync: bool,
    /// `None` when the identity wall was turned off.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity_ready: Option<bool>,
    drift: Vec<String>,
    device_gate_mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    hooks: Vec<HookView>,
    capabilities: Vec<CapabilityView>,
    capacities: Vec<CapacityView>,
    losses: Vec<LossView>,
    unencrypted: Vec<UnencryptedView>,
    uncovered: Vec<UncoveredView>,
    warnings: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct HookView {
    name: String,
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    program_id: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    program_tag: String,
    attached_to: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CapabilityView {
    name: String,
    present: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct CapacityView {
    name: String,
    used: u64,
    capacity: u64,
    memory_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct LossView {
    cause: String,
    /// On whose behalf; empty when that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    source: String,
    count: u64,
}

/// What of a tenant may leave the node unencrypted.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct UnencryptedView {
    tenant: String,
    what: Vec<String>,
}

/// An attack on devices that the node does not stop.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct UncoveredView {
    attack: String,
    what: String,
    why: String,
}

impl From<v1::Uncovered> for UncoveredView {
    fn from(uncovered: v1::Uncovered) -> Self {
        let v1::Uncovered { attack, what, why } = uncovered;
        Self { attack, what, why }
    }
}

impl From<v1::StatusResponse> for StatusView {
    fn from(response: v1::StatusResponse) -> Self {
        let v1::StatusResponse {
            node,
            version,
            kernel,
            abi,
            revision,
            digest,
            in_sync,
            drift,
            hooks,
            capacities,
            capabilities,
            device_gate_mode,
            warnings,
            losses,
            started,
            identity_ready,
            unencrypted,
            uncovered,
        } = response;
        Self {
            node,
            version,
            kernel,
            abi,
            revision,
            digest: hex::encode(&digest),
            in_sync,
            identity_ready,
            drift,
            device_gate_mode,
            started: started.as_ref().map(instant::rfc3339),
            hooks: hooks.into_iter().map(HookView::from).collect(),
            capabilities: capabilities.into_iter().map(CapabilityView::from).collect(),
            capacities: capacities.into_iter().map(CapacityView::from).collect(),
            losses: losses.into_iter().map(LossView::from).collect(),
            unencrypted: unencrypted.into_iter().map(UnencryptedView::from).collect(),
            uncovered: uncovered.into_iter().map(UncoveredView::from).collect(),
            warnings,
        }
    }
}

impl From<v1::Hook> for HookView {
    fn from(hook: v1::Hook) -> Self {
        let v1::Hook { name, state, reason, program_id, program_tag, attached_to } = hook;
        let state = match v1::HookState::try_from(state) {
            Ok(v1::HookState::Verified) => "verified",
            Ok(v1::HookState::Declared) => "declared",
            Ok(v1::HookState::Absent) => "absent",
            Ok(v1::HookState::Unspecified) | Err(_) => "unknown",
        };
        Self {
            name,
            state,
            reason,
            program_id: (program_id != 0).then_some(program_id),
            program_tag,
            attached_to,
        }
    }
}

impl From<v1::Capability> for CapabilityView {
    fn from(capability: v1::Capability) -> Self {
        let v1::Capability { name, present, reason } = capability;
        Self { name, present, reason }
    }
}

impl From<v1::Capacity> for CapacityView {
    fn from(capacity: v1::Capacity) -> Self {
        let v1::Capacity { name, used, capacity, memory_bytes } = capacity;
        Self { name, used, capacity, memory_bytes }
    }
}

impl From<v1::Loss> for LossView {
    fn from(loss: v1::Loss) -> Self {
        let v1::Loss { cause, source, count } = loss;
        Self { cause, source, count }
    }
}

impl From<v1::Unencrypted> for UnencryptedView {
    fn from(unencrypted: v1::Unencrypted) -> Self {
        let v1::Unencrypted { tenant, what } = unencrypted;
        Self { tenant, what }
    }
}

impl StatusView {
    /// Why the node is not ready: the kernel does not hold exactly what the policy in force compiles to, or a
    /// certificate is late.
    pub(crate) const fn not_ready(&self) -> Option<&'static str> {
        match (self.in_sync, self.identity_ready) {
            (false, _) => Some("the kernel does not hold the policy in force yet"),
            (true, Some(false)) => {
                Some("a workload's certificate is late; `enforcerctl identity list` says whose")
            }
            (true, Some(true) | None) => None,
        }
    }
}
