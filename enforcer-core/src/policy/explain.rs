//! Why: the verdict on a flow or a device from the very code that the kernel runs, with the way to it in
//! words, and the packet that would prove it.

mod device;
mod flow;
pub mod frame;
mod party;
mod steps;

use enforcer_common::reason;
use enforcer_common::verdict::{DENY, Verdict, action_name};

use crate::enforce::ProofRequest;
use crate::policy::carriage::Carriage;
use crate::policy::compile::asks_for_tunnel;
use crate::policy::model::Policy;

pub use crate::event::names::rule_name;
pub use device::{DeviceRequest, explain_device};
pub use flow::{FlowRequest, explain_flow};

/// A verdict with its grounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// `allow`, `deny` or `audit`.
    pub verdict: &'static str,
    /// Name of the rule, or of the default.
    pub rule: String,
    /// The word of the drop reason; `none` when allowed.
    pub reason: &'static str,
    /// The same as a sentence.
    pub reason_text: &'static str,
    /// An audit rule that would change the verdict, and to what.
    pub shadow: Option<(String, &'static str)>,
    /// Tenant name, or `host`, `world`, `remote-node`, `unknown`, or a host service.
    pub source_identity: String,
    /// The same of the other end; empty for a device.
    pub destination_identity: String,
    /// The way to the verdict, a line a step.
    pub steps: Vec<String>,
    /// How the flow is carried, if a rule allows it over mutual TLS.
    pub carriage: Carriage,
    /// A packet of this flow for the live programs, or why there is none.
    pub proof: Result<ProofRequest, &'static str>,
}

/// Why there is nothing to explain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// No workload, tenant or address.
    #[error("\"{0}\" is no workload, no tenant and no address")]
    UnknownParty(String),
    /// No workload, tenant, host service or cgroup path.
    #[error("\"{0}\" is no workload, no tenant, no host service and no absolute cgroup path")]
    UnknownSubject(String),
    /// TCP, UDP and SCTP have ports.
    #[error("{0} needs a port")]
    PortMissing(&'static str),
    /// ICMP has types.
    #[error("{0} needs an ICMP type")]
    TypeMissing(&'static str),
    /// The two ends have no addresses of one family, or not of the protocol's.
    #[error("{0} cannot run between {1} and {2}: no two addresses of one family that it runs over")]
    Family(&'static str, String, String),
    /// What the device table says.
    #[error(transparent)]
    Device(#[from] crate::device::name::UnknownDevice),
    /// A device of no gated class.
    #[error("\"{0}\" is no device of a gated class: the gate leaves it to others")]
    NotGated(String),
}

/// The sentence of a drop reason.
#[must_use]
pub fn reason_text(number: u16) -> &'static str {
    reason::ALL.iter().find(|(known, ..)| *known == number).map_or("", |(_, _, text)| text.trim())
}

/// What an audit rule would make of it.
fn shadow_word(policy: &Policy, verdict: &Verdict) -> &'static str {
    match verdict.shadow_action {
        DENY if asks_for_tunnel(policy, verdict.shadow_rule) => "allow over mutual TLS alone",
        action => action_name(action),
    }
}

fn explained(policy: &Policy, verdict: &Verdict, source: String, destination: String) -> Explanation {
    let shadow = (verdict.shadow_rule != 0)
        .then(|| (rule_name(policy, verdict.shadow_rule), shadow_word(policy, verdict)));
    Explanation {
        verdict: action_name(verdict.action),
        rule: rule_name(policy, verdict.rule),
        reason: reason::name(verdict.reason),
        reason_text: reason_text(verdict.reason),
        shadow,
        source_identity: source,
        destination_identity: destination,
        steps: Vec::new(),
        carriage: Carriage::Plain,
        proof: Err("there is no packet of this"),
    }
}
