//! Whether somebody vouches for a token. The key is looked for in the bundle of the subject's own trust domain and
//! nowhere else, and says which algorithms it has.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{CLOCK_SKEW, JwtError, Unverified};
use crate::identity::bundle::{JwtKey, Trust};
use crate::identity::signature::{SignatureCheck, key_bytes};
use crate::identity::spiffe_id::SpiffeId;
use crate::identity::trust_domain::TrustDomain;
use crate::policy::problem::shown;

/// A token that somebody trusted vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSvid {
    /// Whom.
    pub id: SpiffeId,
    /// Everything that it says, `sub`, `aud` and `exp` among it.
    pub claims: Map<String, Value>,
    /// End of validity, since the Unix epoch.
    pub expires: Duration,
}

impl Unverified {
    /// Takes the token for a proof towards `audience`, at a time since the Unix epoch.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn verify(
        self,
        audience: &str,
        trust: &Trust,
        fleet: &TrustDomain,
        now: Duration,
        signatures: &dyn SignatureCheck,
    ) -> Result<JwtSvid, JwtError> {
        self.check_signature(self.key(trust)?, signatures)?;
        self.check_times(now)?;
        if !self.audience.iter().any(|one| one == audience) {
            return Err(JwtError::Audience(shown(audience)));
        }
        trust.revoked.check(&self.id, fleet)?;
        Ok(JwtSvid { id: self.id, claims: self.claims, expires: self.expires })
    }

    fn key<'a>(&self, trust: &'a Trust) -> Result<&'a JwtKey, JwtError> {
        let domain = TrustDomain::from(&self.id);
        let Some(bundle) = trust.bundles.get(&domain) else {
            return Err(JwtError::UnknownTrustDomain(domain));
        };
        if bundle.jwt.is_empty() {
            return Err(JwtError::NoKeys(domain));
        }
        let key = bundle.jwt.iter().find(|key| key.id == self.key_id);
        key.ok_or_else(|| JwtError::UnknownKey(shown(&self.key_id)))
    }

    fn check_signature(&self, key: &JwtKey, signatures: &dyn SignatureCheck) -> Result<(), JwtError> {
        let algorithm = self.algorithm.with(&key.key).ok_or_else(|| JwtError::WrongKey(shown(&key.id)))?;
        let is_signed =
            signatures.verify(algorithm, &key_bytes(&key.key), self.signed.as_bytes(), &self.signature);
        if is_signed { Ok(()) } else { Err(JwtError::Signature) }
    }

    fn check_times(&self, now: Duration) -> Result<(), JwtError> {
        let soon = now.saturating_add(CLOCK_SKEW);
        if now >= self.expires {
            Err(JwtError::Expired)
        } else if self.not_before.is_some_and(|time| time > soon) {
            Err(JwtError::NotYetValid)
        } else if self.issued_at.is_some_and(|time| time > soon) {
            Err(JwtError::IssuedInFuture)
        } else {
            Ok(())
        }
    }
}
