//! The messages inside a record, each as an object.

use enforcer_proto::v1;
use serde::Serialize;

/// One end.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    identity: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    workload: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    address: &'a str,
    #[serde(skip_serializing_if = "is_zero_u32")]
    port: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    spiffe_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    svid_serial: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    of_node: bool,
}

impl<'a> From<&'a v1::Endpoint> for Endpoint<'a> {
    fn from(message: &'a v1::Endpoint) -> Self {
        let v1::Endpoint { identity, workload, address, port, spiffe_id, svid_serial, of_node } = message;
        Self { identity, workload, address, port: *port, spiffe_id, svid_serial, of_node: *of_node }
    }
}

/// A process above another.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ancestor<'a> {
    #[serde(skip_serializing_if = "is_zero_u32")]
    pid: u32,
    #[serde(skip_serializing_if = "is_zero")]
    start_boot_ns: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    executable: &'a str,
}

impl<'a> From<&'a v1::Ancestor> for Ancestor<'a> {
    fn from(message: &'a v1::Ancestor) -> Self {
        let v1::Ancestor { pid, start_boot_ns, executable } = message;
        Self { pid: *pid, start_boot_ns: *start_boot_ns, executable }
    }
}

/// Who did it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process<'a> {
    #[serde(skip_serializing_if = "is_zero_u32")]
    pid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    command: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    executable: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    arguments: &'a [String],
    #[serde(skip_serializing_if = "is_false")]
    arguments_cut: bool,
    #[serde(skip_serializing_if = "is_zero_u32")]
    uid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    identity: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    start_boot_ns: u64,
    #[serde(skip_serializing_if = "is_zero")]
    cgroup_id: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    cgroup: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ancestors: Vec<Ancestor<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    gap: &'a str,
}

impl<'a> From<&'a v1::Process> for Process<'a> {
    fn from(message: &'a v1::Process) -> Self {
        let v1::Process {
            pid,
            command,
            executable,
            arguments,
            arguments_cut,
            uid,
            identity,
            start_boot_ns,
            cgroup_id,
            cgroup,
            ancestors,
            gap,
        } = message;
        Self {
            pid: *pid,
            command,
            executable,
            arguments,
            arguments_cut: *arguments_cut,
            uid: *uid,
            identity,
            start_boot_ns: *start_boot_ns,
            cgroup_id: *cgroup_id,
            cgroup,
            ancestors: ancestors.iter().map(Ancestor::from).collect(),
            gap,
        }
    }
}

/// What was opened.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Device<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    class: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "is_zero_u32")]
    major: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    minor: Option<u32>,
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    granted_to: &'a [String],
}

impl<'a> From<&'a v1::Device> for Device<'a> {
    fn from(message: &'a v1::Device) -> Self {
        let v1::Device { class, kind, major, minor, role, granted_to } = message;
        Self { class, kind, major: *major, minor: *minor, role, granted_to }
    }
}

/// How a flow goes on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Flow<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state_before: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    state: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_sent: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_received: u64,
    #[serde(skip_serializing_if = "is_zero")]
    packets_sent: u64,
    #[serde(skip_serializing_if = "is_zero")]
    packets_received: u64,
    #[serde(skip_serializing_if = "is_zero_u32")]
    tcp_flags: u32,
    #[serde(skip_serializing_if = "is_zero")]
    duration_ns: u64,
}

impl<'a> From<&'a v1::FlowFacts> for Flow<'a> {
    fn from(message: &'a v1::FlowFacts) -> Self {
        let v1::FlowFacts {
            event,
            state_before,
            state,
            bytes_sent,
            bytes_received,
            packets_sent,
            packets_received,
            tcp_flags,
            duration_ns,
        } = message;
        Self {
            event,
            state_before,
            state,
            bytes_sent: *bytes_sent,
            bytes_received: *bytes_received,
            packets_sent: *packets_sent,
            packets_received: *packets_received,
            tcp_flags: *tcp_flags,
            duration_ns: *duration_ns,
        }
    }
}

/// A certificate that was shown.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Certificate<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    spiffe_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    serial: &'a str,
}

impl<'a> Certificate<'a> {
    fn shown(spiffe_id: &'a str, serial: &'a str) -> Option<Self> {
        (!spiffe_id.is_empty() || !serial.is_empty()).then_some(Self { spiffe_id, serial })
    }
}

/// How a flow is carried over mutual TLS.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tunnel<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    direction: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    hop: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<Certificate<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<Certificate<'a>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_id: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_forward: u64,
    #[serde(skip_serializing_if = "is_zero")]
    bytes_back: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    end: &'a str,
    #[serde(skip_serializing_if = "is_false")]
    resumed: bool,
    #[serde(skip_serializing_if = "is_false")]
    reused: bool,
    #[serde(skip_serializing_if = "is_zero")]
    cookie: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    detail: &'a str,
}

impl<'a> From<&'a v1::TunnelFacts> for Tunnel<'a> {
    fn from(message: &'a v1::TunnelFacts) -> Self {
        let v1::TunnelFacts {
            event,
            direction,
            hop,
            source_id,
            source_serial,
            destination_id,
            destination_serial,
            trace_id,
            bytes_forward,
            bytes_back,
            end,
            resumed,
            reused,
            cookie,
            detail,
        } = message;
        Self {
            event,
            direction,
            hop,
            source: Certificate::shown(source_id, source_serial),
            destination: Certificate::shown(destination_id, destination_serial),
            trace_id,
            bytes_forward: *bytes_forward,
            bytes_back: *bytes_back,
            end,
            resumed: *resumed,
            reused: *reused,
            cookie: *cookie,
            detail,
        }
    }
}

/// What somebody did, or the agent noticed.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Note<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    event: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    subject: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    actor: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    level: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<Field<'a>>,
}

/// A name and a value; names may come more than once.
#[derive(Clone, Debug, Serialize)]
struct Field<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> From<&'a v1::Note> for Note<'a> {
    fn from(message: &'a v1::Note) -> Self {
        let v1::Note { event, subject, actor, level, message, fields } = message;
        let fields = fields.iter().map(|v1::Field { name, value }| Field { name, value }).collect();
        Self { event, subject, actor, level, message, fields }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_zero_u32(number: &u32) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_false(is: &bool) -> bool {
    !*is
}
