//! The root: signs the CAs of trust domains, so that who trusts it alone can verify all of them.

use std::fmt;
use std::time::Duration;

use enforcer_core::identity::signature::SignatureCheck as _;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, Issuer, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::der;
use super::error::{IssueError, RootError};
use super::member::{CaKey, UnderRoot};
use super::parsed::Authority;
use super::profile::{self, Rank, Validity};
use super::root_key::RootKey;
use crate::hex::hex;
use crate::identity::crypto::Checker;

/// A root that can sign.
pub(super) struct Root {
    pub(super) certificate: CertificateDer<'static>,
    /// Digest of the certificate.
    pub(super) digest: String,
    pub(super) validity: Validity,
    authority: Authority,
    key: RootKey,
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Root").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// Why a certificate and a key make no root.
pub(super) enum NoRoot {
    Certificate(String),
    Mismatch,
    Key(RootError),
}

impl Root {
    /// Puts certificate and key together. They are tried: a key that is another's is found now, not later.
    pub(super) fn new(certificate: CertificateDer<'static>, key: RootKey) -> Result<Self, NoRoot> {
        let authority = Authority::parse(&certificate).map_err(NoRoot::Certificate)?;
        if authority.path_length.is_some_and(|length| length < 2) {
            let what = "two authorities have to follow it, and its path length does not allow that";
            return Err(NoRoot::Certificate(what.to_owned()));
        }
        let probe = b"enforcer: is this the root's key?";
        let signature = key.sign(probe).map_err(NoRoot::Key)?;
        if !Checker.verify(key.check(), &authority.key_bits, probe, &signature) {
            return Err(NoRoot::Mismatch);
        }
        let digest = hex(&Sha256::digest(&certificate));
        Ok(Self { digest, validity: authority.validity, authority, key, certificate })
    }

    /// A certificate for the CA of a trust domain, for as long as both last.
    pub(super) fn sign(
        &self,
        domain: &TrustDomain,
        ca: &CaKey,
        rank: Rank,
        constrained: bool,
        now: Duration,
    ) -> Result<UnderRoot, RootError> {
        let validity = ca.validity.within(self.validity, now).map_err(|_| RootError::NotNow {
            not_before: self.validity.not_before.as_secs(),
            not_after: self.validity.not_after.as_secs(),
        })?;
        let mut params = profile::authority(domain, ca.subject.clone(), rank, constrained.then_some(domain))?;
        profile::date(&mut params, validity)?;
        params.use_authority_key_identifier_extension = self.authority.key_id.is_some();
        let certificate = self.certify(&params, ca)?;
        Ok(UnderRoot { certificate, validity, root: self.digest.clone() })
    }

    /// Has rcgen write everything but the issuer, whose name it might write otherwise than its certificate does,
    /// and signs that.
    fn certify(&self, params: &CertificateParams, ca: &CaKey) -> Result<CertificateDer<'static>, RootError> {
        let mut issuer = CertificateParams::default();
        issuer.distinguished_name = DistinguishedName::new();
        issuer.distinguished_name.push(DnType::CommonName, "the root");
        if let Some(key_id) = &self.authority.key_id {
            issuer.key_identifier_method = profile::key_id(key_id);
        }
        let draft = params
            .signed_by(ca.key(), &Issuer::new(issuer, Unsigned(self.key.algorithm())))
            .map_err(IssueError::from)?;
        let malformed = IssueError::Writer("the draft of a certificate does not parse".to_owned());
        let (_, draft) = X509Certificate::from_der(draft.der()).map_err(|_| malformed.clone())?;
        let tbs = with_issuer(&draft, &self.authority.subject).ok_or_else(|| malformed.clone())?;
        let algorithm = draft_algorithm(&draft).ok_or(malformed)?;
        let signature = self.key.sign(&tbs)?;
        let bits = der::tlv(der::BIT_STRING, &[&[0], &signature]);
        Ok(der::tlv(der::SEQUENCE, &[&tbs, algorithm, &bits]).into())
    }
}

/// The part of a draft that is signed, with another issuer.
fn with_issuer(draft: &X509Certificate<'_>, subject: &[u8]) -> Option<Vec<u8>> {
    let tbs = draft.tbs_certificate.as_ref();
    let issuer = draft.tbs_certificate.issuer.as_raw();
    let start = tbs.windows(issuer.len()).position(|window| window == issuer)?;
    let header = der::header_bytes(tbs)?;
    let (before, after) = (tbs.get(header..start)?, tbs.get(start + issuer.len()..)?);
    Some(der::tlv(der::SEQUENCE, &[before, subject, after]))
}

/// What stands between the signed part and the signature, which is one byte of zero and no bit.
fn draft_algorithm<'a>(draft: &X509Certificate<'a>) -> Option<&'a [u8]> {
    let whole = draft.as_raw();
    let start = der::header_bytes(whole)? + draft.tbs_certificate.as_ref().len();
    whole.get(start..whole.len().checked_sub(NO_SIGNATURE_BYTES)?)
}

/// Bytes of an empty bit string.
const NO_SIGNATURE_BYTES: usize = 3;

/// Signs nothing, in the name of an algorithm.
struct Unsigned(&'static SignatureAlgorithm);

impl PublicKeyData for Unsigned {
    fn der_bytes(&self) -> &[u8] {
        &[]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0
    }
}

impl SigningKey for Unsigned {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}
