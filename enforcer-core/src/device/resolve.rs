//! From a grant's words to device numbers: `class` and `minors` as the class counts them.

use enforcer_common::maps::MINOR_ANY;

use super::class::Role;
use super::table::{DeviceTable, Span};
use crate::policy::image::DeviceRegion;

/// Why a grant gives nothing on this node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// No class of the inventory or of the configuration.
    #[error("device class \"{0}\" is not known on this node")]
    UnknownClass(String),
    /// Its driver is not loaded, so it has no numbers: gives nothing until it is.
    #[error("device class \"{0}\" has no driver on this node")]
    DriverAbsent(String),
    /// Reaches beyond any tenant.
    #[error("device class \"{0}\" is never granted to a tenant")]
    Never(String),
    /// A class of accelerators without saying which ones.
    #[error("device class \"{0}\" is one of accelerators: name the minors")]
    MinorsRequired(String),
    /// An empty list, which is not "all".
    #[error("device class \"{0}\": the list of minors is empty")]
    NoMinors(String),
    /// A number that the class does not have.
    #[error("device class \"{class}\" has no number {minor}")]
    NoSuchMinor {
        /// The class.
        class: String,
        /// As the class counts.
        minor: u32,
    },
    /// Two drivers have the class, and the number means a device of each.
    #[error("device class \"{class}\": number {minor} means several devices")]
    Ambiguous {
        /// The class.
        class: String,
        /// As the class counts.
        minor: u32,
    },
}

impl DeviceTable {
    /// The device numbers of a tenant's grant. `minors` count as the class does; `None` is every device of a
    /// control class.
    ///
    /// # Errors
    /// The first thing that keeps the grant from being given; nothing is given in part.
    pub fn resolve(&self, class: &str, minors: Option<&[u32]>) -> Result<Vec<DeviceRegion>, Unresolved> {
        let role = self.role(class).ok_or_else(|| Unresolved::UnknownClass(class.to_owned()))?;
        match (role, minors) {
            (Role::Never, _) => Err(Unresolved::Never(class.to_owned())),
            (Role::Accelerator, None) => Err(Unresolved::MinorsRequired(class.to_owned())),
            (_, Some([])) => Err(Unresolved::NoMinors(class.to_owned())),
            (Role::Control, None) => self.regions(class),
            (Role::Accelerator | Role::Control, Some(minors)) => {
                let spans = self.spans_of_class(class)?;
                let mut regions = Vec::with_capacity(minors.len());
                for minor in minors {
                    regions.push(region_of(class, &spans, *minor)?);
                }
                regions.sort_unstable();
                regions.dedup();
                Ok(regions)
            }
        }
    }

    /// Every device number of a class, whatever its role: what a host service that names the class may open.
    ///
    /// # Errors
    /// The class is unknown, or has no numbers here.
    pub fn regions(&self, class: &str) -> Result<Vec<DeviceRegion>, Unresolved> {
        Ok(self.spans_of_class(class)?.into_iter().flat_map(regions_of).collect())
    }

    /// Every gated device number: what a host service that names no class may open.
    #[must_use]
    pub fn all_regions(&self) -> Vec<DeviceRegion> {
        self.gates()
            .into_keys()
            .map(|key| DeviceRegion { kind: key.kind, major: key.major, minor: key.minor })
            .collect()
    }

    /// The one device that is number `minor` of a class, whatever its role.
    ///
    /// # Errors
    /// The class, its driver or the number is missing, or means several devices.
    pub fn locate(&self, class: &str, minor: u32) -> Result<DeviceRegion, Unresolved> {
        region_of(class, &self.spans_of_class(class)?, minor)
    }

    fn spans_of_class(&self, class: &str) -> Result<Vec<&Span>, Unresolved> {
        let number = self.class_number(class).ok_or_else(|| Unresolved::UnknownClass(class.to_owned()))?;
        let spans: Vec<&Span> = self.spans.iter().filter(|span| span.class == number).collect();
        if spans.is_empty() { Err(Unresolved::DriverAbsent(class.to_owned())) } else { Ok(spans) }
    }
}

fn region_of(class: &str, spans: &[&Span], minor: u32) -> Result<DeviceRegion, Unresolved> {
    let mut found = spans.iter().filter_map(|span| {
        let offset = minor.checked_sub(span.index)?;
        let number = span.first.checked_add(offset).filter(|number| *number <= span.last)?;
        Some(DeviceRegion { kind: span.kind.number(), major: span.major, minor: number })
    });
    let first = found.next().ok_or_else(|| Unresolved::NoSuchMinor { class: class.to_owned(), minor })?;
    match found.next() {
        Some(_) => Err(Unresolved::Ambiguous { class: class.to_owned(), minor }),
        None => Ok(first),
    }
}

/// A whole major as one region, anything else minor by minor: the gate knows nothing between.
fn regions_of(span: &Span) -> Vec<DeviceRegion> {
    let region = |minor| DeviceRegion { kind: span.kind.number(), major: span.major, minor };
    if span.is_whole_major() {
        return vec![region(MINOR_ANY)];
    }
    (span.first..=span.last).map(region).collect()
}
