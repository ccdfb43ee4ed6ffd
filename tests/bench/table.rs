//! Figures as people read them.

use std::fmt::Write as _;

use crate::figure::Figure;

const HEAD: [&str; 6] = ["figure", "median", "spread", "ratio", "against", "goal"];

/// The table, with a line below each figure that needs a word.
pub(crate) fn of(figures: &[Figure]) -> String {
    let rows: Vec<[String; 6]> = figures.iter().map(row).collect();
    let mut widths = HEAD.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&HEAD.map(str::to_owned), &widths);
    for (row, figure) in rows.iter().zip(figures) {
        text.push_str(&line(row, &widths));
        if !figure.note.is_empty() {
            let _ = writeln!(text, "    {}", figure.note);
        }
    }
    text
}

fn line(cells: &[String; 6], widths: &[usize; 6]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        let _ = write!(text, "{cell:<width$}  ");
    }
    format!("{}\n", text.trim_end())
}

fn row(figure: &Figure) -> [String; 6] {
    let spread = if figure.runs > 1 {
        format!("{} to {} in {}", number(figure.low), number(figure.high), figure.runs)
    } else {
        String::new()
    };
    let verdict = match (&figure.goal, figure.met) {
        (Some(goal), Some(true)) => format!("{goal}: met"),
        (Some(goal), _) => format!("{goal}: MISSED"),
        (None, _) => String::new(),
    };
    [
        figure.name.clone(),
        format!("{} {}", number(figure.value), figure.unit),
        spread,
        figure.ratio.map(|ratio| format!("{ratio:.3}")).unwrap_or_default(),
        figure.against.clone().unwrap_or_default(),
        verdict,
    ]
}

fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_notes_follow_their_figure() {
        let figures = [Figure::once("a", "ns", 1.0).note("why"), Figure::once("longer", "ns", 12.0)];
        let text = of(&figures);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.get(2), Some(&"    why"));
        assert_eq!(
            lines.get(1).and_then(|line| line.find("1.000")),
            lines.get(3).and_then(|l| l.find("12.0"))
        );
    }
}
