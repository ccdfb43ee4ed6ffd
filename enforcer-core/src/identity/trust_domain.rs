//! A trust domain: the part of a SPIFFE ID that says whose authority vouches (SPIFFE-ID section 2.1). The fleet
//! has one of its own, and each tenant one below it.

use std::fmt;
use std::str::FromStr;

use super::spiffe_id::{SpiffeId, SpiffeIdError, is_address, parse_trust_domain, strip_scheme};

/// A trust domain's name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// `<tenant>.<fleet>`.
    ///
    /// # Errors
    /// The two together are longer than a trust domain may be.
    pub fn of_tenant(tenant: &str, fleet: &Self) -> Result<Self, SpiffeIdError> {
        format!("{tenant}.{fleet}").parse()
    }

    /// Reads the SPIFFE ID of a trust domain itself.
    ///
    /// # Errors
    /// It is none, or has a path.
    pub fn from_id(id: &str) -> Result<Self, SpiffeIdError> {
        strip_scheme(id)?.parse()
    }

    /// The name alone.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The SPIFFE ID of the trust domain itself, which has no path: authorities carry it (ID-7).
    #[must_use]
    pub fn id(&self) -> String {
        format!("spiffe://{}", self.0)
    }

    /// True when the name reads as an IP address: no certificate for it is issued or taken.
    #[must_use]
    pub fn is_address(&self) -> bool {
        is_address(&self.0)
    }

    /// The ID of a member.
    ///
    /// # Errors
    /// The path, with its leading slash, is none.
    pub fn member(&self, path: &str) -> Result<SpiffeId, SpiffeIdError> {
        format!("spiffe://{}{path}", self.0).parse()
    }

    /// The tenant, when this is the trust domain of one below `fleet`.
    #[must_use]
    pub fn tenant<'a>(&'a self, fleet: &Self) -> Option<&'a str> {
        let tenant = self.0.strip_suffix(fleet.as_str())?.strip_suffix('.')?;
        (!tenant.is_empty() && !tenant.contains('.')).then_some(tenant)
    }
}

impl From<&SpiffeId> for TrustDomain {
    /// The trust domain that the ID is of.
    fn from(id: &SpiffeId) -> Self {
        Self(id.trust_domain().to_owned())
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeIdError;

    /// Takes the name alone.
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        parse_trust_domain(name).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_a_trust_domain_below_the_fleets() {
        let fleet: TrustDomain = "Fleet.Example".parse().unwrap();
        let red = TrustDomain::of_tenant("red", &fleet).unwrap();
        assert_eq!(red.as_str(), "red.fleet.example");
        assert_eq!(red.tenant(&fleet), Some("red"));
        assert_eq!(fleet.tenant(&fleet), None);
        let other: TrustDomain = "a.red.fleet.example".parse().unwrap();
        assert_eq!(other.tenant(&fleet), None);
        assert_eq!(red.member("/ns/a/sa/b").unwrap().trust_domain(), "red.fleet.example");
        assert!(TrustDomain::of_tenant(&"a".repeat(250), &fleet).is_err());
    }

    /// ID-5.
    #[test]
    fn the_longest_trust_domain_is_taken() {
        let longest: TrustDomain = "a".repeat(255).parse().unwrap();
        assert_eq!(longest.member("/b").unwrap().trust_domain(), longest.as_str());
        assert_eq!("a".repeat(256).parse::<TrustDomain>(), Err(SpiffeIdError::TrustDomainTooLong(256)));
        assert!(longest.member(&format!("/{}", "b".repeat(2048))).is_err(), "none is made that is too long");
    }

    /// ID-7.
    #[test]
    fn a_trust_domain_has_an_id_without_a_path() {
        let fleet: TrustDomain = "fleet.example".parse().unwrap();
        assert_eq!(TrustDomain::from_id(&fleet.id()), Ok(fleet.clone()));
        assert_eq!(TrustDomain::from(&fleet.member("/a").unwrap()), fleet);
        assert_eq!(TrustDomain::from_id("spiffe://a/b"), Err(SpiffeIdError::TrustDomainCharacter('/')));
        assert_eq!(TrustDomain::from_id("fleet.example"), Err(SpiffeIdError::Scheme));
        assert!("10.0.0.1".parse::<TrustDomain>().unwrap().is_address() && !fleet.is_address());
    }
}
