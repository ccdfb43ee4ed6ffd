//! A record as a flow. A decision is a policy verdict (type 5), a packet that went no further is a drop (type 1), and what
//! a connection does later is a trace (type 4).

use std::net::IpAddr;

use enforcer_common::event::{
    HOOK_CONNECT, HOOK_FROM_WORKLOAD, HOOK_SENDMSG, HOOK_SOCKET_EGRESS, HOOK_SOCKET_INGRESS,
    HOOK_TO_WORKLOAD, hook_name,
};
use enforcer_common::verdict::{ALLOW, AUDIT, DENY, action_name};
use enforcer_proto::hubble::flow::{
    CiliumEventType, Emitter, Flow, FlowType, Ip, IpVersion, Policy, TraceContext, TraceObservationPoint,
    TraceParent, TraceReason, TrafficDirection, Verdict,
};
use enforcer_proto::hubble::observer::GetFlowsResponse;
use enforcer_proto::hubble::observer::get_flows_response::ResponseTypes;
use enforcer_proto::v1;

use super::end::endpoint;
use super::identifier::uuid;
use super::layer4::layer4;
use super::lost::lost;
use super::names::Names;
use super::reason::drop_reason;
use super::summary::summary;
use crate::event::names::is_default_rule;
use crate::event::record::{FLOW, LOSS, TUNNEL};
use crate::policy::model::PortRange;

const EMITTER: &str = "enforcer";

/// `event_type.type` of drops.
pub const EVENT_DROP: i32 = 1;
/// `event_type.type` of traces.
pub const EVENT_TRACE: i32 = 4;
/// `event_type.type` of policy verdicts.
pub const EVENT_POLICY_VERDICT: i32 = 5;

/// True for a record that is a flow: everything else, devices above all, is none, and is never shown as one.
#[must_use]
pub fn is_flow(record: &v1::Record) -> bool {
    matches!(record.r#type.as_str(), FLOW | TUNNEL)
}

/// A flow as a client gets it.
#[must_use]
pub fn flow_response(flow: Flow) -> GetFlowsResponse {
    let (node_name, time) = (flow.node_name.clone(), flow.time);
    GetFlowsResponse { node_name, time, response_types: Some(ResponseTypes::Flow(flow)) }
}

/// A loss as a client gets it; `None` for a record that is none.
#[must_use]
pub fn lost_response(record: &v1::Record, names: &Names) -> Option<GetFlowsResponse> {
    (record.r#type == LOSS).then(|| GetFlowsResponse {
        node_name: names.node(&record.node),
        time: record.time,
        response_types: Some(ResponseTypes::LostEvents(lost(record))),
    })
}

/// The flow of a record; `None` for a record that is none.
#[must_use]
pub fn flow(record: &v1::Record, names: &Names) -> Option<Flow> {
    if !is_flow(record) {
        return None;
    }
    let step = step(record);
    let (verdict, direction) = (verdict(record, step), direction(record));
    let reason = drop_reason(&record.reason);
    let layer4 = layer4(record);
    let end = |end: &Option<v1::Endpoint>| end.as_ref().map(|end| endpoint(end, names));
    let mut flow = Flow {
        time: record.time,
        uuid: uuid(record),
        emitter: Some(Emitter { name: EMITTER.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() }),
        verdict: verdict as i32,
        drop_reason: u32::try_from(reason as i32).unwrap_or(0),
        drop_reason_desc: reason as i32,
        ip: ip(record),
        source: end(&record.source),
        destination: end(&record.destination),
        r#type: FlowType::L3L4 as i32,
        node_name: names.node(&record.node),
        event_type: Some(event_type(step, reason as i32)),
        traffic_direction: direction as i32,
        policy_match_type: if step == Step::Decision { match_type(record, names) } else { 0 },
        trace_observation_point: step.point() as i32,
        trace_reason: trace_reason(step) as i32,
        is_reply: (step != Step::Drop).then_some(false),
        trace_context: trace_context(record),
        socket_cookie: cookie(record),
        cgroup_id: record.process.as_ref().map_or(0, |process| process.cgroup_id),
        summary: summary(record, layer4.as_ref(), names),
        l4: layer4,
        ..Flow::default()
    };
    decided_by(&mut flow, record, names, direction);
    Some(flow)
}

/// What a record tells of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Whether it may be: asked by a socket, or by the first packet.
    Decision,
    /// A packet, or a tunnelled connection, that went no further.
    Drop,
    /// How it went on.
    Trace(TraceObservationPoint),
}

impl Step {
    const fn point(self) -> TraceObservationPoint {
        match self {
            Self::Trace(point) => point,
            Self::Decision | Self::Drop => TraceObservationPoint::UnknownPoint,
        }
    }
}

fn step(record: &v1::Record) -> Step {
    if let Some(facts) = &record.tunnel {
        let point = match facts.direction.as_str() {
            "inbound" => TraceObservationPoint::FromOverlay,
            _ => TraceObservationPoint::ToOverlay,
        };
        return match facts.event.as_str() {
            "refused" => Step::Drop,
            "closed" => Step::Trace(point),
            _ => Step::Decision,
        };
    }
    let event = record.flow.as_ref().map_or("", |facts| facts.event.as_str());
    if !matches!(event, "" | "opened") {
        return Step::Trace(match direction(record) {
            TrafficDirection::Ingress => TraceObservationPoint::ToEndpoint,
            TrafficDirection::Egress | TrafficDirection::Unknown => TraceObservationPoint::FromEndpoint,
        });
    }
    // A socket that may not connect has sent nothing that could be dropped.
    let is_call = [HOOK_CONNECT, HOOK_SENDMSG].map(hook_name).contains(&record.hook.as_str());
    if record.verdict == action_name(DENY) && !is_call { Step::Drop } else { Step::Decision }
}

/// An audit rule that would have refused makes a verdict that was only audited, as a tenant in audit mode does.
fn verdict(record: &v1::Record, step: Step) -> Verdict {
    let is = |action| record.verdict == action_name(action);
    match step {
        _ if is(DENY) => Verdict::Dropped,
        _ if is(AUDIT) => Verdict::Audit,
        Step::Decision if is(ALLOW) && !record.shadow_rule.is_empty() => Verdict::Audit,
        Step::Trace(_) => Verdict::Forwarded,
        _ if is(ALLOW) => Verdict::Forwarded,
        Step::Decision | Step::Drop => Verdict::Unknown,
    }
}

fn direction(record: &v1::Record) -> TrafficDirection {
    if let Some(facts) = &record.tunnel {
        return match facts.direction.as_str() {
            "inbound" => TrafficDirection::Ingress,
            "outbound" => TrafficDirection::Egress,
            _ => TrafficDirection::Unknown,
        };
    }
    let hook = record.hook.as_str();
    let egress = [HOOK_FROM_WORKLOAD, HOOK_CONNECT, HOOK_SENDMSG, HOOK_SOCKET_EGRESS];
    if egress.map(hook_name).contains(&hook) {
        return TrafficDirection::Egress;
    }
    if [HOOK_TO_WORKLOAD, HOOK_SOCKET_INGRESS].map(hook_name).contains(&hook) {
        return TrafficDirection::Ingress;
    }
    let is_ours = |end: &Option<v1::Endpoint>| end.as_ref().is_some_and(|end| !end.workload.is_empty());
    match (is_ours(&record.source), is_ours(&record.destination)) {
        (true, _) => TrafficDirection::Egress,
        (false, true) => TrafficDirection::Ingress,
        (false, false) => TrafficDirection::Unknown,
    }
}

fn event_type(step: Step, reason: i32) -> CiliumEventType {
    let (r#type, sub_type) = match step {
        Step::Decision => (EVENT_POLICY_VERDICT, 0),
        Step::Drop => (EVENT_DROP, reason),
        // The one point whose two numbers differ.
        Step::Trace(TraceObservationPoint::ToEndpoint) => (EVENT_TRACE, 0),
        Step::Trace(point) => (EVENT_TRACE, point as i32),
    };
    CiliumEventType { r#type, sub_type }
}

const fn trace_reason(step: Step) -> TraceReason {
    match step {
        Step::Trace(_) => TraceReason::Established,
        Step::Decision | Step::Drop => TraceReason::Unknown,
    }
}

/// Empty addresses stay empty: a socket before it is bound, the other end of a half.
fn ip(record: &v1::Record) -> Option<Ip> {
    let address =
        |end: &Option<v1::Endpoint>| end.as_ref().map_or_else(String::new, |end| end.address.clone());
    let (source, destination) = (address(&record.source), address(&record.destination));
    let version = [&source, &destination]
        .into_iter()
        .find_map(|text| text.parse::<IpAddr>().ok())
        .map(|ip| if ip.is_ipv4() { IpVersion::IPv4 } else { IpVersion::IPv6 })?;
    let encrypted = record.r#type == TUNNEL && record.verdict != action_name(DENY);
    Some(Ip { source, destination, ip_version: version as i32, encrypted, source_xlated: String::new() })
}

/// As Cilium numbers what a rule looked at. Defaults look at who it is, or at nothing.
fn match_type(record: &v1::Record, names: &Names) -> u32 {
    const NOTHING: u32 = 0;
    const WHO: u32 = 1;
    const WHO_AND_PORT: u32 = 2;
    const WHO_AND_PROTOCOL: u32 = 5;
    let whole = |range: &PortRange| range.first == 0 && range.last == u16::MAX;
    match names.rule(deciding_rule(record)).map(|rule| rule.ports.as_deref()) {
        None => NOTHING,
        Some(None) => WHO,
        Some(Some(ports)) if ports.iter().all(whole) => WHO_AND_PROTOCOL,
        Some(Some(_)) => WHO_AND_PORT,
    }
}

/// The rule that a client is to see behind the verdict: where an audit rule makes it an audited one, that rule.
fn deciding_rule(record: &v1::Record) -> &str {
    if record.verdict == action_name(ALLOW) && !record.shadow_rule.is_empty() {
        return &record.shadow_rule;
    }
    &record.rule
}

fn decided_by(flow: &mut Flow, record: &v1::Record, names: &Names, direction: TrafficDirection) {
    let rule = deciding_rule(record);
    if rule.is_empty() || is_default_rule(rule) {
        return;
    }
    let owner = if rule == record.rule { record.rule_owner.as_str() } else { "" };
    let policy = names.policy_of(rule, owner, record.revision);
    let is_allowed = flow.verdict == Verdict::Forwarded as i32;
    place(flow, is_allowed, direction).push(policy);
}

/// Rules belong to the tenant that is reached, so what has no direction is told of its side.
fn place(flow: &mut Flow, is_allowed: bool, direction: TrafficDirection) -> &mut Vec<Policy> {
    match (direction, is_allowed) {
        (TrafficDirection::Egress, true) => &mut flow.egress_allowed_by,
        (TrafficDirection::Egress, false) => &mut flow.egress_denied_by,
        (TrafficDirection::Ingress | TrafficDirection::Unknown, true) => &mut flow.ingress_allowed_by,
        (TrafficDirection::Ingress | TrafficDirection::Unknown, false) => &mut flow.ingress_denied_by,
    }
}

fn trace_context(record: &v1::Record) -> Option<TraceContext> {
    let trace_id = record.tunnel.as_ref().map(|facts| facts.trace_id.clone()).filter(|id| !id.is_empty())?;
    Some(TraceContext { parent: Some(TraceParent { trace_id }) })
}

fn cookie(record: &v1::Record) -> u64 {
    match (record.cookie, &record.tunnel) {
        (0, Some(facts)) => facts.cookie,
        (cookie, _) => cookie,
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
