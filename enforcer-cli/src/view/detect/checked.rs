//! Rule files that were checked: the rules that would be in force, or what is wrong.

use enforcer_core::detect::rule::Rules;
use serde::Serialize;

use crate::console::Show;
use crate::problem::{self, Problem};
use crate::style::Style;
use crate::table::plain;

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct CheckedView {
    rules: Vec<String>,
    problems: Vec<Problem>,
}

impl CheckedView {
    /// Nothing is wrong.
    pub(crate) fn of(rules: &Rules) -> Self {
        Self { rules: rules.iter().map(|rule| rule.name.to_string()).collect(), problems: Vec::new() }
    }

    /// Something is.
    pub(crate) const fn refused(problems: Vec<Problem>) -> Self {
        Self { rules: Vec::new(), problems }
    }

    /// Rules that would be in force.
    pub(crate) const fn count(&self) -> usize {
        self.rules.len()
    }

    /// Everything that is wrong.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// A line for each problem, as editors read them.
    pub(crate) fn problem_lines(&self) -> String {
        self.problems.iter().map(|problem| plain(&problem.line()) + "\n").collect()
    }
}

impl Show for CheckedView {
    fn text(&self, style: Style) -> String {
        problem::table(&self.problems).render(style)
    }
}
