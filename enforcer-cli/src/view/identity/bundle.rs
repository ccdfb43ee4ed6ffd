//! The bundle of a trust domain, as SPIFFE writes it: a JWK Set.

use serde::Serialize;
use serde_json::Value;

use crate::console::Show;
use crate::style::Style;
use crate::table::plain_lines;

/// A JWK Set.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct BundleView(Value);

impl BundleView {
    /// Reads what the agent sent.
    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }
}

/// For people too it is the document that other programs take.
impl Show for BundleView {
    fn text(&self, _style: Style) -> String {
        plain_lines(&format!("{:#}", self.0))
    }
}
