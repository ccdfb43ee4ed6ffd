//! What vouches for the members of a trust domain (SPIFFE Trust Domain and Bundle).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use super::spiffe_id::SpiffeId;
use super::trust_domain::TrustDomain;
use crate::policy::model::Name;

/// The authorities of one trust domain. Without any, nothing of that trust domain is valid (B-4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Whose.
    pub trust_domain: TrustDomain,
    /// Authorities for X.509-SVIDs; the one that signs now is first.
    pub x509: Vec<CertificateDer<'static>>,
    /// Keys for JWT-SVIDs; the one that signs now is first.
    pub jwt: Vec<JwtKey>,
    /// Grows with every change (B-2).
    pub sequence: u64,
    /// How often to ask for a newer one, in seconds (B-3).
    pub refresh_hint_seconds: u32,
}

/// A public key that JWT-SVIDs are checked with. Our own are all ES256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtKey {
    /// Its name in the headers of tokens (J-5).
    pub id: String,
    /// What it is.
    pub key: JwtPublicKey,
}

/// Kinds of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtPublicKey {
    /// P-256, uncompressed point: 0x04, x, y (65 bytes). ES256.
    P256(Vec<u8>),
    /// P-384, uncompressed point (97 bytes). ES384.
    P384(Vec<u8>),
    /// P-521, uncompressed point (133 bytes). ES512.
    P521(Vec<u8>),
    /// RSA, big-endian without leading zeros. RS256 to PS512.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Exponent.
        e: Vec<u8>,
    },
}

/// Who no longer is who they were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revocations {
    /// Whole tenants.
    pub tenants: BTreeSet<Name>,
    /// Workloads, by name.
    pub workloads: BTreeSet<Name>,
    /// SPIFFE IDs.
    pub spiffe_ids: BTreeSet<SpiffeId>,
}

/// Everything that a verifier on this node goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Bundles by trust domain, never merged (F-8).
    pub bundles: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// Who is refused all the same.
    pub revoked: Revocations,
}

/// Why somebody is refused whatever their certificate or token says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokedError {
    /// The ID.
    #[error("{0} is revoked")]
    Id(SpiffeId),
    /// The tenant, with everybody in it.
    #[error("the tenant {0} is revoked")]
    Tenant(Name),
}

impl Revocations {
    /// Refuses whoever was taken away. Workloads stand in no certificate: their IDs are revoked with them.
    ///
    /// # Errors
    /// The ID, or its tenant below `fleet`, is revoked.
    pub fn check(&self, id: &SpiffeId, fleet: &TrustDomain) -> Result<(), RevokedError> {
        if self.spiffe_ids.contains(id) {
            return Err(RevokedError::Id(id.clone()));
        }
        match TrustDomain::from(id).tenant(fleet).and_then(|tenant| self.tenants.get(tenant)) {
            Some(tenant) => Err(RevokedError::Tenant(Name::clone(tenant))),
            None => Ok(()),
        }
    }
}
