//! One figure of a bench: what was measured, against what, and whether the goal is met.

use serde::Serialize;

use crate::sample::Sample;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// The ratio is no smaller.
    RatioAtLeast(f64),
    /// The ratio is no larger.
    RatioBelow(f64),
    /// The value is no larger.
    AtMost(f64),
    /// The value is no smaller.
    AtLeast(f64),
}

/// A figure. `low` and `high` are the smallest and largest of the runs whose median `value` is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) unit: &'static str,
    pub(crate) runs: usize,
    pub(crate) ratio: Option<f64>,
    pub(crate) against: Option<String>,
    pub(crate) goal: Option<String>,
    pub(crate) met: Option<bool>,
    pub(crate) note: String,
    #[serde(skip)]
    wanted: Option<Goal>,
}

impl Figure {
    /// The median of some runs.
    pub(crate) fn of(name: impl Into<String>, unit: &'static str, sample: &Sample) -> Self {
        Self {
            name: name.into(),
            value: sample.median(),
            low: sample.low(),
            high: sample.high(),
            unit,
            runs: sample.len(),
            ratio: None,
            against: None,
            goal: None,
            met: None,
            note: String::new(),
            wanted: None,
        }
    }

    /// Something that was found once.
    pub(crate) fn once(name: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self::of(name, unit, &Sample::from(vec![value]))
    }

    /// Another point of the runs than their median.
    pub(crate) fn percentile(self, sample: &Sample, percent: f64) -> Self {
        Self { value: sample.percentile(percent), ..self }.judged()
    }

    /// The median of the ratios of runs that were made one after the other.
    pub(crate) fn over(mut self, ratio: f64, against: impl Into<String>) -> Self {
        self.ratio = Some(ratio);
        self.against = Some(against.into());
        self.judged()
    }

    pub(crate) fn goal(mut self, goal: Goal) -> Self {
        self.wanted = Some(goal);
        self.judged()
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    fn judged(mut self) -> Self {
        let (text, met) = match self.wanted {
            None => return self,
            Some(Goal::RatioAtLeast(least)) => {
                (format!("ratio >= {least}"), self.ratio.map(|ratio| ratio >= least))
            }
            Some(Goal::RatioBelow(most)) => (format!("ratio < {most}"), self.ratio.map(|ratio| ratio < most)),
            Some(Goal::AtLeast(least)) => (format!(">= {least} {}", self.unit), Some(self.value >= least)),
            Some(Goal::AtMost(most)) => (format!("<= {most} {}", self.unit), Some(self.value <= most)),
        };
        self.goal = Some(text);
        self.met = met;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_what_it_speaks_of() {
        let figure = |value| Figure::once("f", "ns", value);
        assert_eq!(figure(99.0).goal(Goal::AtMost(100.0)).met, Some(true));
        assert_eq!(figure(101.0).goal(Goal::AtMost(100.0)).met, Some(false));
        assert_eq!(figure(1.0).goal(Goal::RatioAtLeast(0.98)).met, None);
        assert_eq!(figure(1.0).goal(Goal::RatioAtLeast(0.98)).over(0.97, "x").met, Some(false));
        assert_eq!(figure(1.0).over(1.2, "x").goal(Goal::RatioBelow(1.3)).met, Some(true));
    }
}
