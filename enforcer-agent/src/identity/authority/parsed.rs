//! An authority's certificate, taken apart: what signing with its key needs to know of it.

use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::{DistinguishedName, DnType, DnValue};
use rustls_pki_types::CertificateDer;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::X509Name;

use super::profile::Validity;

/// An authority's certificate.
#[derive(Clone, Debug)]
pub(super) struct Authority {
    /// DER of the subject.
    pub(super) subject: Vec<u8>,
    /// The subject as rcgen writes it, if it can.
    pub(super) name: Option<DistinguishedName>,
    /// The key itself as in the certificate's bit string.
    pub(super) key_bits: Vec<u8>,
    pub(super) key_id: Option<Vec<u8>>,
    pub(super) validity: Validity,
    /// How many authorities may follow below it; `None` for any number.
    pub(super) path_length: Option<u32>,
    /// The trust domain that it names, if it names one (ID-7).
    pub(super) domain: Option<TrustDomain>,
}

impl Authority {
    /// Takes a certificate apart; the error says why it is no authority's.
    pub(super) fn parse(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (rest, x509) =
            X509Certificate::from_der(der).map_err(|error| format!("it does not parse: {error}"))?;
        if !rest.is_empty() {
            return Err("bytes follow it".to_owned());
        }
        let constraints = x509.basic_constraints().map_err(|error| error.to_string())?;
        let Some(constraints) = constraints.filter(|constraints| constraints.value.ca) else {
            return Err("it is no certificate authority's (X-6)".to_owned());
        };
        let usage = x509.key_usage().map_err(|error| error.to_string())?;
        if !usage.is_some_and(|usage| usage.value.key_cert_sign()) {
            return Err("its key may not sign certificates (X-7)".to_owned());
        }
        Ok(Self {
            subject: x509.subject().as_raw().to_vec(),
            name: writable(x509.subject()),
            key_bits: x509.public_key().subject_public_key.data.to_vec(),
            key_id: key_id(&x509),
            validity: validity(&x509)?,
            path_length: constraints.value.path_len_constraint,
            domain: domain(&x509),
        })
    }
}

fn key_id(x509: &X509Certificate<'_>) -> Option<Vec<u8>> {
    x509.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    })
}

fn validity(x509: &X509Certificate<'_>) -> Result<Validity, String> {
    let seconds = |timestamp: i64| u64::try_from(timestamp).map(Duration::from_secs);
    let (start, end) = (x509.validity().not_before.timestamp(), x509.validity().not_after.timestamp());
    let not_after = seconds(end).map_err(|_| "it ended before 1970".to_owned())?;
    Ok(Validity { not_before: seconds(start).unwrap_or_default(), not_after })
}

fn domain(x509: &X509Certificate<'_>) -> Option<TrustDomain> {
    let names = x509.subject_alternative_name().ok().flatten()?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    let (uri, more) = (uris.next()?, uris.next());
    if more.is_some() {
        return None;
    }
    uri.strip_prefix("spiffe://")?.parse().ok()
}

/// A name that rcgen writes back byte for byte: one value for each kind, all in UTF-8.
fn writable(name: &X509Name<'_>) -> Option<DistinguishedName> {
    let mut written = DistinguishedName::new();
    for relative in name.iter() {
        let mut attributes = relative.iter();
        let (attribute, more) = (attributes.next()?, attributes.next());
        let is_utf8 = attribute.attr_value().tag() == x509_parser::asn1_rs::Tag::Utf8String;
        let kind = DnType::from_oid(&attribute.attr_type().iter()?.collect::<Vec<u64>>());
        if more.is_some() || !is_utf8 || written.get(&kind).is_some() {
            return None;
        }
        written.push(kind, DnValue::Utf8String(attribute.as_str().ok()?.to_owned()));
    }
    Some(written)
}
