//! A process that runs another executable, or ends.

use enforcer_common::event::{KIND_PROCESS_EXIT, ProcessEvent};
use enforcer_proto::v1;

use super::{Context, PROCESS, begun, by_cgroup, end_of, text};
use crate::event::names::command_text;

/// The record of an exec or an exit, not numbered; who a fork made is only remembered. Its process is what the event tells:
/// number, name and control group.
#[must_use]
pub fn of_process(event: &ProcessEvent, context: &Context<'_>) -> v1::Record {
    let is_exit = event.header.kind == KIND_PROCESS_EXIT;
    let field = |name: &str, value: u32| v1::Field { name: name.to_owned(), value: value.to_string() };
    // As wait() tells it.
    let fields = if is_exit {
        vec![field("status", event.exit_code >> 8), field("signal", event.exit_code & 0x7f)]
    } else {
        Vec::new()
    };
    v1::Record {
        r#type: PROCESS.to_owned(),
        source: Some(v1::Endpoint {
            workload: text(by_cgroup(event.cgroup, context.scene, context.cgroup_path)),
            ..end_of(context.scene, event.identity)
        }),
        process: Some(v1::Process {
            pid: event.process,
            command: command_text(&event.command),
            cgroup_id: event.cgroup,
            cgroup: context.cgroup_path.unwrap_or_default().to_owned(),
            ..v1::Process::default()
        }),
        note: Some(v1::Note {
            event: if is_exit { "exit" } else { "exec" }.to_owned(),
            fields,
            ..v1::Note::default()
        }),
        ..begun(&event.header, context)
    }
}
