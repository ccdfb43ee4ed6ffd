//! Gated devices of a node.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::Style;
use crate::table::{Cell, Table};

/// Gated devices of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct DevicesView {
    devices: Vec<DeviceView>,
}

/// One device, or every minor of a major.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceView {
    class: String,
    kind: String,
    major: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    minor: Option<u32>,
    role: String,
    granted_to: Vec<String>,
}

impl From<v1::Device> for DeviceView {
    fn from(device: v1::Device) -> Self {
        let v1::Device { class, kind, major, minor, role, granted_to } = device;
        Self { class, kind, major, minor, role, granted_to }
    }
}

impl DeviceView {
    /// `class major:minor`.
    pub(crate) fn name(&self) -> String {
        let minor = self.minor.map_or_else(|| "*".to_owned(), |minor| minor.to_string());
        format!("{} {}:{minor}", self.class, self.major)
    }
}

impl DevicesView {
    /// Those of a class, and those that a tenant may open.
    pub(crate) fn select(response: v1::DevicesResponse, class: Option<&str>, tenant: Option<&str>) -> Self {
        let devices = response.devices.into_iter().map(DeviceView::from);
        let wanted = devices
            .filter(|device| class.is_none_or(|class| device.class == class))
            .filter(|device| tenant.is_none_or(|tenant| device.granted_to.iter().any(|name| name == tenant)));
        Self { devices: wanted.collect() }
    }

    /// True when nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }
}

impl DeviceView {
    /// `nvidia 195:0`; `*` stands for every minor.
    pub(crate) fn brief(&self) -> String {
        let minor = self.minor.map_or_else(|| "*".to_owned(), |minor| minor.to_string());
        format!("{} {}:{minor}", self.class, self.major)
    }
}

impl Show for DevicesView {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&["CLASS", "KIND", "MAJOR", "MINOR", "ROLE", "GRANTED TO"]);
        for device in &self.devices {
            table.row([
                Cell::from(device.class.as_str()),
                Cell::from(device.kind.as_str()),
                Cell::from(device.major),
                device.minor.map_or_else(|| Cell::from("*"), Cell::from),
                Cell::from(device.role.as_str()),
                Cell::or_absent(&device.granted_to.join(",")),
            ]);
        }
        table.render(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> v1::DevicesResponse {
        let device = |class: &str, minor, granted: &[&str]| v1::Device {
            class: class.to_owned(),
            kind: "char".to_owned(),
            major: 195,
            minor,
            role: "accelerator".to_owned(),
            granted_to: granted.iter().map(ToString::to_string).collect(),
        };
        v1::DevicesResponse {
            devices: vec![device("nvidia", Some(0), &["a"]), device("nvidiactl", None, &["a", "b"])],
        }
    }

    #[test]
    fn a_device_is_a_row_and_no_minor_is_every_minor() {
        assert_eq!(
            DevicesView::select(response(), None, None).text(Style::Plain),
            "CLASS      KIND  MAJOR  MINOR  ROLE         GRANTED TO\n\
             nvidia     char  195    0      accelerator  a\n\
             nvidiactl  char  195    *      accelerator  a,b\n"
        );
    }

    #[test]
    fn devices_are_selected_by_class_and_by_tenant() {
        assert_eq!(DevicesView::select(response(), Some("nvidia"), None).devices.len(), 1);
        assert_eq!(DevicesView::select(response(), None, Some("b")).devices.len(), 1);
        assert!(DevicesView::select(response(), Some("nvidia"), Some("b")).is_empty());
    }
}
