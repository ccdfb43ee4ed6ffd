//! Interleaved runs: every carrier once a round, each first as often as the others; and what the rounds say.

use anyhow::Result;

use super::carrier::Carrier;
use super::field::Field;
use crate::figure::{Figure, Goal};
use crate::sample::Sample;
use crate::suite::Effort;

/// What each carrier reached, in the order of the rounds.
pub(super) struct Rounds<const N: usize> {
    runs: Vec<(Carrier, [Vec<f64>; N])>,
}

impl<const N: usize> Rounds<N> {
    pub(super) fn of(
        field: &Field,
        effort: Effort,
        mut measure: impl FnMut(Carrier) -> Result<[f64; N]>,
    ) -> Result<Self> {
        let carriers = field.carriers();
        let mut runs: Vec<(Carrier, [Vec<f64>; N])> =
            carriers.iter().map(|carrier| (*carrier, std::array::from_fn(|_| Vec::new()))).collect();
        for round in 0..count(effort) {
            for turn in 0..runs.len() {
                let index = (round + turn) % runs.len();
                let Some((carrier, seen)) = runs.get_mut(index) else { continue };
                for (runs, figure) in seen.iter_mut().zip(measure(*carrier)?) {
                    runs.push(figure);
                }
            }
        }
        Ok(Self { runs })
    }

    fn runs(&self, carrier: Carrier, index: usize) -> Option<&Vec<f64>> {
        let (_, runs) = self.runs.iter().find(|(of, _)| *of == carrier)?;
        runs.get(index).filter(|runs| runs.iter().all(|run| run.is_finite()))
    }

    /// A figure a carrier: ours against Envoy's of the same rounds, with their goal, everybody's beside raw TCP.
    pub(super) fn figures(
        &self,
        index: usize,
        name: &str,
        unit: &'static str,
        goals: impl Fn(Carrier) -> Option<Goal>,
    ) -> Vec<Figure> {
        self.runs.iter().filter_map(|(carrier, _)| self.figure(*carrier, index, name, unit, &goals)).collect()
    }

    /// The first number of each carrier against raw TCP's of the same rounds, with a goal.
    pub(super) fn against_raw(&self, name: &str, unit: &'static str, goal: Goal) -> Vec<Figure> {
        let figure = |carrier: Carrier| {
            let runs = self.runs(carrier, 0)?;
            let figure = Figure::of(format!("{name}/{carrier}"), unit, &Sample::from(runs.clone()));
            match (carrier, self.runs(Carrier::Raw, 0)) {
                (Carrier::Raw, _) | (_, None) => Some(figure),
                (_, Some(raw)) => {
                    let ratio = Sample::zip(runs, raw, |run, raw| run / raw).median();
                    Some(figure.over(ratio, "raw").goal(goal))
                }
            }
        };
        self.runs.iter().filter_map(|(carrier, _)| figure(*carrier)).collect()
    }

    fn figure(
        &self,
        carrier: Carrier,
        index: usize,
        name: &str,
        unit: &'static str,
        goals: impl Fn(Carrier) -> Option<Goal>,
    ) -> Option<Figure> {
        let runs = self.runs(carrier, index)?;
        let over = |other| {
            let other = self.runs(other, index)?;
            Some(Sample::zip(runs, other, |run, other| run / other).median())
        };
        let mut figure = Figure::of(format!("{name}/{carrier}"), unit, &Sample::from(runs.clone()));
        let (raw, envoy) = (over(Carrier::Raw), over(Carrier::Envoy));
        match (carrier, raw, envoy) {
            (Carrier::Native | Carrier::Hbone, raw, Some(envoy)) => {
                figure = figure.over(envoy, "envoy");
                if let Some(raw) = raw {
                    figure = figure.note(format!("{raw:.3} of raw"));
                }
            }
            (Carrier::Raw, ..) | (_, None, _) => {}
            (_, Some(raw), _) => figure = figure.over(raw, "raw"),
        }
        if let Some(goal) = goals(carrier) {
            figure = figure.goal(goal);
        }
        Some(figure)
    }
}

const fn count(effort: Effort) -> usize {
    match effort {
        Effort::Full => 7,
        Effort::Quick => 2,
    }
}

/// Ours are to reach at least this much of what Envoy does in the same rounds.
pub(super) fn at_least(native: f64, hbone: f64) -> impl Fn(Carrier) -> Option<Goal> {
    move |carrier| match carrier {
        Carrier::Native => Some(Goal::RatioAtLeast(native)),
        Carrier::Hbone => Some(Goal::RatioAtLeast(hbone)),
        Carrier::Raw | Carrier::Haproxy | Carrier::Envoy => None,
    }
}

/// Ours are to need less than this much of what Envoy does in the same rounds.
pub(super) fn below(native: f64, hbone: f64) -> impl Fn(Carrier) -> Option<Goal> {
    move |carrier| match carrier {
        Carrier::Native => Some(Goal::RatioBelow(native)),
        Carrier::Hbone => Some(Goal::RatioBelow(hbone)),
        Carrier::Raw | Carrier::Haproxy | Carrier::Envoy => None,
    }
}
