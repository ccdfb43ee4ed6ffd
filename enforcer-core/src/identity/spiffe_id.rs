//! A SPIFFE ID: a URI that names a workload within a trust domain (SPIFFE-ID, sections 2 to 2.4).

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Longest ID that is taken, in bytes (section 2.3; ID-5).
pub const MAX_BYTES: usize = 2048;
/// Longest trust domain, in bytes (section 2.3; ID-5).
pub const TRUST_DOMAIN_MAX_BYTES: usize = 255;

const SCHEME: &str = "spiffe://";

/// A SPIFFE ID with a path: scheme and trust domain in lower case, path as it was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    text: String,
    trust_domain_end: usize,
}

impl SpiffeId {
    /// The whole URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The trust domain's name.
    #[must_use]
    pub fn trust_domain(&self) -> &str {
        &self.text[SCHEME.len()..self.trust_domain_end]
    }

    /// The path, with its leading slash.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.text[self.trust_domain_end..]
    }

    /// True when the trust domain reads as an IP address. An IPv6 one has characters that none may have.
    #[must_use]
    pub fn has_address(&self) -> bool {
        is_address(self.trust_domain())
    }
}

pub(super) fn is_address(domain: &str) -> bool {
    domain.parse::<Ipv4Addr>().is_ok()
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no SPIFFE ID of a workload: one variant for each rule of the specification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpiffeIdError {
    /// Section 2.3 (ID-5).
    #[error("it has {0} bytes, and at most {MAX_BYTES} are taken")]
    TooLong(usize),
    /// Section 2 (ID-1).
    #[error("it does not start with \"spiffe://\"")]
    Scheme,
    /// Section 2 (ID-1).
    #[error("the trust domain is empty")]
    TrustDomainEmpty,
    /// Section 2.3 (ID-5).
    #[error("the trust domain has {0} bytes, and at most {TRUST_DOMAIN_MAX_BYTES} are taken")]
    TrustDomainTooLong(usize),
    /// Section 2.1: neither user, port nor percent encoding (ID-2).
    #[error("{0:?} cannot be part of a trust domain: letters, digits, '.', '-' and '_' can")]
    TrustDomainCharacter(char),
    /// X509-SVID section 3.1: a leaf's ID has a path.
    #[error("the path is missing")]
    PathMissing,
    /// Section 2.2 (ID-4).
    #[error("the path has an empty segment, or ends with '/'")]
    SegmentEmpty,
    /// Section 2.2 (ID-4).
    #[error("the path has the relative segment {0:?}")]
    SegmentRelative(String),
    /// Section 2.2: neither query, fragment nor percent encoding (ID-1, ID-4).
    #[error("{0:?} cannot be part of a path: letters, digits, '.', '-' and '_' can")]
    PathCharacter(char),
}

impl FromStr for SpiffeId {
    type Err = SpiffeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_BYTES {
            return Err(SpiffeIdError::TooLong(text.len()));
        }
        let rest = strip_scheme(text)?;
        let (domain, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let domain = parse_trust_domain(domain)?;
        check_path(path)?;
        Ok(Self { trust_domain_end: SCHEME.len() + domain.len(), text: format!("{SCHEME}{domain}{path}") })
    }
}

/// What follows `spiffe://`, which is taken in either case (ID-6).
pub(super) fn strip_scheme(text: &str) -> Result<&str, SpiffeIdError> {
    match text.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(rest),
        _ => Err(SpiffeIdError::Scheme),
    }
}

/// A trust domain's name in lower case.
pub(super) fn parse_trust_domain(domain: &str) -> Result<String, SpiffeIdError> {
    if domain.is_empty() {
        return Err(SpiffeIdError::TrustDomainEmpty);
    }
    if domain.len() > TRUST_DOMAIN_MAX_BYTES {
        return Err(SpiffeIdError::TrustDomainTooLong(domain.len()));
    }
    match domain.chars().find(|c| !is_plain(*c)) {
        Some(c) => Err(SpiffeIdError::TrustDomainCharacter(c)),
        None => Ok(domain.to_ascii_lowercase()),
    }
}

fn check_path(path: &str) -> Result<(), SpiffeIdError> {
    let Some(segments) = path.strip_prefix('/') else { return Err(SpiffeIdError::PathMissing) };
    for segment in segments.split('/') {
        match segment {
            "" => return Err(SpiffeIdError::SegmentEmpty),
            "." | ".." => return Err(SpiffeIdError::SegmentRelative(segment.to_owned())),
            _ => {}
        }
        if let Some(c) = segment.chars().find(|c| !is_plain(*c)) {
            return Err(SpiffeIdError::PathCharacter(c));
        }
    }
    Ok(())
}

const fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> SpiffeIdError {
        text.parse::<SpiffeId>().expect_err(text)
    }

    /// ID-6.
    #[test]
    fn an_id_keeps_its_path_and_lowers_its_domain() {
        let id: SpiffeId = "SPIFFE://Fleet.Example/Plane/a_1".parse().unwrap();
        assert_eq!(id.as_str(), "spiffe://fleet.example/Plane/a_1");
        assert_eq!(id.trust_domain(), "fleet.example");
        assert_eq!(id.path(), "/Plane/a_1");
    }

    #[test]
    fn an_address_is_known_as_one() {
        let has_address = |text: &str| text.parse::<SpiffeId>().unwrap().has_address();
        assert!(has_address("spiffe://10.0.0.1/a"));
        assert!(!has_address("spiffe://10.0.0.1.example/a") && !has_address("spiffe://a.10/b"));
    }

    /// ID-1, ID-2, ID-4: what a URI may have and an ID may not.
    #[test]
    fn no_other_part_of_a_uri_is_taken() {
        for c in [':', '@', '?', '#', '%', '[', '*', 'é'] {
            assert_eq!(error(&format!("spiffe://a{c}b/c")), SpiffeIdError::TrustDomainCharacter(c));
            let in_path = error(&format!("spiffe://a/b{c}d"));
            assert_eq!(in_path, SpiffeIdError::PathCharacter(c));
        }
        assert_eq!(error("spiffe://a/./b"), SpiffeIdError::SegmentRelative(".".to_owned()));
        assert_eq!(error("spiffe://a/b/"), SpiffeIdError::SegmentEmpty);
        assert_eq!("spiffe://a-1_b.c/D-1_e.f/...".parse::<SpiffeId>().unwrap().path(), "/D-1_e.f/...");
    }

    /// ID-1 to ID-5.
    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(error("https://a/b"), SpiffeIdError::Scheme);
        assert_eq!(error("spiffe:///b"), SpiffeIdError::TrustDomainEmpty);
        assert_eq!(error("spiffe://a"), SpiffeIdError::PathMissing);
        assert_eq!(error("spiffe://a/"), SpiffeIdError::SegmentEmpty);
        assert_eq!(error("spiffe://a//b"), SpiffeIdError::SegmentEmpty);
        assert_eq!(error("spiffe://a/../b"), SpiffeIdError::SegmentRelative("..".to_owned()));
        assert_eq!(error("spiffe://a:1/b"), SpiffeIdError::TrustDomainCharacter(':'));
        assert_eq!(error("spiffe://u@a/b"), SpiffeIdError::TrustDomainCharacter('@'));
        assert_eq!(error("spiffe://a/b?c"), SpiffeIdError::PathCharacter('?'));
        assert_eq!(error("spiffe://a/%62"), SpiffeIdError::PathCharacter('%'));
        assert_eq!(error(&format!("spiffe://{}/b", "a".repeat(256))), SpiffeIdError::TrustDomainTooLong(256));
        assert!(matches!(error(&format!("spiffe://a/{}", "b".repeat(2048))), SpiffeIdError::TooLong(_)));
    }
}
