//! The keys of a trust domain: its CA, and what it signs JWT-SVIDs with.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use enforcer_core::identity::bundle::{JwtKey, JwtPublicKey};
use enforcer_core::identity::jwt;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::{CertificateParams, DistinguishedName, Issuer, KeyUsagePurpose, PublicKeyData};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::error::IssueError;
use super::key::EcKey;
use super::parsed::Authority;
use super::profile::{self, Rank, Validity};
use crate::hex::hex;

/// A CA's key with its self-signed certificate: the anchor of one trust domain's bundle (B-6).
#[derive(Debug)]
pub(super) struct CaKey {
    pub(super) anchor: CertificateDer<'static>,
    pub(super) validity: Validity,
    pub(super) subject: DistinguishedName,
    pub(super) issuer: Issuer<'static, EcKey>,
}

/// What a new CA is.
#[derive(Clone, Copy, Debug)]
pub(super) struct CaKind<'a> {
    pub(super) domain: &'a TrustDomain,
    pub(super) title: &'static str,
    pub(super) rank: Rank,
}

impl CaKey {
    /// A fresh key, and a certificate that it signs itself.
    pub(super) fn generate(kind: CaKind<'_>, now: Duration, life: Duration) -> Result<Self, IssueError> {
        let key = EcKey::generate()?;
        let subject = profile::subject(kind.domain.as_str(), kind.title);
        let mut params = profile::authority(kind.domain, subject, kind.rank, None)?;
        profile::date(&mut params, Validity::of_authority(now, life))?;
        let anchor = params.self_signed(&key)?;
        Self::new(anchor.into(), key)
    }

    /// What was kept.
    pub(super) fn new(anchor: CertificateDer<'static>, key: EcKey) -> Result<Self, IssueError> {
        let parsed = Authority::parse(&anchor).map_err(IssueError::Issuer)?;
        if parsed.key_bits != key.point() {
            return Err(IssueError::Key("it is not that of the certificate"));
        }
        let missing = |what: &str| IssueError::Issuer(what.to_owned());
        let subject = parsed.name.ok_or_else(|| missing("its subject cannot be written as an issuer"))?;
        let key_id = parsed.key_id.ok_or_else(|| missing("it has no subject key identifier"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject.clone();
        params.key_identifier_method = profile::key_id(&key_id);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self { anchor, validity: parsed.validity, subject, issuer: Issuer::new(params, key) })
    }

    /// The key.
    pub(super) fn key(&self) -> &EcKey {
        self.issuer.key()
    }

    /// Signs a certificate for somebody's key.
    pub(super) fn sign(
        &self,
        params: &CertificateParams,
        subject_key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, IssueError> {
        Ok(params.signed_by(subject_key, &self.issuer)?.into())
    }
}

/// A key for JWT-SVIDs.
pub(super) struct JwtSigner {
    key: EcdsaKeyPair,
    pub(super) id: String,
}

impl std::fmt::Debug for JwtSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwtSigner").field("id", &self.id).finish_non_exhaustive()
    }
}

impl JwtSigner {
    pub(super) fn generate() -> Result<Self, IssueError> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING);
        key.map(Self::new).map_err(|_| IssueError::Library("generate a key"))
    }

    pub(super) fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, IssueError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8);
        key.map(Self::new).map_err(|_| IssueError::Key("it is no PKCS#8 key on P-256"))
    }

    fn new(key: EcdsaKeyPair) -> Self {
        let digest = Sha256::digest(key.public_key().as_ref());
        let id = hex(&digest[..16]);
        Self { key, id }
    }

    pub(super) fn pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, IssueError> {
        let document = self.key.to_pkcs8v1().map_err(|_| IssueError::Library("write a key"))?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    pub(super) fn public(&self) -> JwtKey {
        let point = self.key.public_key().as_ref().to_vec();
        JwtKey { id: self.id.clone(), key: JwtPublicKey::P256(point) }
    }

    /// A JWT-SVID (J-1 to J-5).
    pub(super) fn token(
        &self,
        id: &SpiffeId,
        audience: &[String],
        now: Duration,
        ends: Duration,
    ) -> Result<String, IssueError> {
        let message = jwt::signing_input(&self.id, id, audience, now, ends);
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes());
        let signature = signature.map_err(|_| IssueError::Library("sign"))?;
        let fixed = signature.as_ref().try_into().map_err(|_| IssueError::Library("sign in fixed length"))?;
        Ok(jwt::assemble(&message, fixed))
    }
}

/// A trust domain's CA among others: its key, and the certificate that the root signed for it, if any did yet.
#[derive(Clone, Debug)]
pub(super) struct CaMember {
    pub(super) ca: Arc<CaKey>,
    pub(super) under_root: Option<Arc<UnderRoot>>,
}

/// A CA's certificate as a root signed it.
#[derive(Debug)]
pub(super) struct UnderRoot {
    pub(super) certificate: CertificateDer<'static>,
    pub(super) validity: Validity,
    /// Digest of the root's certificate.
    pub(super) root: String,
}
