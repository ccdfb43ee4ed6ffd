//! The gated devices of a node, by class: what was found in `/proc`, laid over the inventory.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_common::maps::{GATE_CUSTODY, GateKey, GateValue, MINOR_ANY};

use super::class::{
    self, CLASSES, FIRST_EXTRA, Kind, LAST_MINOR, MISC_MAJOR, Minors, Place, Role, UNASSIGNED,
    UNASSIGNED_NUMBER,
};
use super::drivers::{Drivers, DriversError};
pub use super::extra::{ExtraClass, MAX_EXTRA};
use super::extra::{check, is_reserved};

/// What keeps a table from being made. The last good one stays in use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceTableError {
    /// In what was read from the node.
    #[error(transparent)]
    Drivers(#[from] DriversError),
    /// More extra classes than are kept.
    #[error("{0} extra device classes, more than {MAX_EXTRA}")]
    TooManyExtra(usize),
    /// A name that the inventory or another extra class has.
    #[error("extra device class \"{0}\": the name is taken")]
    NameTaken(String),
    /// A name that nobody could grant.
    #[error("extra device class \"{0}\": not a lower-case label, and not its own \"char:MAJOR\"")]
    NameUnfit(String),
    /// A major that the inventory assigns for ever, or that another extra class has.
    #[error("extra device class \"{name}\": {kind} major {major} is taken", kind = kind.name())]
    MajorTaken {
        /// The class.
        name: String,
        /// Character or block.
        kind: Kind,
        /// The major.
        major: u32,
    },
}

/// A stretch of device numbers that belongs to a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) major: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The number within the class of `first`.
    pub(crate) index: u32,
    pub(crate) class: u32,
}

impl Span {
    pub(crate) const fn is_whole_major(&self) -> bool {
        self.first == 0 && self.last == LAST_MINOR
    }
}

/// The gated devices of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTable {
    /// Sorted; disjoint.
    pub(crate) spans: Vec<Span>,
    extra: Vec<ExtraClass>,
    /// Classes of devices that are handed from tenant to tenant, and closed in between.
    custody: BTreeSet<String>,
    warnings: Vec<String>,
}

impl Default for DeviceTable {
    /// A node without drivers: the majors that are assigned for ever are gated all the same.
    fn default() -> Self {
        Self::new(&Drivers::default(), Vec::new())
    }
}

impl DeviceTable {
    /// From the texts of `/proc/devices` and `/proc/misc`, and the configuration's classes.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn parse(
        proc_devices: &str,
        proc_misc: &str,
        extra: &[ExtraClass],
    ) -> Result<Self, Vec<DeviceTableError>> {
        let mut errors = check(extra);
        let drivers = Drivers::parse(proc_devices, proc_misc).unwrap_or_else(|wrong| {
            errors.extend(wrong.into_iter().map(DeviceTableError::Drivers));
            Drivers::default()
        });
        if errors.is_empty() { Ok(Self::new(&drivers, extra.to_vec())) } else { Err(errors) }
    }

    fn new(drivers: &Drivers, extra: Vec<ExtraClass>) -> Self {
        let mut spans = BTreeSet::new();
        for class in CLASSES {
            for place in class.places {
                spans.extend(spans_of(class.number, place, drivers));
            }
        }
        let mut warnings = Vec::new();
        for (number, class) in (FIRST_EXTRA..).zip(&extra) {
            let whole = Span {
                kind: class.kind,
                major: class.major,
                first: 0,
                last: LAST_MINOR,
                index: 0,
                class: number,
            };
            // A driver of the inventory was given this major when it loaded: its class, and role, prevail.
            if spans.iter().any(|span| span.kind == class.kind && span.major == class.major) {
                warnings.push(format!(
                    "extra device class {}: {} major {} is a known driver's on this node, and is left to it",
                    class.name,
                    class.kind.name(),
                    class.major
                ));
            } else {
                spans.insert(whole);
            }
        }
        Self { spans: disjoint(spans), extra, custody: BTreeSet::new(), warnings }
    }

    /// The same, with these classes in custody: a device of theirs is closed to every tenant to whom it was not handed.
    #[must_use]
    pub fn in_custody(mut self, classes: BTreeSet<String>) -> Self {
        self.custody = classes;
        self
    }

    /// Whether the devices of a class are in custody.
    #[must_use]
    pub fn is_in_custody(&self, class: &str) -> bool {
        self.custody.contains(class)
    }

    /// What the gate must hold: each major whole, so that an unknown minor is denied, and exact minors where
    /// a major has several classes. Of the misc major only exact minors.
    #[must_use]
    pub fn gates(&self) -> BTreeMap<GateKey, GateValue> {
        let mut gates = BTreeMap::new();
        let value = |class| {
            let is_in_custody = self.class_name(class).is_some_and(|name| self.is_in_custody(name));
            GateValue { class, flags: if is_in_custody { GATE_CUSTODY } else { 0 } }
        };
        for span in &self.spans {
            let key = |minor| GateKey { kind: span.kind.number(), major: span.major, minor };
            if span.is_whole_major() {
                gates.insert(key(MINOR_ANY), value(span.class));
                continue;
            }
            if !is_misc(span.kind, span.major) {
                gates.entry(key(MINOR_ANY)).or_insert(value(UNASSIGNED_NUMBER));
            }
            for minor in span.first..=span.last {
                gates.insert(key(minor), value(span.class));
            }
        }
        gates
    }

    /// The class of a device number: `None` when it is not gated.
    #[must_use]
    pub fn class_of(&self, kind: Kind, major: u32, minor: u32) -> Option<&str> {
        if let Some(span) = self.span_of(kind, major, minor) {
            return self.class_name(span.class);
        }
        let gated = self.spans.iter().any(|span| span.kind == kind && span.major == major);
        (gated && !is_misc(kind, major)).then_some(UNASSIGNED)
    }

    pub(crate) fn span_of(&self, kind: Kind, major: u32, minor: u32) -> Option<&Span> {
        self.spans.iter().find(|span| {
            span.kind == kind && span.major == major && (span.first..=span.last).contains(&minor)
        })
    }

    /// The name of a class number, as events carry it.
    #[must_use]
    pub fn class_name(&self, number: u32) -> Option<&str> {
        if let Some(class) = class::by_number(number) {
            return Some(class.name);
        }
        let index = usize::try_from(number.checked_sub(FIRST_EXTRA)?).ok()?;
        self.extra.get(index).map(|class| class.name.as_str())
    }

    /// The role of a class, also when no driver of it is loaded: `None` for a class that nobody knows.
    #[must_use]
    pub fn role(&self, class_name: &str) -> Option<Role> {
        if let Some(class) = class::by_name(class_name) {
            return Some(class.role);
        }
        self.extra.iter().find(|class| class.name == class_name).map(|class| class.role)
    }

    /// Classes that have numbers on this node, in the order of their numbers.
    pub fn classes(&self) -> impl Iterator<Item = (&str, Role)> {
        let present: BTreeSet<u32> = self.spans.iter().map(|span| span.class).collect();
        present.into_iter().filter_map(|number| {
            let name = self.class_name(number)?;
            Some((name, self.role(name)?))
        })
    }

    /// What the configuration meant and the node contradicts.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(crate) fn class_number(&self, name: &str) -> Option<u32> {
        if let Some(class) = class::by_name(name) {
            return Some(class.number);
        }
        (FIRST_EXTRA..).zip(&self.extra).find(|(_, class)| class.name == name).map(|(number, _)| number)
    }
}

const fn is_misc(kind: Kind, major: u32) -> bool {
    matches!(kind, Kind::Char) && major == MISC_MAJOR
}

fn spans_of(class: u32, place: &Place, drivers: &Drivers) -> Vec<Span> {
    let span = |major, minors: Minors| Span {
        kind: Kind::Char,
        major,
        first: minors.first,
        last: minors.last,
        index: minors.index,
        class,
    };
    match *place {
        Place::Fixed { major, minors } => vec![span(major, minors)],
        // A fixed major is listed under its drivers' names too, and belongs to its fixed classes.
        Place::Driver { driver, minors } => drivers
            .majors
            .iter()
            .filter(|(kind, major, name)| *kind == Kind::Char && name == driver && !is_reserved(*major))
            .map(|(_, major, _)| span(*major, minors))
            .collect(),
        Place::Misc { device } => drivers
            .misc
            .iter()
            .filter(|(_, name)| name == device)
            .map(|(minor, _)| span(MISC_MAJOR, Minors { first: *minor, last: *minor, index: 0 }))
            .collect(),
    }
}

/// Where two drivers claim a number, it belongs to no class: gated, and never granted.
fn disjoint(spans: BTreeSet<Span>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    for span in spans {
        match out.last_mut() {
            Some(last) if last.kind == span.kind && last.major == span.major && span.first <= last.last => {
                last.last = last.last.max(span.last);
                last.class = UNASSIGNED_NUMBER;
            }
            _ => out.push(span),
        }
    }
    out
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
