//! Steps of a revocation, with stable field names.

use enforcer_proto::v1;
use serde::Serialize;

use crate::console::Show;
use crate::style::{Paint, Style};
use crate::table::plain;

/// One step, or the last word.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StepView {
    step: String,
    outcome: String,
    detail: String,
    elapsed_us: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    strength: String,
}

impl From<v1::RevokeStep> for StepView {
    fn from(step: v1::RevokeStep) -> Self {
        let v1::RevokeStep { step, outcome, detail, elapsed_us, strength } = step;
        Self { step, outcome, detail, elapsed_us, strength }
    }
}

impl Show for StepView {
    fn text(&self, style: Style) -> String {
        let paint = match self.outcome.as_str() {
            "ok" => Paint::Good,
            "failed" => Paint::Bad,
            _ => Paint::Warn,
        };
        let outcome = style.paint(paint, &format!("{:<7}", plain(&self.outcome)));
        let (whole, rest) = (self.elapsed_us / 1_000, self.elapsed_us % 1_000);
        let line =
            format!("{:<8} {outcome} {whole:>6}.{rest:03} ms  {}\n", plain(&self.step), plain(&self.detail));
        if self.strength.is_empty() {
            return line;
        }
        format!("{line}{}\n", style.paint(Paint::Strong, &plain(&self.strength)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_line_and_the_last_word_says_what_is_true() {
        let step = |step: &str, strength: &str| {
            StepView::from(v1::RevokeStep {
                step: step.to_owned(),
                outcome: "ok".to_owned(),
                detail: "closed".to_owned(),
                elapsed_us: 1_042,
                strength: strength.to_owned(),
            })
        };
        assert_eq!(step("gate", "").text(Style::Plain), "gate     ok           1.042 ms  closed\n");
        assert_eq!(
            step("done", "no new opens").text(Style::Plain),
            "done     ok           1.042 ms  closed\nno new opens\n"
        );
    }
}
