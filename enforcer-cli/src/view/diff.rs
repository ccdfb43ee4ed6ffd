//! What a change would do.

use std::fmt::Write as _;

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::problem::Problem;
use crate::style::{Paint, Style};
use crate::table::plain;

/// The answer to a dry run.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DiffView {
    valid: bool,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    changes: Vec<ChangeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_written: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries_deleted: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ChangeView {
    change: String,
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fields: Vec<String>,
}

impl From<v1::ValidateResponse> for DiffView {
    fn from(response: v1::ValidateResponse) -> Self {
        let v1::ValidateResponse { problems, warnings, diff } = response;
        let entries_written = diff.as_ref().map(|diff| diff.entries_written);
        let entries_deleted = diff.as_ref().map(|diff| diff.entries_deleted);
        let changes = diff.map(|diff| diff.changes).unwrap_or_default();
        let change = |change: v1::ObjectChange| {
            let v1::ObjectChange { change, kind, name, fields } = change;
            ChangeView { change, kind, name, fields }
        };
        Self {
            valid: problems.is_empty(),
            problems: problems.into_iter().map(Problem::from).collect(),
            warnings,
            changes: changes.into_iter().map(change).collect(),
            entries_written,
            entries_deleted,
        }
    }
}

impl DiffView {
    /// Of a change that is refused before it can be compared.
    pub(crate) fn refused(problems: Vec<Problem>) -> Self {
        Self { problems, ..Self::default() }
    }

    /// Of a policy that stands alone: everything in it is new, and no kernel was asked what it costs.
    pub(crate) fn of_new_policy(snapshot: v1::Snapshot, warnings: Vec<String>) -> Self {
        let v1::Snapshot { tenants, workloads, rules, bindings, retired_ids: _ } = snapshot;
        let names = (tenants.into_iter().map(|tenant| ("Tenant", tenant.name)))
            .chain(workloads.into_iter().map(|workload| ("Workload", workload.name)))
            .chain(rules.into_iter().map(|rule| ("Rule", rule.name)))
            .chain(bindings.into_iter().map(|binding| ("Binding", binding.address)));
        let added = |(kind, name): (&str, String)| ChangeView {
            change: "added".to_owned(),
            kind: kind.to_owned(),
            name,
            fields: Vec::new(),
        };
        Self { valid: true, warnings, changes: names.map(added).collect(), ..Self::default() }
    }

    /// What is wrong with the change; empty when it can be applied.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What would be in force but perhaps not what was meant.
    pub(crate) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// `file:line: path: message`, a line each.
    pub(crate) fn problem_lines(&self) -> String {
        self.problems.iter().map(|problem| format!("{}\n", plain(&problem.line()))).collect()
    }

    /// "2 to add, 1 to change, 0 to remove; 40 map entries to write, 3 to delete"
    pub(crate) fn summary(&self) -> String {
        let count = |word| self.changes.iter().filter(|change| change.change == word).count();
        let objects = format!(
            "{} to add, {} to change, {} to remove",
            count("added"),
            count("changed"),
            count("removed")
        );
        match (self.entries_written, self.entries_deleted) {
            (Some(written), Some(deleted)) => {
                format!("{objects}; {written} map entries to write, {deleted} to delete")
            }
            _ => objects,
        }
    }
}

impl Show for DiffView {
    fn text(&self, style: Style) -> String {
        let mut text = self.problem_lines();
        for change in &self.changes {
            let _ = writeln!(text, "{}", change.line(style));
        }
        text
    }
}

impl ChangeView {
    fn line(&self, style: Style) -> String {
        let (sign, paint) = match self.change.as_str() {
            "added" => ("+", Paint::Good),
            "removed" => ("-", Paint::Bad),
            "changed" => ("~", Paint::Warn),
            other => (other, Paint::None),
        };
        let object =
            style.paint(paint, &format!("{} {} {}", plain(sign), plain(&self.kind), plain(&self.name)));
        if self.fields.is_empty() { object } else { format!("{object}: {}", plain(&self.fields.join(", "))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> v1::ValidateResponse {
        let change = |change: &str, name: &str, fields: &[&str]| v1::ObjectChange {
            change: change.to_owned(),
            kind: "Rule".to_owned(),
            name: name.to_owned(),
            fields: fields.iter().map(ToString::to_string).collect(),
        };
        v1::ValidateResponse {
            problems: Vec::new(),
            warnings: Vec::new(),
            diff: Some(v1::Diff {
                changes: vec![
                    change("added", "a", &[]),
                    change("changed", "b", &["action", "ports"]),
                    change("removed", "c", &[]),
                ],
                entries_written: 12,
                entries_deleted: 3,
            }),
        }
    }

    #[test]
    fn a_change_is_a_line_with_its_sign() {
        let view = DiffView::from(response());
        assert_eq!(view.text(Style::Plain), "+ Rule a\n~ Rule b: action, ports\n- Rule c\n");
        assert_eq!(
            view.summary(),
            "1 to add, 1 to change, 1 to remove; 12 map entries to write, 3 to delete"
        );
    }

    #[test]
    fn problems_come_as_file_line_path_message() {
        let problem = v1::Problem {
            code: "bad".to_owned(),
            path: "rules[a].ports".to_owned(),
            message: "is empty: leave it out, or name a port".to_owned(),
            file: "p.yaml".to_owned(),
            line: 9,
        };
        let view = DiffView::from(v1::ValidateResponse { problems: vec![problem], ..Default::default() });
        assert_eq!(
            view.text(Style::Plain),
            "p.yaml:9: rules[a].ports: is empty: leave it out, or name a port\n"
        );
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["valid"], false);
        assert_eq!(json["problems"][0]["line"], 9);
    }
}
