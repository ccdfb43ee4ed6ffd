//! What a drill found: a row for each thing that was proven, or could not be.

use std::time::Duration;

use serde::Serialize;

use super::tally::{Count, Tally};
use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// What a row says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// It was seen to hold, just now.
    Verified,
    /// It is there, and was not seen to hold.
    Declared,
    /// It is not there, or cannot be drilled here.
    Absent,
    /// It did not hold.
    Failed,
}

impl State {
    const fn word(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Declared => "declared",
            Self::Absent => "absent",
            Self::Failed => "failed",
        }
    }

    const fn paint(self) -> Paint {
        match self {
            Self::Verified => Paint::Good,
            Self::Declared | Self::Absent => Paint::Warn,
            Self::Failed => Paint::Bad,
        }
    }
}

/// One thing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    /// `hook cgroup/device`, `verb freeze`, `agent-killed`, ...
    pub(crate) name: String,
    /// What was found.
    pub(crate) state: State,
    /// Why it is not verified; of a verified one, what was seen.
    pub(crate) reason: String,
    /// Attempts across tenants meanwhile; 0 where no loops ran.
    pub(crate) attempts: u64,
    /// Those that succeeded.
    pub(crate) crossed: u64,
    /// Things that are allowed and worked meanwhile.
    pub(crate) controls: u64,
    /// How long it took. Microseconds.
    pub(crate) elapsed_us: u64,
    /// Attempts and controls by way.
    pub(crate) ways: Tally,
}

impl Row {
    /// A row of something that had no attacks beside it.
    pub(crate) fn new(
        name: impl Into<String>,
        state: State,
        reason: impl Into<String>,
        elapsed: Duration,
    ) -> Self {
        Self::attacked(name, state, reason, elapsed, Tally::default())
    }

    /// A row of something that was done under attack.
    pub(crate) fn attacked(
        name: impl Into<String>,
        state: State,
        reason: impl Into<String>,
        elapsed: Duration,
        ways: Tally,
    ) -> Self {
        let Count { attempts, crossed, controls, .. } = ways.sum();
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let (name, reason) = (name.into(), reason.into());
        Self { name, state, reason, attempts, crossed, controls, elapsed_us, ways }
    }

    /// On one line, for who waits.
    pub(crate) fn line(&self) -> String {
        let Self { name, reason, attempts, crossed, .. } = self;
        let attacks =
            if *attempts > 0 { format!(", {attempts} attempts, {crossed} crossed") } else { String::new() };
        let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        format!("{name}: {}{attacks}{why}", self.state.word())
    }
}

/// A whole drill.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The node, as its agent calls it; the host name where none answers.
    pub(crate) node: String,
    /// Release of the kernel.
    pub(crate) kernel: String,
    /// RFC 3339, UTC.
    pub(crate) started: String,
    /// In the order in which they were done.
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Rows that did not hold.
    pub(crate) fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.state == State::Failed || row.crossed > 0).count()
    }

    /// Attempts that crossed.
    pub(crate) fn crossed(&self) -> u64 {
        self.rows.iter().map(|row| row.crossed).sum()
    }
}

impl Show for Report {
    fn text(&self, style: Style) -> String {
        let mut table = Table::new(&["ROW", "STATE", "ATTEMPTS", "CROSSED", "CONTROLS", "TIME", "WHY"]);
        for row in &self.rows {
            let crossed = if row.crossed > 0 { Paint::Bad } else { Paint::None };
            let number = |number: u64| if row.attempts > 0 { Cell::from(number) } else { Cell::absent() };
            table.row([
                Cell::from(row.name.as_str()),
                Cell::from(row.state.word()).painted(row.state.paint()),
                number(row.attempts),
                number(row.crossed).painted(crossed),
                number(row.controls),
                Cell::from(format!("{}.{:03} ms", row.elapsed_us / 1000, row.elapsed_us % 1000)),
                Cell::or_absent(&row.reason),
            ]);
        }
        format!(
            "node {}, kernel {}, {}\n{}",
            crate::table::plain(&self.node),
            crate::table::plain(&self.kernel),
            self.started,
            table.render(style)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::tally::Way;

    fn report(rows: Vec<Row>) -> Report {
        let text = |text: &str| text.to_owned();
        Report { node: text("n1"), kernel: text("6.18"), started: text("2026-01-01T00:00:00Z"), rows }
    }

    #[test]
    fn what_is_absent_is_listed_and_does_not_fail_the_drill() {
        let drill = report(vec![
            Row::new("hook lsm/file_open", State::Absent, "no BPF LSM", Duration::ZERO),
            Row::new("hook cgroup/device", State::Verified, "", Duration::from_micros(1234)),
        ]);
        assert_eq!((drill.failed(), drill.crossed()), (0, 0));
        let text = drill.text(Style::Plain);
        assert!(
            text.contains("absent") && text.contains("no BPF LSM") && text.contains("1.234 ms"),
            "{text}"
        );
    }

    #[test]
    fn a_crossing_fails_the_drill_whatever_the_row_says() {
        let count = Count { attempts: 3, crossed: 1, ..Count::default() };
        let ways = Tally([(Way::Tcp, count)].into());
        let drill = report(vec![Row::attacked("steady", State::Verified, "", Duration::ZERO, ways)]);
        assert_eq!((drill.failed(), drill.crossed()), (1, 1));
    }
}
