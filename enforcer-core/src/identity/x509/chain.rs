//! Whether a chain of certificates leads from a leaf to an authority of the leaf's own trust domain.
//!
//! The bundle is chosen by the leaf's trust domain before any path is built, so that no other trust domain's
//! authority is ever tried. The path is the certificates in the order in which they came: each signed by the next,
//! until one is signed by an authority of the bundle. What comes after that one is not looked at.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::CertificateDer;

use super::authority::{Authority, AuthorityError, parse_authority};
use super::certificate::Certificate;
use super::leaf::{Leaf, LeafError};
use crate::identity::bundle::{Bundle, RevokedError, Trust};
use crate::identity::signature::SignatureCheck;
use crate::identity::trust_domain::TrustDomain;

/// Certificates of a chain, the leaf included: leaf, node CA, tenant CA, and as many again for others' hierarchies.
pub const MAX_CHAIN: usize = 6;

/// A leaf that somebody trusted vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whom.
    pub leaf: Leaf,
    /// Until when: the earliest end of validity on the path, since the Unix epoch.
    pub until: Duration,
}

/// A certificate of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The first.
    Leaf,
    /// By its place in the chain, where the leaf is 0.
    Intermediate(usize),
    /// The one from the bundle.
    Anchor,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf => f.write_str("the leaf"),
            Self::Intermediate(place) => write!(f, "certificate {place} of the chain"),
            Self::Anchor => f.write_str("the authority in the bundle"),
        }
    }
}

/// Why a chain vouches for nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// No certificate.
    #[error("there is no certificate")]
    Empty,
    /// More than are looked at.
    #[error("the chain has {0} certificates, and at most {MAX_CHAIN} are taken")]
    TooLong(usize),
    /// The leaf names nobody.
    #[error("the leaf is refused: {0}")]
    Leaf(#[from] LeafError),
    /// a stranger's trust domain.
    #[error("nothing vouches here for the trust domain {0}")]
    UnknownTrustDomain(TrustDomain),
    /// B-4: an empty bundle.
    #[error("everything of the trust domain {0} was taken back")]
    NoAuthorities(TrustDomain),
    /// A certificate of the chain is no authority's.
    #[error("certificate {place} of the chain is refused: {error}")]
    Intermediate {
        /// Its place, where the leaf is 0.
        place: usize,
        /// The rule it breaks.
        error: AuthorityError,
    },
    /// RFC 5280 section 6.1.3 (a)(4): the names do not chain.
    #[error("{0} was issued by somebody else than the next in the chain")]
    WrongIssuer(Link),
    /// RFC 5280 section 6.1.3 (a)(1): the issuer's key did not make the signature.
    #[error("the signature of {0} is not its issuer's")]
    Signature(Link),
    /// The chain ends with a certificate that no authority of the bundle signed.
    #[error("no authority of the trust domain {0} signed the chain")]
    NoAnchor(TrustDomain),
    /// Too early.
    #[error("{0} is not valid yet")]
    NotYetValid(Link),
    /// Too late.
    #[error("{0} has expired")]
    Expired(Link),
    /// RFC 5280 section 4.2.1.9.
    #[error("{0} may not have so many authorities below it")]
    PathLength(Link),
    /// RFC 5280 section 4.2.1.10, X-10.
    #[error("{authority} may not sign for {host}")]
    NameConstraint {
        /// Whose constraint.
        authority: Link,
        /// The host that it does not permit.
        host: String,
    },
    /// Taken away.
    #[error(transparent)]
    Revoked(#[from] RevokedError),
}

/// Verifies a chain, leaf first.
///
/// # Errors
/// The first rule that it breaks.
pub fn verify(
    chain: &[CertificateDer<'_>],
    trust: &Trust,
    fleet: &TrustDomain,
    now: Duration,
    signatures: &dyn SignatureCheck,
) -> Result<Verified, ChainError> {
    let (first, rest) = chain.split_first().ok_or(ChainError::Empty)?;
    if chain.len() > MAX_CHAIN {
        return Err(ChainError::TooLong(chain.len()));
    }
    let certificate = Certificate::parse(first).map_err(LeafError::from)?;
    let leaf = Leaf::read(&certificate)?;
    let bundle = bundle(&leaf, trust)?;
    let path = Builder { bundle, now, signatures }.path(certificate, rest)?;
    check_validity(&leaf, &path, now)?;
    check_path_lengths(&path)?;
    check_name_constraints(&leaf, &path)?;
    trust.revoked.check(&leaf.id, fleet)?;
    let until = path.iter().map(|step| step.authority.not_after).fold(leaf.not_after, Duration::min);
    Ok(Verified { leaf, until })
}

fn bundle<'a>(leaf: &Leaf, trust: &'a Trust) -> Result<&'a Arc<Bundle>, ChainError> {
    let domain = TrustDomain::from(&leaf.id);
    match trust.bundles.get(&domain) {
        None => Err(ChainError::UnknownTrustDomain(domain)),
        Some(bundle) if bundle.x509.is_empty() => Err(ChainError::NoAuthorities(domain)),
        Some(bundle) => Ok(bundle),
    }
}

/// An authority on the path; the leaf's issuer is the first step, the anchor the last.
struct Step {
    link: Link,
    authority: Authority,
}

struct Builder<'a> {
    bundle: &'a Bundle,
    now: Duration,
    signatures: &'a dyn SignatureCheck,
}

impl Builder<'_> {
    fn path<'c>(
        &self,
        leaf: Certificate<'c>,
        rest: &'c [CertificateDer<'_>],
    ) -> Result<Vec<Step>, ChainError> {
        // An authority of the bundle that cannot be read vouches for nobody.
        let anchors: Vec<_> = self.bundle.x509.iter().flat_map(|der| parse_authority(der)).collect();
        let mut path = Vec::with_capacity(rest.len() + 1);
        let (mut below, mut link) = (leaf, Link::Leaf);
        for (place, der) in (1..).zip(rest) {
            if let Some(authority) = self.anchor(&below, &anchors) {
                path.push(Step { link: Link::Anchor, authority });
                return Ok(path);
            }
            let (certificate, authority) = self.issuer(place, der)?;
            self.check_issued(link, &below, &authority)?;
            link = Link::Intermediate(place);
            path.push(Step { link, authority });
            below = certificate;
        }
        let authority = self.anchor(&below, &anchors);
        let authority = authority.ok_or_else(|| ChainError::NoAnchor(self.bundle.trust_domain.clone()))?;
        path.push(Step { link: Link::Anchor, authority });
        Ok(path)
    }

    /// The anchor that signed this. While authorities overlap, two may have: then one that is valid now.
    fn anchor(&self, below: &Certificate<'_>, anchors: &[Authority]) -> Option<Authority> {
        let signed =
            anchors.iter().filter(|anchor| is_issued(below, anchor) && self.is_signed(below, anchor));
        signed.max_by_key(|anchor| anchor.is_valid_at(self.now)).cloned()
    }

    fn issuer<'c>(&self, place: usize, der: &'c [u8]) -> Result<(Certificate<'c>, Authority), ChainError> {
        let refused = |error| ChainError::Intermediate { place, error };
        let certificate = Certificate::parse(der).map_err(|error| refused(error.into()))?;
        let authority = Authority::read(&certificate).map_err(refused)?;
        Ok((certificate, authority))
    }

    fn check_issued(
        &self,
        link: Link,
        below: &Certificate<'_>,
        issuer: &Authority,
    ) -> Result<(), ChainError> {
        if !is_issued(below, issuer) {
            return Err(ChainError::WrongIssuer(link));
        }
        if self.is_signed(below, issuer) { Ok(()) } else { Err(ChainError::Signature(link)) }
    }

    fn is_signed(&self, below: &Certificate<'_>, issuer: &Authority) -> bool {
        let x509 = &below.x509;
        let Some(algorithm) = issuer.key.signed_by(&x509.signature_algorithm) else { return false };
        let message = x509.tbs_certificate.as_ref();
        self.signatures.verify(algorithm, &issuer.key.bytes(), message, &x509.signature_value.data)
    }
}

/// The names, byte for byte.
fn is_issued(below: &Certificate<'_>, issuer: &Authority) -> bool {
    below.x509.issuer().as_raw() == issuer.subject
}

fn check_validity(leaf: &Leaf, path: &[Step], now: Duration) -> Result<(), ChainError> {
    let authorities =
        path.iter().map(|step| (step.link, step.authority.not_before, step.authority.not_after));
    for (link, not_before, not_after) in
        std::iter::once((Link::Leaf, leaf.not_before, leaf.not_after)).chain(authorities)
    {
        if now < not_before {
            return Err(ChainError::NotYetValid(link));
        }
        if now > not_after {
            return Err(ChainError::Expired(link));
        }
    }
    Ok(())
}

/// Below the first step stands no authority, below the second one, and so on.
fn check_path_lengths(path: &[Step]) -> Result<(), ChainError> {
    for (below, step) in (0u32..).zip(path) {
        if step.authority.path_length.is_some_and(|most| below > most) {
            return Err(ChainError::PathLength(step.link));
        }
    }
    Ok(())
}

/// What an authority may not name, nobody below it may be named: neither the leaf nor an authority.
fn check_name_constraints(leaf: &Leaf, path: &[Step]) -> Result<(), ChainError> {
    let mut hosts = vec![leaf.id.trust_domain()];
    for Step { link, authority } in path {
        if let Some(host) = hosts.iter().find(|host| !authority.constraints.permit(host)) {
            return Err(ChainError::NameConstraint { authority: *link, host: (*host).to_owned() });
        }
        hosts.extend(authority.domain.as_ref().map(TrustDomain::as_str));
    }
    Ok(())
}
