//! An authority's certificate in DER → for whom it may sign, all or nothing.

use std::time::Duration;

use x509_parser::oid_registry::OID_X509_EXT_NAME_CONSTRAINTS;

use super::certificate::{Certificate, CertificateError};
use super::constraints::{ConstraintError, UriConstraints};
use super::public_key::SubjectKey;
use crate::identity::spiffe_id::{SpiffeId, SpiffeIdError};
use crate::identity::trust_domain::TrustDomain;

/// Somebody who signs certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Whose authority it says it is.
    pub domain: Option<TrustDomain>,
    /// How many authorities may stand between it and a leaf; any number when `None`.
    pub path_length: Option<u32>,
    /// Whom it may name.
    pub constraints: UriConstraints,
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Start of validity, since the Unix epoch.
    pub not_before: Duration,
    /// End of validity, since the Unix epoch.
    pub not_after: Duration,
    /// Its subject, in DER: the issuer of what it signs.
    pub subject: Vec<u8>,
    /// Its `SubjectPublicKeyInfo`.
    pub spki_der: Vec<u8>,
    pub(in crate::identity) key: SubjectKey,
}

/// Why a certificate is no authority's: one variant for each rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// It breaks a rule that holds for every certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    ///
    #[error("it is no authority's certificate")]
    NotAuthority,
    ///
    #[error("its key usage lacks keyCertSign")]
    NoKeyCertSign,
    /// RFC 5280 section 4.1.2.6.
    #[error("it has no subject")]
    NoSubject,
    /// A key that no signature is checked with.
    #[error("its key is of a kind that is not known here")]
    Key,
    ///
    #[error("it has {0} URI names where at most one is wanted")]
    UriCount(usize),
    /// ID-1, ID-2.
    #[error("its URI is no SPIFFE ID: {0}")]
    SpiffeId(SpiffeIdError),
    /// a path is a workload's.
    #[error("its SPIFFE ID {0} has a path")]
    Path(SpiffeId),
    /// RFC 5280 section 4.2.1.10.
    #[error("its name constraints are refused: {0}")]
    NameConstraints(#[from] ConstraintError),
}

/// Parses the certificate of an authority.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_authority(der: &[u8]) -> Result<Authority, AuthorityError> {
    Authority::read(&Certificate::parse(der)?)
}

impl Authority {
    pub(super) fn read(certificate: &Certificate<'_>) -> Result<Self, AuthorityError> {
        check_usage(certificate)?;
        let x509 = &certificate.x509;
        Ok(Self {
            domain: domain(certificate)?,
            path_length: path_length(certificate),
            constraints: constraints(certificate)?,
            serial: x509.raw_serial().to_vec(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            subject: x509.subject().as_raw().to_vec(),
            spki_der: x509.public_key().raw.to_vec(),
            key: SubjectKey::read(x509.public_key()).ok_or(AuthorityError::Key)?,
        })
    }

    /// True at both ends of its validity and between.
    #[must_use]
    pub fn is_valid_at(&self, now: Duration) -> bool {
        self.not_before <= now && now <= self.not_after
    }
}

fn check_usage(certificate: &Certificate<'_>) -> Result<(), AuthorityError> {
    if !certificate.is_authority() {
        Err(AuthorityError::NotAuthority)
    } else if !certificate.usage.key_cert_sign() {
        Err(AuthorityError::NoKeyCertSign)
    } else if !certificate.has_subject() {
        Err(AuthorityError::NoSubject)
    } else {
        Ok(())
    }
}

fn domain(certificate: &Certificate<'_>) -> Result<Option<TrustDomain>, AuthorityError> {
    let uri = match certificate.uris.as_slice() {
        [] => return Ok(None),
        [uri] => *uri,
        uris => return Err(AuthorityError::UriCount(uris.len())),
    };
    match uri.parse::<SpiffeId>() {
        Ok(id) => Err(AuthorityError::Path(id)),
        Err(SpiffeIdError::PathMissing) => {
            TrustDomain::from_id(uri).map(Some).map_err(AuthorityError::SpiffeId)
        }
        Err(error) => Err(AuthorityError::SpiffeId(error)),
    }
}

fn path_length(certificate: &Certificate<'_>) -> Option<u32> {
    let constraints = certificate.x509.basic_constraints().ok().flatten();
    constraints.and_then(|constraints| constraints.value.path_len_constraint)
}

fn constraints(certificate: &Certificate<'_>) -> Result<UriConstraints, ConstraintError> {
    match certificate.extension(&OID_X509_EXT_NAME_CONSTRAINTS) {
        Some(extension) => UriConstraints::parse(extension.value),
        None => Ok(UriConstraints::default()),
    }
}
