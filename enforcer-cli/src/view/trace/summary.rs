//! What records add up to.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};
use crate::view::device::DeviceView;
use crate::view::record::EndpointView;

/// Talks, or holds of devices.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct SummaryView {
    talks: Vec<TalkView>,
    holds: Vec<HoldView>,
    lost: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct TalkView {
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<EndpointView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<EndpointView>,
    protocol: String,
    allowed: u64,
    refused: u64,
    bytes_sent: u64,
    bytes_received: u64,
    first: String,
    last: String,
    reasons: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct HoldView {
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<EndpointView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<ProcessView>,
    opens: u64,
    refused: u64,
    first: String,
    last: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProcessView {
    pid: u32,
    start_boot_ns: u64,
    command: String,
    executable: String,
}

impl SummaryView {
    /// Records that are missing from it.
    pub(crate) const fn lost(&self) -> u64 {
        self.lost
    }
}

fn time(time: Option<&prost_types::Timestamp>) -> String {
    time.map(instant::rfc3339).unwrap_or_default()
}

impl From<v1::SummaryResponse> for SummaryView {
    fn from(response: v1::SummaryResponse) -> Self {
        let v1::SummaryResponse { talks, holds, lost } = response;
        Self {
            talks: talks.into_iter().map(TalkView::from).collect(),
            holds: holds.into_iter().map(HoldView::from).collect(),
            lost,
        }
    }
}

impl From<v1::Talk> for TalkView {
    fn from(talk: v1::Talk) -> Self {
        let v1::Talk {
            source,
            destination,
            protocol,
            allowed,
            refused,
            bytes_sent,
            bytes_received,
            first,
            last,
            reasons,
        } = talk;
        Self {
            source: source.map(EndpointView::from),
            destination: destination.map(EndpointView::from),
            protocol,
            allowed,
            refused,
            bytes_sent,
            bytes_received,
            first: time(first.as_ref()),
            last: time(last.as_ref()),
            reasons,
        }
    }
}

impl From<v1::Hold> for HoldView {
    fn from(hold: v1::Hold) -> Self {
        let v1::Hold { device, holder, process, opens, refused, first, last, ended } = hold;
        let process = process.map(|process| {
            let v1::Process { pid, start_boot_ns, command, executable, .. } = process;
            ProcessView { pid, start_boot_ns, command, executable }
        });
        Self {
            device: device.map(DeviceView::from),
            holder: holder.map(EndpointView::from),
            process,
            opens,
            refused,
            first: time(first.as_ref()),
            last: time(last.as_ref()),
            ended: ended.as_ref().map(instant::rfc3339),
        }
    }
}

impl Show for SummaryView {
    fn text(&self, style: Style) -> String {
        if self.holds.is_empty() { self.talks(style) } else { self.holds(style) }
    }
}

impl SummaryView {
    fn talks(&self, style: Style) -> String {
        let mut table = Table::new(&[
            "SOURCE",
            "DESTINATION",
            "PROTOCOL",
            "ALLOWED",
            "REFUSED",
            "SENT",
            "RECEIVED",
            "LAST",
            "REASONS",
        ]);
        for talk in &self.talks {
            table.row([
                end(talk.source.as_ref()),
                end(talk.destination.as_ref()),
                Cell::or_absent(&talk.protocol),
                Cell::from(talk.allowed),
                count(talk.refused),
                Cell::from(talk.bytes_sent),
                Cell::from(talk.bytes_received),
                Cell::or_absent(&talk.last),
                Cell::or_absent(&talk.reasons.join(",")),
            ]);
        }
        table.render(style)
    }

    fn holds(&self, style: Style) -> String {
        let mut table =
            Table::new(&["DEVICE", "HOLDER", "PID", "EXECUTABLE", "OPENS", "REFUSED", "LAST", "ENDED"]);
        for hold in &self.holds {
            let process = hold.process.as_ref();
            let executable = process.map_or("", |process| {
                if process.executable.is_empty() {
                    process.command.as_str()
                } else {
                    process.executable.as_str()
                }
            });
            table.row([
                Cell::from(hold.device.as_ref().map(DeviceView::name).unwrap_or_default()),
                end(hold.holder.as_ref()),
                process.map_or_else(Cell::absent, |process| Cell::from(process.pid)),
                Cell::or_absent(executable),
                Cell::from(hold.opens),
                count(hold.refused),
                Cell::or_absent(&hold.last),
                Cell::or_absent(hold.ended.as_deref().unwrap_or_default()),
            ]);
        }
        table.render(style)
    }
}

fn count(refused: u64) -> Cell {
    Cell::from(refused).painted(if refused == 0 { Paint::None } else { Paint::Bad })
}

fn end(end: Option<&EndpointView>) -> Cell {
    end.map_or_else(Cell::absent, |end| Cell::or_absent(&end.name()))
}
