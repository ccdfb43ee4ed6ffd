//! The receipt for a destroyed key: as it was signed.

use serde::Serialize;
use serde_json::Value;

use crate::console::Show;
use crate::failure::Failure;
use crate::style::Style;
use crate::table::plain;

/// A receipt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub(crate) struct ReceiptView {
    receipt: Value,
    #[serde(skip)]
    text: String,
}

impl ReceiptView {
    /// Takes a receipt as the agent sent it.
    pub(crate) fn parse(text: String) -> Result<Self, Failure> {
        let receipt = serde_json::from_str(&text)
            .map_err(|error| Failure::Unreadable { what: "a receipt", why: error.to_string() })?;
        Ok(Self { receipt, text })
    }
}

impl Show for ReceiptView {
    /// The very bytes that are in the store: what is signed is what stands here.
    fn text(&self, _: Style) -> String {
        format!("{}\n", plain(&self.text))
    }
}
