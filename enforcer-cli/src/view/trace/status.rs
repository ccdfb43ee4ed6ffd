//! How a store of traces is.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table, plain};

/// How a store is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatusView {
    #[serde(skip_serializing_if = "String::is_empty")]
    directory: String,
    durable_sequence: u64,
    tenants: Vec<TenantView>,
    problems: Vec<String>,
    signer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    checkpoint: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TenantView {
    tenant: String,
    files: u64,
    bytes: u64,
    records: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    removed: u64,
    key: String,
}

impl StatusView {
    /// What a person should look at.
    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl From<v1::TraceStatusResponse> for StatusView {
    fn from(response: v1::TraceStatusResponse) -> Self {
        let v1::TraceStatusResponse { directory, durable_sequence, tenants, problems, signer, checkpoint } =
            response;
        Self {
            directory,
            durable_sequence,
            tenants: tenants.into_iter().map(TenantView::from).collect(),
            problems,
            signer,
            // It is text; what is none is no checkpoint.
            checkpoint: String::from_utf8(checkpoint).unwrap_or_default(),
        }
    }
}

impl From<v1::TenantTrace> for TenantView {
    fn from(trace: v1::TenantTrace) -> Self {
        let v1::TenantTrace { tenant, files, bytes, records, oldest, newest, removed, key } = trace;
        let time = |time: Option<prost_types::Timestamp>| time.as_ref().map(instant::rfc3339);
        Self { tenant, files, bytes, records, oldest: time(oldest), newest: time(newest), removed, key }
    }
}

impl Show for StatusView {
    fn text(&self, style: Style) -> String {
        let mut text = String::new();
        if !self.directory.is_empty() {
            text.push_str(&format!("directory         {}\n", plain(&self.directory)));
        }
        text.push_str(&format!("durable sequence  {}\n", self.durable_sequence));
        text.push_str(&format!("signer            {}\n\n", plain(&self.signer)));
        let mut table =
            Table::new(&["TENANT", "FILES", "BYTES", "RECORDS", "OLDEST", "NEWEST", "REMOVED", "KEY"]);
        for one in &self.tenants {
            let key = if one.key == "present" { Paint::Good } else { Paint::Warn };
            let time = |time: &Option<String>| Cell::or_absent(time.as_deref().unwrap_or_default());
            table.row([
                Cell::from(one.tenant.as_str()),
                Cell::from(one.files),
                Cell::from(one.bytes),
                Cell::from(one.records),
                time(&one.oldest),
                time(&one.newest),
                Cell::from(one.removed),
                Cell::from(one.key.as_str()).painted(key),
            ]);
        }
        text + &table.render(style)
    }
}
