//! What a verification found.

use enforcer_trace::{Finding, VerifyReport};
use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::plain;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct VerifyView {
    intact: bool,
    tenants: u64,
    lines: u64,
    unsigned_lines: u64,
    files: u64,
    bytes: u64,
    records: u64,
    removed_files: u64,
    removed_records: u64,
    lost_records: u64,
    segments: u64,
    frames: u64,
    log_records: u64,
    torn_bytes: u64,
    live: bool,
    findings: Vec<FindingView>,
    findings_left_out: u64,
    unchecked: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FindingView {
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    file: String,
    wrong: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row_groups: Option<(usize, usize)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequences: Option<(u64, u64)>,
    #[serde(skip)]
    text: String,
}

impl From<Finding> for FindingView {
    fn from(finding: Finding) -> Self {
        let text = finding.to_string();
        let Finding { tenant, file, place, sequences, wrong, detail } = finding;
        Self {
            tenant,
            file,
            wrong: wrong.name(),
            detail,
            offset: place.offset,
            length: place.length,
            line: place.line,
            row_groups: place.row_groups,
            sequences,
            text,
        }
    }
}

impl From<VerifyReport> for VerifyView {
    fn from(report: VerifyReport) -> Self {
        let intact = report.is_clean();
        // What was decoded stays out: without keys it is nothing.
        let VerifyReport {
            tenants,
            lines,
            unsigned_lines,
            files,
            bytes,
            records,
            removed_files,
            removed_records,
            lost_records,
            segments,
            frames,
            log_records,
            torn_bytes,
            decoded: _,
            is_live,
            findings,
            findings_left_out,
            unchecked,
        } = report;
        Self {
            intact,
            tenants,
            lines,
            unsigned_lines,
            files,
            bytes,
            records,
            removed_files,
            removed_records,
            lost_records,
            segments,
            frames,
            log_records,
            torn_bytes,
            live: is_live,
            findings: findings.into_iter().map(FindingView::from).collect(),
            findings_left_out,
            unchecked,
        }
    }
}

impl Show for VerifyView {
    fn text(&self, style: Style) -> String {
        let word = if self.intact {
            style.paint(Paint::Good, "intact")
        } else {
            style.paint(Paint::Bad, "not as it was written")
        };
        let mut text = format!(
            "{word}: {} records in {} files of {} tenants, and {} in the log\n",
            self.records, self.files, self.tenants, self.log_records
        );
        for finding in &self.findings {
            text.push_str(&format!("{}\n", plain(&finding.text)));
        }
        if self.findings_left_out > 0 {
            text.push_str(&format!("and {} more\n", self.findings_left_out));
        }
        if self.removed_records > 0 {
            text.push_str(&format!(
                "removed on purpose: {} records in {} files\n",
                self.removed_records, self.removed_files
            ));
        }
        if self.lost_records > 0 {
            text.push_str(&format!("not kept, as the chains say: {} records\n", self.lost_records));
        }
        for sentence in &self.unchecked {
            text.push_str(&format!("not checked: {}\n", plain(sentence)));
        }
        text
    }
}
