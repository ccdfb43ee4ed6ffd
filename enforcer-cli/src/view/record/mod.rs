//! Records, with stable field names.

mod line;

use enforcer_proto::v1;
use serde::Serialize;

use super::device::DeviceView;
use super::tunnel::facts::FactsView;
use crate::instant;

/// An event of the kernel, or of the tunnel, with names.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecordView {
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    node: String,
    #[serde(rename = "type")]
    kind: String,
    verdict: String,
    reason: String,
    rule: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    shadow_rule: String,
    revision: u64,
    hook: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<EndpointView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<EndpointView>,
    #[serde(skip_serializing_if = "String::is_empty")]
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    icmp_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceView>,
    #[serde(skip_serializing_if = "String::is_empty")]
    access: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    carriage: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnel: Option<FactsView>,
    lost_before: u64,
    #[serde(skip)]
    column: String,
}

/// One end of a flow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct EndpointView {
    identity: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workload: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    address: String,
    #[serde(skip_serializing_if = "is_zero")]
    port: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessView {
    pid: u32,
    command: String,
    cgroup_id: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    cgroup: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl From<v1::Record> for RecordView {
    fn from(record: v1::Record) -> Self {
        let v1::Record {
            sequence,
            time,
            node,
            r#type,
            verdict,
            reason,
            rule,
            shadow_rule,
            revision,
            hook,
            source,
            destination,
            protocol,
            icmp_type,
            icmp_code,
            process,
            device,
            access,
            lost_before,
            carriage,
            tunnel,
            ..
        } = record;
        Self {
            sequence,
            time: time.as_ref().map(instant::rfc3339),
            node,
            kind: r#type,
            verdict,
            reason,
            rule,
            shadow_rule,
            revision,
            hook,
            source: source.map(EndpointView::from),
            destination: destination.map(EndpointView::from),
            protocol,
            icmp_type,
            icmp_code,
            process: process.map(ProcessView::from),
            device: device.map(DeviceView::from),
            access,
            carriage,
            tunnel: tunnel.map(FactsView::from),
            lost_before,
            column: instant::column(time.as_ref()),
        }
    }
}

impl From<v1::Endpoint> for EndpointView {
    fn from(endpoint: v1::Endpoint) -> Self {
        let v1::Endpoint { identity, workload, address, port, .. } = endpoint;
        Self { identity, workload, address, port }
    }
}

impl From<v1::Process> for ProcessView {
    fn from(process: v1::Process) -> Self {
        let v1::Process { pid, command, cgroup_id, cgroup, .. } = process;
        Self { pid, command, cgroup_id, cgroup }
    }
}
