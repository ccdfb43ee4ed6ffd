//! The peer certificate door: a leaf in DER → whom it names, all or nothing (X509-SVID sections 2 to 5). Whether
//! anybody trusted signed it is asked elsewhere: by [`super::chain`], or by TLS.

use std::time::Duration;

use x509_parser::oid_registry::OID_X509_EXT_SUBJECT_ALT_NAME;

use super::certificate::{Certificate, CertificateError};
use crate::identity::spiffe_id::{SpiffeId, SpiffeIdError};

/// A leaf: somebody's X.509-SVID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Its one URI.
    pub id: SpiffeId,
    /// Serial number, big-endian.
    pub serial: Vec<u8>,
    /// Start of validity, since the Unix epoch.
    pub not_before: Duration,
    /// End of validity, since the Unix epoch.
    pub not_after: Duration,
    /// Its `SubjectPublicKeyInfo`.
    pub spki_der: Vec<u8>,
}

/// Why a certificate names nobody: one variant for each rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeafError {
    /// It breaks a rule that holds for every certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// an authority's certificate authenticates nobody.
    #[error("it is a signing certificate")]
    Authority,
    ///
    #[error("its key usage lacks digitalSignature")]
    NoDigitalSignature,
    ///
    #[error("its key usage has keyCertSign")]
    KeyCertSign,
    ///
    #[error("its key usage has cRLSign")]
    CrlSign,
    /// exactly one.
    #[error("it has no URI name")]
    UriMissing,
    /// exactly one.
    #[error("it has {0} URI names where one is wanted")]
    UriCount(usize),
    /// then the name is all there is.
    #[error("it has no subject, and its alternative names are not critical")]
    NamesNotCritical,
    /// ID-1 to ID-5; X-3 for the path.
    #[error("its URI is no SPIFFE ID: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// SPIFFE-ID treats a trust domain like `10.0.0.1` as any other name (ID-3). A certificate with one is refused
    /// all the same: ours are DNS names, and constraints on URIs hold no host that is an address, so that
    /// RFC 5280 section 4.2.1.10 has such a certificate refused below any constrained authority.
    #[error("its trust domain {0} is an address")]
    TrustDomainIsAddress(String),
}

/// Parses the leaf certificate of a peer.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse_leaf(der: &[u8]) -> Result<Leaf, LeafError> {
    Leaf::read(&Certificate::parse(der)?)
}

impl Leaf {
    pub(super) fn read(certificate: &Certificate<'_>) -> Result<Self, LeafError> {
        check_usage(certificate)?;
        let id = id(certificate)?;
        let x509 = &certificate.x509;
        Ok(Self {
            id,
            serial: x509.raw_serial().to_vec(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            spki_der: x509.public_key().raw.to_vec(),
        })
    }
}

fn check_usage(certificate: &Certificate<'_>) -> Result<(), LeafError> {
    let usage = certificate.usage;
    if certificate.is_authority() {
        Err(LeafError::Authority)
    } else if usage.key_cert_sign() {
        Err(LeafError::KeyCertSign)
    } else if usage.crl_sign() {
        Err(LeafError::CrlSign)
    } else if !usage.digital_signature() {
        Err(LeafError::NoDigitalSignature)
    } else {
        Ok(())
    }
}

fn id(certificate: &Certificate<'_>) -> Result<SpiffeId, LeafError> {
    let uri = match certificate.uris.as_slice() {
        [] => return Err(LeafError::UriMissing),
        [uri] => *uri,
        uris => return Err(LeafError::UriCount(uris.len())),
    };
    let names = certificate.extension(&OID_X509_EXT_SUBJECT_ALT_NAME);
    if !certificate.has_subject() && names.is_some_and(|names| !names.critical) {
        return Err(LeafError::NamesNotCritical);
    }
    let id: SpiffeId = uri.parse()?;
    if id.has_address() {
        return Err(LeafError::TrustDomainIsAddress(id.trust_domain().to_owned()));
    }
    Ok(id)
}
