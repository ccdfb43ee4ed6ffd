//! Who holds which device, with stable field names.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Who holds which device now, and what is not right about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HandlesView {
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    account: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    account_reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    allocations_absent: String,
    handles: Vec<HandleView>,
    hidden: Vec<HiddenView>,
    findings: Vec<FindingView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct HandleView {
    device: String,
    kind: String,
    major: u32,
    minor: u32,
    holder: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workload: String,
    pid: u32,
    command: String,
    executable: String,
    cgroup: String,
    cgroup_id: u64,
    uid: u32,
    via: String,
    descriptors: Vec<u32>,
    mappings: u32,
    access: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    opened_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<String>,
    received: bool,
    granted: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct HiddenView {
    device: String,
    opened_by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    opened: Option<String>,
    pid: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingView {
    kind: String,
    device: String,
    tenants: Vec<String>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl From<v1::HandlesResponse> for HandlesView {
    fn from(response: v1::HandlesResponse) -> Self {
        let v1::HandlesResponse {
            time,
            handles,
            hidden,
            findings,
            account,
            account_reason,
            allocations_absent,
        } = response;
        Self {
            time: time.as_ref().map(instant::rfc3339),
            account,
            account_reason,
            allocations_absent,
            handles: handles.into_iter().map(HandleView::from).collect(),
            hidden: hidden.into_iter().map(HiddenView::from).collect(),
            findings: findings.into_iter().map(FindingView::from).collect(),
        }
    }
}

impl From<v1::Handle> for HandleView {
    fn from(handle: v1::Handle) -> Self {
        let v1::Handle {
            device,
            holder,
            workload,
            process,
            via,
            descriptors,
            mappings,
            access,
            opened_by,
            opened,
            received,
            granted,
        } = handle;
        let (device, process) = (device.unwrap_or_default(), process.unwrap_or_default());
        Self {
            device: name(&device),
            kind: device.kind,
            major: device.major,
            minor: device.minor,
            holder,
            workload,
            pid: process.pid,
            command: process.command,
            executable: process.executable,
            cgroup: process.cgroup,
            cgroup_id: process.cgroup_id,
            uid: process.uid,
            via,
            descriptors,
            mappings,
            access,
            opened_by,
            opened: opened.as_ref().map(instant::rfc3339),
            received,
            granted,
        }
    }
}

impl From<v1::HiddenFile> for HiddenView {
    fn from(file: v1::HiddenFile) -> Self {
        let v1::HiddenFile { device, opened_by, opened, pid } = file;
        let opened = opened.as_ref().map(instant::rfc3339);
        Self { device: name(&device.unwrap_or_default()), opened_by, opened, pid }
    }
}

impl From<v1::Finding> for FindingView {
    fn from(finding: v1::Finding) -> Self {
        let v1::Finding { kind, device, tenants, message, since } = finding;
        let since = since.as_ref().map(instant::rfc3339);
        Self { kind, device: name(&device.unwrap_or_default()), tenants, message, since }
    }
}

/// `nvidia:0`; the kernel's numbers where the class has but one device, or where there is no class.
fn name(device: &v1::DeviceName) -> String {
    match device.number {
        Some(number) => format!("{}:{number}", device.class),
        None => format!("{} {}:{}", device.class, device.major, device.minor),
    }
}

impl HandlesView {
    /// What a person should know beside the tables.
    pub(crate) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.handles.is_empty() && self.hidden.is_empty() {
            notes.push("no process holds what was asked for".to_owned());
        }
        match (self.account.as_str(), self.account_reason.as_str()) {
            ("complete", "") => {}
            ("complete", why) => notes.push(why.to_owned()),
            (_, why) => notes.push(format!("only descriptors and mappings are seen: {why}")),
        }
        if !self.allocations_absent.is_empty() {
            notes.push(format!("the kubelet was not asked: {}", self.allocations_absent));
        }
        notes
    }

    fn handle_table(&self, style: Style) -> String {
        if self.handles.is_empty() {
            return String::new();
        }
        let headings = [
            "DEVICE",
            "HOLDER",
            "WORKLOAD",
            "PID",
            "COMMAND",
            "VIA",
            "ACCESS",
            "OPENED BY",
            "RECEIVED",
            "GRANTED",
        ];
        let mut table = Table::new(&headings);
        for handle in &self.handles {
            let granted =
                if handle.granted { Cell::from("yes") } else { Cell::from("no").painted(Paint::Bad) };
            table.row([
                Cell::from(handle.device.as_str()),
                Cell::from(handle.holder.as_str()),
                Cell::or_absent(&handle.workload),
                Cell::from(handle.pid),
                Cell::or_absent(&handle.command),
                Cell::from(handle.via_words()),
                Cell::from(handle.access.as_str()),
                Cell::or_absent(&handle.opened_by),
                Cell::from(if handle.received { "yes" } else { "no" }),
                granted,
            ]);
        }
        table.render(style)
    }

    fn hidden_table(&self, style: Style) -> String {
        if self.hidden.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["HIDDEN FILE OF", "OPENED BY", "PID", "OPENED"]);
        for file in &self.hidden {
            table.row([
                Cell::from(file.device.as_str()),
                Cell::or_absent(&file.opened_by),
                Cell::from(file.pid),
                Cell::or_absent(file.opened.as_deref().unwrap_or_default()),
            ]);
        }
        format!("\n{}", table.render(style))
    }

    fn finding_table(&self, style: Style) -> String {
        if self.findings.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["FINDING", "DEVICE", "SINCE", "WHY"]);
        for finding in &self.findings {
            table.row([
                Cell::from(finding.kind.as_str()).painted(Paint::Bad),
                Cell::from(finding.device.as_str()),
                Cell::or_absent(finding.since.as_deref().unwrap_or_default()),
                Cell::from(finding.message.as_str()),
            ]);
        }
        format!("\n{}", table.render(style))
    }
}

impl HandleView {
    /// `fd 3,4`, `2 mappings`, or both.
    fn via_words(&self) -> String {
        let numbers: Vec<String> = self.descriptors.iter().map(ToString::to_string).collect();
        let descriptors = (!numbers.is_empty()).then(|| format!("fd {}", numbers.join(",")));
        let mappings = match self.mappings {
            0 => None,
            1 => Some("1 mapping".to_owned()),
            more => Some(format!("{more} mappings")),
        };
        let all: Vec<String> = descriptors.into_iter().chain(mappings).collect();
        all.join(", ")
    }
}

impl Show for HandlesView {
    fn text(&self, style: Style) -> String {
        let tables = [self.handle_table(style), self.hidden_table(style), self.finding_table(style)].concat();
        tables.trim_start_matches('\n').to_owned()
    }
}
