//! What holds of every certificate, leaf or authority: it is DER, it is X.509 version 3, nothing in it is both
//! critical and unknown, and its key usage is there. It must not know whom the certificate names.

use std::time::Duration;

use x509_parser::asn1_rs::Oid;
use x509_parser::extensions::{GeneralName, KeyUsage, ParsedExtension, X509Extension};
use x509_parser::oid_registry::{
    OID_X509_EXT_BASIC_CONSTRAINTS, OID_X509_EXT_EXTENDED_KEY_USAGE, OID_X509_EXT_KEY_USAGE,
    OID_X509_EXT_NAME_CONSTRAINTS, OID_X509_EXT_SUBJECT_ALT_NAME,
};
use x509_parser::prelude::{FromDer as _, X509Certificate, X509Version};
use x509_parser::time::ASN1Time;

use super::der;

/// Bytes of one certificate.
pub const MAX_CERTIFICATE_BYTES: usize = 64 << 10;

/// Why a certificate is neither a leaf nor an authority.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Longer than anybody's.
    #[error("it has {0} bytes, and at most {MAX_CERTIFICATE_BYTES} are taken")]
    TooLong(usize),
    /// Not an X.509 certificate, or something after it.
    #[error("it is no DER certificate")]
    Malformed,
    /// Extensions came with version 3.
    #[error("it is not of version 3")]
    Version,
    /// RFC 5280 section 4.1.1.2.
    #[error("it states two different signature algorithms")]
    TwoAlgorithms,
    /// An extension twice, or one that cannot be read.
    #[error("its extensions cannot be read: {0}")]
    Extensions(String),
    /// RFC 5280 section 4.2: must be refused.
    #[error("it has the critical extension {0}, which is not known here")]
    UnknownCritical(String),
    /// A time before 1970.
    #[error("its validity begins or ends before 1970")]
    Validity,
    ///
    #[error("its key usage is missing")]
    KeyUsageMissing,
    ///
    #[error("its key usage is not critical")]
    KeyUsageNotCritical,
    /// both, when there is any.
    #[error("its extended key usage lacks {0}")]
    ExtendedKeyUsage(&'static str),
}

/// A certificate, read but not judged.
pub(in crate::identity) struct Certificate<'a> {
    pub(super) x509: X509Certificate<'a>,
    pub(super) not_before: Duration,
    pub(super) not_after: Duration,
    pub(super) usage: KeyUsage,
    pub(super) uris: Vec<&'a str>,
}

impl<'a> Certificate<'a> {
    /// Reads one, whole.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub(in crate::identity) fn parse(der: &'a [u8]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(CertificateError::TooLong(der.len()));
        }
        let x509 = match X509Certificate::from_der(der) {
            Ok(([], x509)) => x509,
            _ => return Err(CertificateError::Malformed),
        };
        check_form(&x509)?;
        let usage = key_usage(&x509)?;
        check_extended_key_usage(&x509)?;
        Ok(Self {
            not_before: since_epoch(x509.validity().not_before)?,
            not_after: since_epoch(x509.validity().not_after)?,
            uris: uris(&x509)?,
            usage,
            x509,
        })
    }

    pub(super) fn extension(&self, oid: &Oid<'_>) -> Option<&X509Extension<'a>> {
        self.x509.extensions().iter().find(|extension| extension.oid == *oid)
    }

    pub(super) fn is_authority(&self) -> bool {
        self.x509.is_ca()
    }

    pub(super) fn has_subject(&self) -> bool {
        self.x509.subject().iter_rdn().next().is_some()
    }
}

fn check_form(x509: &X509Certificate<'_>) -> Result<(), CertificateError> {
    if x509.version() != X509Version::V3 {
        return Err(CertificateError::Version);
    }
    if x509.signature_algorithm != x509.tbs_certificate.signature {
        return Err(CertificateError::TwoAlgorithms);
    }
    x509.extensions_map().map_err(|error| CertificateError::Extensions(error.to_string()))?;
    x509.extensions().iter().try_for_each(check_extension)
}

/// The parser steps over what it cannot read, and over what follows what it could: here that is an error.
fn check_extension(extension: &X509Extension<'_>) -> Result<(), CertificateError> {
    const KNOWN: [Oid<'static>; 5] = [
        OID_X509_EXT_BASIC_CONSTRAINTS,
        OID_X509_EXT_KEY_USAGE,
        OID_X509_EXT_EXTENDED_KEY_USAGE,
        OID_X509_EXT_SUBJECT_ALT_NAME,
        OID_X509_EXT_NAME_CONSTRAINTS,
    ];
    let is_known = KNOWN.contains(&extension.oid);
    if extension.critical && !is_known {
        return Err(CertificateError::UnknownCritical(extension.oid.to_id_string()));
    }
    let is_unread = matches!(extension.parsed_extension(), ParsedExtension::ParseError { .. });
    if is_known && (is_unread || der::only(extension.value).is_none()) {
        return Err(CertificateError::Extensions(format!("{} is malformed", extension.oid)));
    }
    Ok(())
}

fn key_usage(x509: &X509Certificate<'_>) -> Result<KeyUsage, CertificateError> {
    let usage = x509.key_usage().map_err(|error| CertificateError::Extensions(error.to_string()))?;
    let usage = usage.ok_or(CertificateError::KeyUsageMissing)?;
    if usage.critical { Ok(*usage.value) } else { Err(CertificateError::KeyUsageNotCritical) }
}

fn check_extended_key_usage(x509: &X509Certificate<'_>) -> Result<(), CertificateError> {
    let usage = x509.extended_key_usage().map_err(|error| CertificateError::Extensions(error.to_string()))?;
    match usage.map(|usage| (usage.value.server_auth, usage.value.client_auth)) {
        None | Some((true, true)) => Ok(()),
        Some((false, _)) => Err(CertificateError::ExtendedKeyUsage("serverAuth")),
        Some((true, false)) => Err(CertificateError::ExtendedKeyUsage("clientAuth")),
    }
}

fn uris<'a>(x509: &X509Certificate<'a>) -> Result<Vec<&'a str>, CertificateError> {
    let unreadable = |what: String| CertificateError::Extensions(what);
    let names = x509.subject_alternative_name().map_err(|error| unreadable(error.to_string()))?;
    let mut uris = Vec::new();
    for name in names.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::URI(uri) => uris.push(*uri),
            // A second URI must not hide behind bytes that are no text.
            GeneralName::Invalid(tag, _) => {
                return Err(unreadable(format!("a name of form {tag} is malformed")));
            }
            //
            _ => {}
        }
    }
    Ok(uris)
}

fn since_epoch(time: ASN1Time) -> Result<Duration, CertificateError> {
    u64::try_from(time.timestamp()).map(Duration::from_secs).map_err(|_| CertificateError::Validity)
}
