//! Verdict counters.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::{Cell, Table};

/// Counters of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CountersView {
    counters: Vec<CounterView>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CounterView {
    source: String,
    destination: String,
    reason: String,
    hook: String,
    audited: bool,
    packets: u64,
    bytes: u64,
}

impl From<v1::CountersResponse> for CountersView {
    fn from(response: v1::CountersResponse) -> Self {
        let counter = |counter: v1::Counter| {
            let v1::Counter { source, destination, reason, hook, audited, packets, bytes } = counter;
            CounterView { source, destination, reason, hook, audited, packets, bytes }
        };
        Self { counters: response.counters.into_iter().map(counter).collect() }
    }
}

impl CounterView {
    /// The word of the verdict behind the counter.
    fn verdict(&self) -> (&'static str, Paint) {
        match (self.reason.as_str(), self.audited) {
            ("none", _) => ("allow", Paint::Good),
            (_, true) => ("audit", Paint::Warn),
            (_, false) => ("deny", Paint::Bad),
        }
    }
}

impl Show for CountersView {
    fn text(&self, style: Style) -> String {
        let mut table =
            Table::new(&["SOURCE", "DESTINATION", "VERDICT", "REASON", "HOOK", "PACKETS", "BYTES"]);
        for counter in &self.counters {
            let (verdict, paint) = counter.verdict();
            table.row([
                Cell::or_absent(&counter.source),
                Cell::or_absent(&counter.destination),
                Cell::from(verdict).painted(paint),
                Cell::or_absent(&counter.reason),
                Cell::or_absent(&counter.hook),
                Cell::from(counter.packets),
                Cell::from(counter.bytes),
            ]);
        }
        table.render(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_a_row_with_its_verdict() {
        let counter = |reason: &str, audited| v1::Counter {
            source: "a".to_owned(),
            destination: "b".to_owned(),
            reason: reason.to_owned(),
            hook: "connect".to_owned(),
            audited,
            packets: 3,
            bytes: 180,
        };
        let counters =
            vec![counter("none", false), counter("rule_denied", true), counter("rule_denied", false)];
        let view = CountersView::from(v1::CountersResponse { counters });
        assert_eq!(
            view.text(Style::Plain),
            "SOURCE  DESTINATION  VERDICT  REASON       HOOK     PACKETS  BYTES\n\
             a       b            allow    none         connect  3        180\n\
             a       b            audit    rule_denied  connect  3        180\n\
             a       b            deny     rule_denied  connect  3        180\n"
        );
    }
}
