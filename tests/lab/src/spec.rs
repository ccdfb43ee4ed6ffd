//! How large a lab is, and what it is called.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest name of a lab, in bytes: it is part of namespace and directory names.
const NAME_BYTES_MAX: usize = 16;

/// The name of a lab: lower-case letters and digits, so that a dash after it ends it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabName(String);

/// How large a lab is. Every number is at least 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Unique on this machine.
    pub name: LabName,
    /// Nodes, 1 to 64.
    pub nodes: u8,
    /// Tenants, 1 to 200.
    pub tenants: u8,
    /// Workloads with an address of their own, per tenant and node, 1 to 200.
    pub pods: u8,
}

/// Why a lab cannot be described so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// The name is empty, too long, or has other characters than a-z and 0-9.
    Name(String),
    /// A number is outside its range.
    Count {
        /// Nodes, tenants or pods.
        what: &'static str,
        /// What was asked for.
        asked: u8,
        /// The largest that works.
        most: u8,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => {
                write!(f, "lab name {name:?}: use 1 to {NAME_BYTES_MAX} of the characters a-z and 0-9")
            }
            Self::Count { what, asked, most } => write!(f, "{what}: {asked} is not within 1 to {most}"),
        }
    }
}

impl std::error::Error for SpecError {}

impl Spec {
    /// A lab of this size.
    ///
    /// # Errors
    /// A number is outside its range.
    pub fn new(name: LabName, nodes: u8, tenants: u8, pods: u8) -> Result<Self, SpecError> {
        for (what, asked, most) in [("nodes", nodes, 64), ("tenants", tenants, 200), ("pods", pods, 200)] {
            if asked == 0 || asked > most {
                return Err(SpecError::Count { what, asked, most });
            }
        }
        Ok(Self { name, nodes, tenants, pods })
    }
}

impl LabName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LabName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for LabName {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if fits && plain { Ok(Self(text.to_owned())) } else { Err(SpecError::Name(text.to_owned())) }
    }
}

impl TryFrom<String> for LabName {
    type Error = SpecError;

    fn try_from(text: String) -> Result<Self, SpecError> {
        text.parse()
    }
}

impl From<LabName> for String {
    fn from(name: LabName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_short() {
        assert!("lab2".parse::<LabName>().is_ok());
        for bad in ["", "a-b", "A", "../x", "waytoolongforaname"] {
            assert_eq!(bad.parse::<LabName>(), Err(SpecError::Name(bad.to_owned())));
        }
    }

    #[test]
    fn counts_have_bounds() {
        let name: LabName = "lab".parse().unwrap();
        assert!(Spec::new(name.clone(), 64, 200, 200).is_ok());
        let refused = Spec::new(name.clone(), 1, 0, 1);
        assert_eq!(refused, Err(SpecError::Count { what: "tenants", asked: 0, most: 200 }));
        assert!(Spec::new(name, 65, 1, 1).is_err());
    }
}
