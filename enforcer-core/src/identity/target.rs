//! Whom a revocation or a rotation means.

use std::fmt;

use enforcer_proto::v1;

use super::spiffe_id::{SpiffeId, SpiffeIdError};
use crate::policy::model::Name;

/// Longest name that is taken, in bytes: a DNS-1123 subdomain.
const NAME_MAX_BYTES: usize = 253;

/// One or more workloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One workload.
    Workload(Name),
    /// Everything of a tenant.
    Tenant(Name),
    /// Whoever has this ID.
    SpiffeId(SpiffeId),
}

/// Why a message means nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// None of the three.
    #[error("name a workload, a tenant or a SPIFFE ID")]
    Missing,
    /// Not a name that a policy can have.
    #[error("{0:?} is no name of a workload or tenant")]
    Name(String),
    /// Not a SPIFFE ID.
    #[error("no SPIFFE ID: {0}")]
    SpiffeId(#[from] SpiffeIdError),
}

impl TryFrom<Option<v1::IdentityTarget>> for Target {
    type Error = TargetError;

    fn try_from(message: Option<v1::IdentityTarget>) -> Result<Self, TargetError> {
        match message.and_then(|target| target.who).ok_or(TargetError::Missing)? {
            v1::identity_target::Who::Workload(text) => name(text).map(Self::Workload),
            v1::identity_target::Who::Tenant(text) => name(text).map(Self::Tenant),
            v1::identity_target::Who::SpiffeId(text) => Ok(Self::SpiffeId(text.parse()?)),
        }
    }
}

fn name(text: String) -> Result<Name, TargetError> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    if (1..=NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(is_plain) {
        return Ok(text.into());
    }
    Err(TargetError::Name(text.chars().take(NAME_MAX_BYTES).collect()))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workload(name) => write!(f, "workload {name}"),
            Self::Tenant(name) => write!(f, "tenant {name}"),
            Self::SpiffeId(id) => id.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use enforcer_proto::v1::identity_target::Who;

    use super::*;

    #[test]
    fn nobody_is_meant_by_a_message_that_names_nobody() {
        let target = |who| Target::try_from(Some(v1::IdentityTarget { who }));
        assert_eq!(Target::try_from(None), Err(TargetError::Missing));
        assert_eq!(target(None), Err(TargetError::Missing));
        assert_eq!(target(Some(Who::Tenant("A b".to_owned()))), Err(TargetError::Name("A b".to_owned())));
        assert_eq!(target(Some(Who::Tenant(String::new()))), Err(TargetError::Name(String::new())));
        assert!(matches!(target(Some(Who::SpiffeId("x".to_owned()))), Err(TargetError::SpiffeId(_))));
        assert_eq!(target(Some(Who::Workload("a.b".to_owned()))), Ok(Target::Workload("a.b".into())));
    }
}
