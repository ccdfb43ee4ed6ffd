//! What is wrong with a change of the policy: one problem a mistake, with its place, all of them at once.

use std::fmt;

use enforcer_proto::v1;

use crate::policy::parse::limits::{MAX_PROBLEMS, MAX_SHOWN};

/// One mistake, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Stable word, in snake case: `unknown_field`, `duplicate_name`, `stale_base_revision`, ...
    pub code: &'static str,
    /// Where, in the words of the objects: `rules[web-to-db].to.tenant`.
    pub path: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// The document, for files.
    pub file: Option<String>,
    /// The line, from 1, for files.
    pub line: Option<u32>,
}

impl Problem {
    /// A problem that is not in a file.
    pub fn new(code: &'static str, path: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { code, path: path.to_string(), message: message.into(), file: None, line: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(out, "{}", shown(file))?;
            if let Some(line) = self.line {
                write!(out, ":{line}")?;
            }
            write!(out, ": ")?;
        }
        write!(out, "{}: {} ({})", self.path, self.message, self.code)
    }
}

impl From<&Problem> for v1::Problem {
    fn from(problem: &Problem) -> Self {
        let Problem { code, path, message, file, line } = problem;
        Self {
            code: (*code).to_owned(),
            path: path.clone(),
            message: message.clone(),
            file: file.clone().unwrap_or_default(),
            line: line.unwrap_or_default(),
        }
    }
}

impl From<Problem> for v1::Problem {
    fn from(problem: Problem) -> Self {
        Self::from(&problem)
    }
}

/// Every problem found so far, up to a bound; what goes beyond it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    found: Vec<Problem>,
    beyond: usize,
}

impl Problems {
    /// One more.
    pub fn push(&mut self, problem: Problem) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(problem);
        } else {
            self.beyond += 1;
        }
    }

    /// One more, that is not in a file.
    pub fn add(&mut self, code: &'static str, path: impl fmt::Display, message: impl Into<String>) {
        if self.found.len() < MAX_PROBLEMS {
            self.found.push(Problem::new(code, path, message));
        } else {
            self.beyond += 1;
        }
    }

    /// Those of another collection too.
    pub fn append(&mut self, other: Self) {
        self.beyond += other.beyond;
        for problem in other.found {
            self.push(problem);
        }
    }

    /// How many were found.
    #[must_use]
    pub fn count(&self) -> usize {
        self.found.len() + self.beyond
    }

    /// True when nothing was wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Gives each problem that has no line yet the file and line that `locate` knows for its path.
    pub fn locate(&mut self, locate: impl Fn(&str) -> Option<(String, u32)>) {
        for problem in &mut self.found {
            if problem.file.is_none()
                && let Some((file, line)) = locate(&problem.path)
            {
                problem.file = Some(file);
                problem.line = Some(line);
            }
        }
    }

    /// In the order in which a reader of the files meets them.
    pub fn sort_by_line(&mut self) {
        self.found.sort_by(|one, other| (&one.file, one.line).cmp(&(&other.file, other.line)));
    }

    /// The list; its last entry says how many more there are, when there are too many to list.
    #[must_use]
    pub fn into_vec(self) -> Vec<Problem> {
        let Self { mut found, beyond } = self;
        if beyond > 0 {
            let message = format!("{beyond} more problems are not listed; mend these first");
            found.push(Problem::new("too_many_problems", "", message));
        }
        found
    }

    /// `value` when nothing was wrong.
    ///
    /// # Errors
    /// Everything that was.
    pub fn into_result<T>(self, value: T) -> Result<T, Vec<Problem>> {
        if self.is_empty() { Ok(value) } else { Err(self.into_vec()) }
    }
}

/// A text of the sender as it may stand in a message: short, and without control characters.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_beyond_the_bound_is_counted() {
        let mut problems = Problems::default();
        for _ in 0..MAX_PROBLEMS + 5 {
            problems.add("some", "rules[a]", "wrong");
        }
        assert_eq!(problems.count(), MAX_PROBLEMS + 5);
        let list = problems.into_vec();
        assert_eq!(list.len(), MAX_PROBLEMS + 1);
        assert!(list[MAX_PROBLEMS].message.starts_with("5 more"));
    }

    #[test]
    fn a_senders_text_cannot_break_the_line() {
        assert_eq!(shown("a\nb\u{7}"), "a\\nb\\u{7}");
        assert!(shown(&"x".repeat(10_000)).chars().count() <= MAX_SHOWN + 1);
    }

    #[test]
    fn a_problem_reads_as_file_line_path_message() {
        let problem = Problem {
            file: Some("a.yaml".to_owned()),
            line: Some(3),
            ..Problem::new("unknown_field", "rules[a].colour", "no such field")
        };
        assert_eq!(problem.to_string(), "a.yaml:3: rules[a].colour: no such field (unknown_field)");
        let wire = v1::Problem::from(&problem);
        assert_eq!((wire.line, wire.file.as_str()), (3, "a.yaml"));
    }
}
