//! Revisions of the policy.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};
use crate::{hex, instant};

/// Revisions that the node had, newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct RevisionsView {
    revisions: Vec<RevisionView>,
}

/// One revision.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RevisionView {
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    author: String,
    source: String,
    digest: String,
    tenants: u64,
    workloads: u64,
    rules: u64,
    bindings: u64,
    in_force: bool,
    #[serde(skip)]
    column: String,
    #[serde(skip)]
    short_digest: String,
}

impl From<v1::Revision> for RevisionView {
    fn from(revision: v1::Revision) -> Self {
        let v1::Revision {
            revision,
            time,
            author,
            source,
            digest,
            tenants,
            workloads,
            rules,
            bindings,
            in_force,
        } = revision;
        Self {
            revision,
            time: time.as_ref().map(instant::rfc3339),
            author,
            source,
            digest: hex::encode(&digest),
            tenants,
            workloads,
            rules,
            bindings,
            in_force,
            column: instant::column(time.as_ref()),
            short_digest: hex::short(&digest),
        }
    }
}

impl RevisionsView {
    /// All, or the one with a number.
    pub(crate) fn select(response: v1::ListRevisionsResponse, revision: Option<u64>) -> Self {
        let revisions = response.revisions.into_iter().map(RevisionView::from);
        Self {
            revisions: revisions.filter(|one| revision.is_none_or(|wanted| one.revision == wanted)).collect(),
        }
    }

    /// True when nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.revisions.is_empty()
    }
}

impl Show for RevisionsView {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&[
            "REVISION",
            "IN FORCE",
            "TIME",
            "AUTHOR",
            "SOURCE",
            "TENANTS",
            "WORKLOADS",
            "RULES",
            "BINDINGS",
            "DIGEST",
        ]);
        for revision in &self.revisions {
            let in_force =
                if revision.in_force { Cell::from("yes").painted(Paint::Good) } else { Cell::absent() };
            table.row([
                Cell::from(revision.revision),
                in_force,
                Cell::from(revision.column.as_str()),
                Cell::or_absent(&revision.author),
                Cell::or_absent(&revision.source),
                Cell::from(revision.tenants),
                Cell::from(revision.workloads),
                Cell::from(revision.rules),
                Cell::from(revision.bindings),
                Cell::or_absent(&revision.short_digest),
            ]);
        }
        table.render(style)
    }
}

/// One revision, as the end of a wait.
impl Show for RevisionView {
    fn text(&self, _style: Style) -> String {
        format!("revision {} is in force\n", self.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response() -> v1::ListRevisionsResponse {
        let revision = |revision, in_force| v1::Revision {
            revision,
            time: Some(prost_types::Timestamp { seconds: 1_793_700_000, nanos: 5_000_000 }),
            author: "uid:0".to_owned(),
            source: "apply".to_owned(),
            digest: vec![0xcd; 32],
            tenants: 3,
            workloads: 6,
            rules: 2,
            bindings: 1,
            in_force,
        };
        v1::ListRevisionsResponse { revisions: vec![revision(2, true), revision(1, false)] }
    }

    #[test]
    fn the_revision_in_force_is_marked() {
        assert_eq!(
            RevisionsView::select(response(), None).text(Style::Plain),
            "REVISION  IN FORCE  TIME                      AUTHOR  SOURCE  TENANTS  WORKLOADS  RULES  BINDINGS  DIGEST\n\
             2         yes       2026-11-03T10:00:00.005Z  uid:0   apply   3        6          2      1         cdcdcdcdcdcd\n\
             1         -         2026-11-03T10:00:00.005Z  uid:0   apply   3        6          2      1         cdcdcdcdcdcd\n"
        );
    }

    #[test]
    fn a_program_gets_the_whole_digest_and_an_exact_time() {
        let view = RevisionsView::select(response(), Some(1));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(json["revisions"].as_array().map(Vec::len), Some(1));
        assert_eq!(json["revisions"][0]["digest"], "cd".repeat(32));
        assert_eq!(json["revisions"][0]["time"], "2026-11-03T10:00:00.005Z");
        assert_eq!(json["revisions"][0]["inForce"], false);
        assert!(RevisionsView::select(response(), Some(9)).is_empty());
    }
}
