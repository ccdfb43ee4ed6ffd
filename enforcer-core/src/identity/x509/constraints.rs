//! For which hosts in URIs an authority may sign (RFC 5280 section 4.2.1.10, X-10). It is read strictly and here,
//! because a constraint that a lenient parser drops is a constraint that holds nobody.

use super::der::{self, Element, SEQUENCE};
use crate::identity::spiffe_id::{SpiffeIdError, parse_trust_domain};

/// Subtrees of one authority.
pub(super) const MAX_SUBTREES: usize = 64;

const PERMITTED: u8 = 0xa0;
const EXCLUDED: u8 = 0xa1;
const URI: u8 = 0x86;

/// Hosts that an authority may and may not name; without constraints, any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UriConstraints {
    permitted: Option<Vec<Subtree>>,
    excluded: Vec<Subtree>,
}

/// Why name constraints are refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// No `NameConstraints`, an empty one, or one with a field that has no place there.
    #[error("they cannot be read")]
    Malformed,
    /// A form of name that is not checked here: an authority which relies on it is not followed.
    #[error("they speak of a form of name other than URI (tag {0:#x})")]
    Form(u8),
    /// No host name.
    #[error("their host is none: {0}")]
    Host(#[from] SpiffeIdError),
    /// More than are looked at.
    #[error("they have {0} subtrees, and at most {MAX_SUBTREES} are taken")]
    TooMany(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subtree {
    /// This host and no other.
    Host(String),
    /// Everything below, with the leading dot; not the host itself.
    Below(String),
}

impl UriConstraints {
    /// Reads the value of the extension.
    ///
    /// # Errors
    /// Anything that is not understood to its last byte.
    pub(super) fn parse(value: &[u8]) -> Result<Self, ConstraintError> {
        let whole =
            der::only(value).filter(|element| element.tag == SEQUENCE).ok_or(ConstraintError::Malformed)?;
        let parts = der::elements(whole.content).ok_or(ConstraintError::Malformed)?;
        match parts.as_slice() {
            [Element { tag: PERMITTED, content }] => {
                Ok(Self { permitted: Some(subtrees(content)?), excluded: Vec::new() })
            }
            [Element { tag: EXCLUDED, content }] => {
                Ok(Self { permitted: None, excluded: subtrees(content)? })
            }
            [
                Element { tag: PERMITTED, content: permitted },
                Element { tag: EXCLUDED, content: excluded },
            ] => Ok(Self { permitted: Some(subtrees(permitted)?), excluded: subtrees(excluded)? }),
            _ => Err(ConstraintError::Malformed),
        }
    }

    /// True when the host, in lower case, is inside what is permitted and outside what is excluded.
    #[must_use]
    pub fn permit(&self, host: &str) -> bool {
        let is_permitted = match &self.permitted {
            Some(subtrees) => subtrees.iter().any(|subtree| subtree.covers(host)),
            None => true,
        };
        is_permitted && !self.excluded.iter().any(|subtree| subtree.covers(host))
    }
}

impl Subtree {
    fn covers(&self, host: &str) -> bool {
        match self {
            Self::Host(name) => host == name,
            Self::Below(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
        }
    }
}

fn subtrees(content: &[u8]) -> Result<Vec<Subtree>, ConstraintError> {
    let elements = der::elements(content).ok_or(ConstraintError::Malformed)?;
    match elements.len() {
        0 => Err(ConstraintError::Malformed),
        1..=MAX_SUBTREES => elements.iter().map(subtree).collect(),
        many => Err(ConstraintError::TooMany(many)),
    }
}

/// `minimum` must be 0 and is then left out, and `maximum` must be absent: the base is all there is.
fn subtree(element: &Element<'_>) -> Result<Subtree, ConstraintError> {
    let base =
        der::only(element.content).filter(|_| element.tag == SEQUENCE).ok_or(ConstraintError::Malformed)?;
    if base.tag != URI {
        return Err(ConstraintError::Form(base.tag));
    }
    let text = str::from_utf8(base.content).map_err(|_| ConstraintError::Malformed)?;
    match text.strip_prefix('.') {
        Some(parent) => parse_trust_domain(parent).map(|parent| Subtree::Below(format!(".{parent}"))),
        None => parse_trust_domain(text).map(Subtree::Host),
    }
    .map_err(ConstraintError::Host)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, u8::try_from(content.len()).unwrap()], content].concat()
    }

    fn base(tag: u8, host: &str) -> Vec<u8> {
        element(SEQUENCE, &element(tag, host.as_bytes()))
    }

    /// The value of an extension.
    pub(crate) fn value(permitted: &[&str], excluded: &[&str]) -> Vec<u8> {
        let list = |tag, hosts: &[&str]| match hosts {
            [] => Vec::new(),
            hosts => element(tag, &hosts.iter().flat_map(|host| base(URI, host)).collect::<Vec<_>>()),
        };
        element(SEQUENCE, &[list(PERMITTED, permitted), list(EXCLUDED, excluded)].concat())
    }

    #[test]
    fn a_host_is_permitted_exactly_and_a_leading_dot_means_what_is_below() {
        let host = UriConstraints::parse(&value(&["Red.fleet.example"], &[])).unwrap();
        assert!(host.permit("red.fleet.example"));
        for other in ["fleet.example", "a.red.fleet.example", "xred.fleet.example", "blue.fleet.example"] {
            assert!(!host.permit(other), "{other}");
        }
        let below = UriConstraints::parse(&value(&[".fleet.example"], &[])).unwrap();
        assert!(below.permit("red.fleet.example") && below.permit("a.red.fleet.example"));
        assert!(!below.permit("fleet.example") && !below.permit("xfleet.example"));
    }

    #[test]
    fn what_is_excluded_is_excluded_even_if_permitted() {
        let some = UriConstraints::parse(&value(&[".fleet.example"], &["red.fleet.example"])).unwrap();
        assert!(some.permit("blue.fleet.example") && !some.permit("red.fleet.example"));
        let only = UriConstraints::parse(&value(&[], &[".fleet.example"])).unwrap();
        assert!(only.permit("elsewhere.example") && !only.permit("red.fleet.example"));
        assert!(UriConstraints::default().permit("anything"));
    }

    #[test]
    fn constraints_that_are_not_understood_whole_are_refused() {
        let permitted = element(PERMITTED, &base(URI, "a"));
        let excluded = element(EXCLUDED, &base(URI, "b"));
        let wrong = |content: &[u8]| UriConstraints::parse(&element(SEQUENCE, content)).unwrap_err();
        assert_eq!(wrong(&[]), ConstraintError::Malformed);
        assert_eq!(wrong(&[excluded, permitted.clone()].concat()), ConstraintError::Malformed, "order");
        assert_eq!(wrong(&element(PERMITTED, &[])), ConstraintError::Malformed, "no subtree");
        assert_eq!(wrong(&[permitted, vec![5, 0]].concat()), ConstraintError::Malformed, "left over");
        assert_eq!(wrong(&element(PERMITTED, &base(0x82, "a"))), ConstraintError::Form(0x82));
        let minimum = element(SEQUENCE, &[element(URI, b"a"), element(0x80, &[1])].concat());
        assert_eq!(wrong(&element(PERMITTED, &minimum)), ConstraintError::Malformed, "minimum");
        let host = wrong(&element(PERMITTED, &base(URI, "https://a")));
        assert_eq!(host, ConstraintError::Host(SpiffeIdError::TrustDomainCharacter(':')));
    }
}
