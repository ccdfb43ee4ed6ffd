//! Whose certificates a change has touched.

use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::plain;

/// Whose certificates a change has touched.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ChangedView {
    /// What happened to them, as a word: "withdrawn".
    #[serde(skip)]
    pub(crate) word: &'static str,
    /// Workloads of the node.
    pub(crate) workloads: Vec<String>,
    /// Trust domains, where authorities were meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) trust_domains: Vec<String>,
}

impl ChangedView {
    /// True when there was nothing to touch.
    pub(crate) fn is_empty(&self) -> bool {
        self.workloads.is_empty() && self.trust_domains.is_empty()
    }
}

impl Show for ChangedView {
    fn text(&self, style: Style) -> String {
        let word = style.paint(Paint::Good, self.word);
        let names = self.workloads.iter().chain(&self.trust_domains);
        names.map(|name| format!("{word} {}\n", plain(name))).collect()
    }
}
