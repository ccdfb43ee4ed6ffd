//! What happened to the files of a workload, a line each.

use std::path::Path;

use prost_types::Timestamp;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::svid::update::Svid;
use crate::table::plain;

/// Something that happened to the files.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventView {
    time: String,
    event: &'static str,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    spiffe_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip)]
    column: String,
}

impl EventView {
    /// New files are there.
    pub(crate) fn written(directory: &Path, svid: &Svid, now: &Timestamp) -> Self {
        Self {
            spiffe_id: Some(svid.id.to_string()),
            serial: Some(svid.leaf.serial.clone()),
            not_after: Some(instant::rfc3339(&svid.leaf.not_after)),
            ..Self::bare("written", directory, now)
        }
    }

    /// The workload has no identity; the files are as they were.
    pub(crate) fn denied(directory: &Path, reason: String, now: &Timestamp) -> Self {
        Self { reason: Some(reason), ..Self::bare("denied", directory, now) }
    }

    /// The workload has no identity, and no files any more.
    pub(crate) fn removed(directory: &Path, reason: String, now: &Timestamp) -> Self {
        Self { reason: Some(reason), ..Self::bare("removed", directory, now) }
    }

    fn bare(event: &'static str, directory: &Path, now: &Timestamp) -> Self {
        Self {
            time: instant::rfc3339(now),
            event,
            directory: directory.display().to_string(),
            spiffe_id: None,
            serial: None,
            not_after: None,
            reason: None,
            column: instant::column(Some(now)),
        }
    }
}

impl Show for EventView {
    fn text(&self, style: Style) -> String {
        let paint = if self.event == "written" { Paint::Good } else { Paint::Bad };
        let labelled = [("serial ", &self.serial), ("until ", &self.not_after), ("", &self.reason)];
        let known = labelled
            .iter()
            .filter_map(|(label, value)| value.as_ref().map(|value| format!("  {label}{value}")));
        let rest: String = known.collect();
        let whose = self.spiffe_id.as_deref().unwrap_or(&self.directory);
        format!("{}  {}  {}{}\n", self.column, style.paint(paint, self.event), plain(whose), plain(&rest))
    }
}
