//! The identity doors: certificates, tokens and bundles of strangers. Whatever is let in reads back as itself.

use std::time::Duration;

use enforcer_proto::v1;
use rustls_pki_types::CertificateDer;

use crate::identity::bundle::{Bundle, Trust};
use crate::identity::jwt::{self, JwtError};
use crate::identity::signature::{Algorithm, SignatureCheck};
use crate::identity::spiffe_id::SpiffeId;
use crate::identity::trust_domain::TrustDomain;
use crate::identity::x509::authority::{Authority, parse_authority};
use crate::identity::x509::chain::{ChainError, verify};
use crate::identity::x509::leaf::parse_leaf;
use crate::identity::{jwks, wire};
use crate::policy::parse::wire::decode;

/// A leaf in DER. Whoever is named is named by an ID that reads back as itself, and nobody vouches for them.
pub fn peer_certificate(bytes: &[u8]) {
    let Ok(leaf) = parse_leaf(bytes) else { return };
    assert_reads_back(&leaf.id);
    assert!(!leaf.id.has_address() && !leaf.spki_der.is_empty());
    let domain = TrustDomain::from(&leaf.id);
    let verified =
        verify(&[CertificateDer::from(bytes)], &Trust::default(), &domain, Duration::ZERO, &Credulous);
    assert_eq!(verified, Err(ChainError::UnknownTrustDomain(domain)));
}

/// An authority in DER. It stands in a bundle as it came, and signs for its own trust domain if for any.
pub fn authority_certificate(bytes: &[u8]) {
    let Ok(Authority { domain, subject, .. }) = parse_authority(bytes) else { return };
    assert!(!subject.is_empty());
    if let Some(domain) = &domain {
        assert_eq!(TrustDomain::from_id(&domain.id()).as_ref(), Ok(domain));
    }
    let trust_domain = domain.unwrap_or_else(fallback);
    let x509 = vec![CertificateDer::from(bytes.to_vec())];
    settled(&Bundle { trust_domain, x509, jwt: Vec::new(), sequence: 1, refresh_hint_seconds: 1 });
}

/// A token. Its subject reads back as itself, and nobody vouches for it.
pub fn jwt_svid(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(token) = jwt::parse(text) else { return };
    assert_reads_back(token.claimed_id());
    let domain = TrustDomain::from(token.claimed_id());
    let refused = token.verify("", &Trust::default(), &domain, Duration::ZERO, &Credulous);
    assert_eq!(refused, Err(JwtError::UnknownTrustDomain(domain)));
}

/// A JWK Set. What is understood of it is written, and read again, unchanged.
pub fn trust_bundle(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(bundle) = jwks::parse(text, &fallback()) {
        settled(&bundle);
    }
}

/// Bundles and revocations from an authority, as protobuf.
pub fn trust_wire(bytes: &[u8]) {
    let Ok(message) = decode::<v1::Trust>(bytes) else { return };
    match wire::parse(&message) {
        Ok(trust) => assert_eq!(wire::parse(&wire::write(&trust)).as_ref(), Ok(&trust)),
        Err(problems) => assert!(!problems.is_empty(), "refused without a reason"),
    }
}

/// Takes every signature: what these doors refuse, they refuse without one.
struct Credulous;

impl SignatureCheck for Credulous {
    fn verify(&self, _: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> bool {
        true
    }
}

fn assert_reads_back(id: &SpiffeId) {
    assert_eq!(id.as_str().parse().as_ref(), Ok(id));
}

fn settled(bundle: &Bundle) {
    assert_eq!(jwks::parse(&jwks::write(bundle), &bundle.trust_domain).as_ref(), Ok(bundle));
    let for_tokens = jwks::parse(&jwks::write_jwt(bundle), &bundle.trust_domain);
    assert!(for_tokens.is_ok_and(|read| read.x509.is_empty() && read.jwt == bundle.jwt));
}

fn fallback() -> TrustDomain {
    match "fuzz.example".parse() {
        Ok(domain) => domain,
        Err(error) => panic!("{error}"),
    }
}
