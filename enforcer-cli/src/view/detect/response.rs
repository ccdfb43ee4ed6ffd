//! Responses, with stable field names.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::instant;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// What is being done, or would be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ResponsesView {
    responses: Vec<ResponseView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseView {
    id: String,
    tenant: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    workload: String,
    kind: String,
    rule: String,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    explanation: String,
}

impl From<Vec<v1::Response>> for ResponsesView {
    fn from(responses: Vec<v1::Response>) -> Self {
        Self { responses: responses.into_iter().map(ResponseView::from).collect() }
    }
}

impl From<v1::Response> for ResponseView {
    fn from(response: v1::Response) -> Self {
        let v1::Response { id, tenant, workload, kind, rule, dry_run, started, expires, explanation } =
            response;
        Self {
            id,
            tenant,
            workload,
            kind,
            rule,
            dry_run,
            started: started.as_ref().map(instant::rfc3339),
            expires: expires.as_ref().map(instant::rfc3339),
            explanation,
        }
    }
}

impl ResponsesView {
    /// True when nothing is done.
    pub(crate) const fn is_empty(&self) -> bool {
        self.responses.is_empty()
    }
}

impl Show for ResponsesView {
    fn text(&self, style: Style) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut table = Table::new(&["ID", "RESPONSE", "TENANT", "WORKLOAD", "RULE", "EXPIRES", "WHY"]);
        for one in &self.responses {
            let kind = if one.dry_run {
                Cell::from(format!("{} (dry run)", one.kind)).painted(Paint::Dim)
            } else {
                Cell::from(one.kind.as_str()).painted(Paint::Bad)
            };
            table.row([
                Cell::from(one.id.as_str()),
                kind,
                Cell::from(one.tenant.as_str()),
                Cell::or_absent(&one.workload),
                Cell::from(one.rule.as_str()),
                Cell::or_absent(one.expires.as_deref().unwrap_or_default()),
                Cell::from(one.explanation.as_str()),
            ]);
        }
        table.render(style)
    }
}
