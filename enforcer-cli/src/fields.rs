//! Named values, a line each. Empty ones are left out, and no control character of somebody else's reaches the
//! terminal.

use std::fmt::Write as _;

use crate::style::{Paint, Style};
use crate::table::plain;

/// Named values for people.
pub(crate) struct Fields {
    text: String,
    style: Style,
    width: usize,
}

impl Fields {
    /// None yet; names are padded to `width`.
    pub(crate) const fn new(style: Style, width: usize) -> Self {
        Self { text: String::new(), style, width }
    }

    /// Adds a value, unless it is empty.
    pub(crate) fn add(&mut self, name: &str, value: &str, paint: Paint) {
        if !value.is_empty() {
            let width = self.width;
            let _ = writeln!(self.text, "{name:<width$} {}", self.style.paint(paint, &plain(value)));
        }
    }

    /// Adds a value without a colour, unless it is empty.
    pub(crate) fn plain(&mut self, name: &str, value: &str) {
        self.add(name, value, Paint::None);
    }

    /// The lines.
    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out_and_what_is_hostile_escaped() {
        let mut fields = Fields::new(Style::Plain, 6);
        fields.plain("name", "web");
        fields.plain("none", "");
        fields.add("why", "a\x1b[2J", Paint::Bad);
        assert_eq!(fields.into_text(), "name   web\nwhy    a\\u{1b}[2J\n");
    }
}
