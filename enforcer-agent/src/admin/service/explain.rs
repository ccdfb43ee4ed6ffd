//! `Explain`: the decision code's answer, and, when asked for, that of the live programs beside it.

use enforcer_core::enforce::ProofRequest;
use enforcer_core::policy::explain::{DeviceRequest, Explanation, FlowRequest, explain_device, explain_flow};
use enforcer_core::policy::model::{Protocol, UnixNanos};
use enforcer_core::policy::problem::Problem;
use enforcer_proto::v1::{self, ExplainFlow, ExplainRequest, ExplainResponse, explain_request};
use tonic::Status;

use super::status;
use crate::door::policy::PolicyDoor;

/// Answers.
pub(super) async fn explain(
    door: &PolicyDoor,
    request: ExplainRequest,
    now: UnixNanos,
) -> Result<ExplainResponse, Status> {
    let ExplainRequest { what, prove } = request;
    let in_force = door.in_force();
    let (policy, facts) = (&in_force.current.policy, &in_force.facts);
    let (explanation, path) = match what {
        Some(explain_request::What::Flow(flow)) => {
            let flow = flow_request(flow, now).map_err(|problems| status::of_problems(&problems))?;
            (explain_flow(policy, facts, &flow), "flow")
        }
        Some(explain_request::What::Device(device)) => {
            let custody = door.custody().await.map_err(status::closed)?.map_err(status::unreadable)?;
            let request = DeviceRequest { subject: device.subject, device: device.device, custody };
            (explain_device(policy, facts, &request), "device")
        }
        None => return Err(wrong("what", "nothing was asked; set flow or device")),
    };
    let explanation = explanation.map_err(|error| wrong(path, &error.to_string()))?;
    let proof = if prove { proof(door, &explanation).await? } else { "not asked".to_owned() };
    Ok(message(explanation, in_force.current.number, proof))
}

fn message(explanation: Explanation, revision: u64, proof: String) -> ExplainResponse {
    let Explanation {
        verdict,
        rule,
        reason,
        reason_text,
        shadow,
        source_identity,
        destination_identity,
        mut steps,
        carriage,
        proof: _,
    } = explanation;
    if let Some((rule, action)) = shadow {
        steps.push(format!("rule {rule} is in audit mode; enforced, it would make this {action}"));
    }
    ExplainResponse {
        verdict: verdict.to_owned(),
        rule,
        reason: reason.to_owned(),
        reason_text: reason_text.to_owned(),
        revision,
        source_identity,
        destination_identity,
        steps,
        proof,
        carriage: carriage.word().to_owned(),
    }
}

async fn proof(door: &PolicyDoor, explanation: &Explanation) -> Result<String, Status> {
    let request: ProofRequest = match &explanation.proof {
        Ok(request) => request.clone(),
        Err(reason) => return Ok(format!("cannot: {reason}")),
    };
    let proof = match door.prove(request).await.map_err(status::closed)? {
        Ok(proof) => proof,
        Err(error) => return Ok(format!("cannot: {error}")),
    };
    let expected = explanation.verdict != "deny";
    Ok(match (proof.programs, proof.passed == expected) {
        (0, _) => "cannot: neither end is a workload with an interface on this node".to_owned(),
        (_, true) => "agrees".to_owned(),
        (_, false) => format!(
            "disagrees: the kernel's programs {} the packet",
            if proof.passed { "passed" } else { "refused" }
        ),
    })
}

fn flow_request(flow: ExplainFlow, now: UnixNanos) -> Result<FlowRequest, Vec<Problem>> {
    let protocol = protocol(&flow);
    let port = flow.port.map(u16::try_from).transpose();
    let icmp_type = flow.icmp_type.map(u8::try_from).transpose();
    let (Some(protocol), Ok(port), Ok(icmp_type)) = (protocol, port, icmp_type) else {
        let mut problems = Vec::new();
        if protocol.is_none() {
            problems.push(Problem::new("unknown_value", "flow.protocol", "say which protocol"));
        }
        if port.is_err() {
            problems.push(Problem::new("out_of_range", "flow.port", "a port is 0 to 65535"));
        }
        if icmp_type.is_err() {
            problems.push(Problem::new("out_of_range", "flow.icmp_type", "a type is 0 to 255"));
        }
        return Err(problems);
    };
    Ok(FlowRequest { source: flow.source, destination: flow.destination, protocol, port, icmp_type, now })
}

fn protocol(flow: &ExplainFlow) -> Option<Protocol> {
    match v1::Protocol::try_from(flow.protocol).ok()? {
        v1::Protocol::Unspecified => None,
        v1::Protocol::Tcp => Some(Protocol::Tcp),
        v1::Protocol::Udp => Some(Protocol::Udp),
        v1::Protocol::Sctp => Some(Protocol::Sctp),
        v1::Protocol::Icmp => Some(Protocol::Icmp),
        v1::Protocol::Icmpv6 => Some(Protocol::Icmpv6),
    }
}

fn wrong(path: &str, message: &str) -> Status {
    status::of_problems(&[Problem::new("unknown_name", path, message)])
}
