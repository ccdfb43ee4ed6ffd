//! What the runs come to.

use super::super::runner::LOOK_UPS;
use super::Size;
use super::case::Case;
use super::run::Run;
use crate::figure::{Figure, Goal};
use crate::sample::Sample;

/// One packet of an established flow.
const ESTABLISHED: Goal = Goal::AtMost(100.0);
/// From the smallest tables to the largest.
const GROWTH: Goal = Goal::RatioBelow(1.3);

/// What is taken out of a run.
type Read<'a> = &'a dyn Fn(&Run) -> f64;

/// `all` holds a run of each size for every round.
pub(super) fn of(sizes: &[Size], all: &[Vec<Run>]) -> Vec<Figure> {
    let mut figures = limits(sizes, all);
    for (index, case) in Case::ALL.into_iter().enumerate() {
        let read = move |run: &Run| run.cases.get(index).copied().unwrap_or(f64::NAN);
        let goal = (!case.is_denied()).then_some(ESTABLISHED);
        let note = if case.is_denied() { "counted each time, told 2,000 times a second" } else { "" };
        figures.extend(series(case.name(), sizes, all, &read, goal, note));
    }
    figures.extend(series(
        "new-allowed/from_workload",
        sizes,
        all,
        &|run| run.new,
        None,
        "the first packet of 4,096 flows, with its entry in the flow table and its record",
    ));
    figures.extend(series(
        "established-spread/forward/from_workload",
        sizes,
        all,
        &|run| run.spread,
        None,
        "the second packet of the same 4,096 flows, one after the other",
    ));
    figures
}

/// What this machine charges for less than any wall could do.
fn limits(sizes: &[Size], all: &[Vec<Run>]) -> Vec<Figure> {
    let mut figures = Vec::new();
    let last = sizes.len().saturating_sub(1);
    let runner = column(all, last, &|run| run.runner);
    figures.push(
        Figure::of("packet/limit/runner", "ns", &Sample::from(runner))
            .note("an empty program, repeated: taken off every figure below"),
    );
    let single = column(all, last, &|run| run.runner_single);
    figures.push(
        Figure::of("packet/limit/runner-single", "ns", &Sample::from(single))
            .note("an empty program, run once: taken off the figures of single packets"),
    );
    for (index, (bytes, _)) in LOOK_UPS.into_iter().enumerate() {
        let ns = column(all, last, &|run| run.look_ups.get(index).copied().unwrap_or(f64::NAN));
        figures.push(
            Figure::of(format!("packet/limit/look-up-{bytes}"), "ns", &Sample::from(ns))
                .note(format!("one hash look-up of a {bytes}-byte key, the table as large as below")),
        );
    }
    figures
}

fn series(
    name: &str,
    sizes: &[Size],
    all: &[Vec<Run>],
    read: Read<'_>,
    goal: Option<Goal>,
    note: &str,
) -> Vec<Figure> {
    let first = column(all, 0, read);
    let mut figures = Vec::new();
    for (index, size) in sizes.iter().enumerate() {
        let runs = column(all, index, read);
        let figure = Figure::of(format!("packet/{name}/{}", called(*size)), "ns", &Sample::from(runs));
        let figure = match goal {
            Some(goal) => figure.goal(goal),
            None => figure,
        };
        figures.push(if index == 0 { figure.note(note) } else { figure });
    }
    if let (Some(smallest), Some(largest)) = (sizes.first(), sizes.last()) {
        let runs = column(all, sizes.len().saturating_sub(1), read);
        let growth = Sample::zip(&runs, &first, |large, small| large / small).median();
        figures.push(
            Figure::of(format!("packet/growth/{name}/{}", called(*largest)), "ns", &Sample::from(runs))
                .over(growth, called(*smallest))
                .goal(GROWTH),
        );
    }
    figures
}

/// One number of each round, for one size.
fn column(all: &[Vec<Run>], index: usize, read: Read<'_>) -> Vec<f64> {
    all.iter().filter_map(|round| round.get(index)).map(read).collect()
}

fn called(size: Size) -> String {
    format!("{}-bindings-{}-tenants", size.bindings, size.tenants)
}
