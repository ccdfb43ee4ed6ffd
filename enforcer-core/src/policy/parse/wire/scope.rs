//! What parsing one message carries along: the problems so far, the time of receipt, the names seen.

use std::collections::HashSet;
use std::fmt::Display;

use crate::policy::model::{Name, UnixNanos};
use crate::policy::parse::path::At;
use crate::policy::parse::words::{Words, from_wire, list};
use crate::policy::problem::Problems;

pub(super) struct Scope {
    pub(super) problems: Problems,
    pub(super) now: UnixNanos,
    names: HashSet<Name>,
}

impl Scope {
    pub(super) fn new(now: UnixNanos) -> Self {
        Self { problems: Problems::default(), now, names: HashSet::new() }
    }

    pub(super) fn refuse(&mut self, code: &'static str, at: &At, message: impl Into<String>) {
        self.problems.add(code, at, message);
    }

    /// One allocation for a name, however many objects mention it.
    pub(super) fn intern(&mut self, name: &str) -> Name {
        if let Some(known) = self.names.get(name) {
            return Name::clone(known);
        }
        let fresh = Name::from(name);
        self.names.insert(Name::clone(&fresh));
        fresh
    }

    pub(super) fn missing(&mut self, at: &At, what: impl Display) {
        self.refuse("missing_field", at, format!("is missing; state {what}"));
    }

    /// False, and a problem, when a list is too long.
    pub(super) fn at_most(&mut self, at: &At, length: usize, most: usize) -> bool {
        if length > most {
            let message = format!("has {length} items where {most} are the most; push fewer");
            self.refuse("too_many", at, message);
        }
        length <= most
    }

    /// The value of an enum's number.
    pub(super) fn word<M: Copy, W: Copy + Into<i32>>(
        &mut self,
        at: &At,
        words: Words<M, W>,
        number: i32,
    ) -> Option<M> {
        let value = from_wire(words, number);
        match (value, number) {
            (Some(_), _) => {}
            (None, 0) => self.missing(at, format_args!("one of {}", list(words))),
            (None, _) => {
                let message = format!("{number} is no value that is known; use one of {}", list(words));
                self.refuse("unknown_value", at, message);
            }
        }
        value
    }
}

/// Every item, or `None` when one of them was refused; each one is looked at either way.
pub(super) fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut whole = true;
    let mut parsed = Vec::new();
    for item in items {
        match item {
            Some(item) => parsed.push(item),
            None => whole = false,
        }
    }
    whole.then_some(parsed)
}
