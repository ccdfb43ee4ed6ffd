//! The place of a value inside a push, written out only when something is wrong there.

use std::fmt;

use crate::policy::problem::shown;

/// A place: a segment, and what it is in.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    parent: Option<&'a At<'a>>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Segment<'a> {
    Field(&'a str),
    Name(&'a str),
    Item(usize),
}

impl<'a> At<'a> {
    /// A list of objects: `rules`.
    #[must_use]
    pub const fn root(field: &'a str) -> Self {
        Self { parent: None, segment: Segment::Field(field) }
    }

    /// A field of this.
    #[must_use]
    pub const fn field<'b>(&'b self, field: &'b str) -> At<'b>
    where
        'a: 'b,
    {
        At { parent: Some(self), segment: Segment::Field(field) }
    }

    /// An object of this list, by name.
    #[must_use]
    pub const fn name<'b>(&'b self, name: &'b str) -> At<'b>
    where
        'a: 'b,
    {
        At { parent: Some(self), segment: Segment::Name(name) }
    }

    /// An item of this list, from 0.
    #[must_use]
    pub const fn item<'b>(&'b self, item: usize) -> At<'b>
    where
        'a: 'b,
    {
        At { parent: Some(self), segment: Segment::Item(item) }
    }

    /// An object of this list: by name, or by number when it has none.
    #[must_use]
    pub const fn object<'b>(&'b self, item: usize, name: &'b str) -> At<'b>
    where
        'a: 'b,
    {
        if name.is_empty() { self.item(item) } else { self.name(name) }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            write!(out, "{parent}")?;
        }
        match (self.segment, self.parent) {
            (Segment::Field(field), None) => write!(out, "{}", shown(field)),
            (Segment::Field(field), Some(_)) => write!(out, ".{}", shown(field)),
            (Segment::Name(name), _) => write!(out, "[{}]", shown(name)),
            (Segment::Item(item), _) => write!(out, "[{item}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_like_the_objects() {
        let rules = At::root("rules");
        let rule = rules.object(0, "web-to-db");
        assert_eq!(rule.field("to").field("tenant").to_string(), "rules[web-to-db].to.tenant");
        assert_eq!(rule.field("ports").item(2).to_string(), "rules[web-to-db].ports[2]");
        assert_eq!(rules.object(7, "").to_string(), "rules[7]");
    }
}
