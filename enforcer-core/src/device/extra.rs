//! Device classes of the node's configuration: what the inventory does not know, gated by its number.

use std::collections::BTreeSet;

use super::class::{self, CLASSES, Kind, MISC_MAJOR, Place, Role};
use super::table::DeviceTableError;

/// How many extra classes a node may configure.
pub const MAX_EXTRA: usize = 256;

/// A class of the node's configuration: a whole major that the inventory does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraClass {
    /// As grants name it: a DNS-1123 label, or `char:MAJOR`.
    pub name: String,
    /// Character or block.
    pub kind: Kind,
    /// Its major.
    pub major: u32,
    /// Who may have it.
    pub role: Role,
}

/// Everything that is wrong with them.
pub(crate) fn check(extra: &[ExtraClass]) -> Vec<DeviceTableError> {
    if extra.len() > MAX_EXTRA {
        return vec![DeviceTableError::TooManyExtra(extra.len())];
    }
    let mut errors = Vec::new();
    let mut names = BTreeSet::new();
    let mut majors = BTreeSet::new();
    for class in extra {
        if !is_fit(class) {
            errors.push(DeviceTableError::NameUnfit(class.name.clone()));
        }
        if class::by_name(&class.name).is_some() || !names.insert(&class.name) {
            errors.push(DeviceTableError::NameTaken(class.name.clone()));
        }
        let reserved = class.kind == Kind::Char && is_reserved(class.major);
        if reserved || !majors.insert((class.kind, class.major)) {
            errors.push(DeviceTableError::MajorTaken {
                name: class.name.clone(),
                kind: class.kind,
                major: class.major,
            });
        }
    }
    errors
}

fn is_fit(class: &ExtraClass) -> bool {
    if class.name.contains(':') {
        return class.name == format!("{}:{}", class.kind.name(), class.major);
    }
    let is_inner =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    (1..=63).contains(&class.name.len())
        && class.name.bytes().all(is_inner)
        && !class.name.starts_with('-')
        && !class.name.ends_with('-')
}

/// A major whose classes do not depend on what is loaded.
pub(crate) fn is_reserved(major: u32) -> bool {
    major == MISC_MAJOR
        || CLASSES
            .iter()
            .flat_map(|class| class.places)
            .any(|place| matches!(place, Place::Fixed { major: fixed, .. } if *fixed == major))
}
