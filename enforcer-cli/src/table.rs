//! Aligned tables: never wrapped, never cut, and no control character of somebody else's reaches the terminal.

use std::fmt::Write as _;

use crate::style::{Paint, Style};

/// What stands in a column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A value that is not there.
    pub(crate) fn absent() -> Self {
        Self { text: "-".to_owned(), paint: Paint::Dim }
    }

    /// The text, or [`Cell::absent`] when it is empty.
    pub(crate) fn or_absent(text: &str) -> Self {
        if text.is_empty() { Self::absent() } else { Self::from(text) }
    }

    /// In a colour.
    pub(crate) fn painted(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: plain(text), paint: Paint::None }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::from(number.to_string())
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Self::from(number.to_string())
    }
}

/// Rows under headings.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// Without rows.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    /// Adds a row with a cell for each heading.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.headings.len());
        self.rows.push(cells.into());
    }

    /// As text, a line a row, headings first.
    pub(crate) fn render(&self, style: Style) -> String {
        let heading = |text: &&'static str| Cell::from(*text).painted(Paint::Strong);
        let headings: Vec<Cell> = self.headings.iter().map(heading).collect();
        let widths = self.widths();
        let mut text = String::new();
        for row in std::iter::once(&headings).chain(&self.rows) {
            render_row(&mut text, row, &widths, style);
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.headings.iter().map(|heading| heading.len()).collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        widths
    }
}

fn render_row(text: &mut String, row: &[Cell], widths: &[usize], style: Style) {
    for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
        if index > 0 {
            text.push_str("  ");
        }
        text.push_str(&style.paint(cell.paint, &cell.text));
        if index + 1 < row.len() {
            let padding = width.saturating_sub(cell.width());
            let _ = write!(text, "{:padding$}", "");
        }
    }
    text.push('\n');
}

/// Names and commands come from workloads, who may put escape sequences into them.
pub(crate) fn plain(text: &str) -> String {
    if !text.chars().any(is_unsafe) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if is_unsafe(c) { c.escape_default().collect() } else { vec![c] }).collect()
}

/// The same for text of several lines, which stay lines.
pub(crate) fn plain_lines(text: &str) -> String {
    text.lines().map(|line| plain(line) + "\n").collect()
}

/// Control characters, and the marks that turn the direction of text around.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_is_not_padded() {
        let mut table = Table::new(&["NAME", "ID"]);
        table.row([Cell::from("a"), Cell::from(16_u32)]);
        table.row([Cell::from("longer-name"), Cell::absent()]);
        assert_eq!(table.render(Style::Plain), "NAME         ID\na            16\nlonger-name  -\n");
    }

    #[test]
    fn colour_does_not_move_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row([Cell::from("deny").painted(Paint::Bad), Cell::from("x")]);
        assert_eq!(
            table.render(Style::Ansi),
            "\x1b[1mA\x1b[0m     \x1b[1mB\x1b[0m\n\x1b[31mdeny\x1b[0m  x\n"
        );
    }

    #[test]
    fn a_workload_cannot_drive_the_terminal() {
        let mut table = Table::new(&["COMMAND"]);
        table.row([Cell::from("\x1b]0;owned\x07\nroot\u{202e}")]);
        let text = table.render(Style::Plain);
        assert_eq!(text, "COMMAND\n\\u{1b}]0;owned\\u{7}\\nroot\\u{202e}\n");
    }
}
