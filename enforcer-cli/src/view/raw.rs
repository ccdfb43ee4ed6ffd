//! Text that other programs take as it is: PEM, OpenMetrics, a token.

use serde::Serialize;
use serde::ser::SerializeMap as _;

use crate::console::Show;
use crate::style::Style;
use crate::table::plain_lines;

/// Text with the name that it has among other fields.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RawView {
    name: &'static str,
    text: String,
}

impl RawView {
    /// `text`, which programs find under `name`.
    pub(crate) const fn new(name: &'static str, text: String) -> Self {
        Self { name, text }
    }
}

impl Serialize for RawView {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.name, &self.text)?;
        map.end()
    }
}

impl Show for RawView {
    fn text(&self, _style: Style) -> String {
        plain_lines(&self.text)
    }
}
