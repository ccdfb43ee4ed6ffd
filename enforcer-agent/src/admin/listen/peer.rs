//! The peer certificate door: DER → SPIFFE ID and end of validity, all or nothing. Whether its issuer is
//! trusted is the business of rustls, before this is asked.

use std::time::Duration;

use enforcer_core::identity::spiffe_id::{SpiffeId, SpiffeIdError};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Who a certificate names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its one URI.
    pub id: SpiffeId,
    /// End of validity, since the Unix epoch.
    pub not_after: Duration,
}

/// Why a certificate names nobody: one variant for each rule of X509-SVID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not an X.509 certificate, or more than one.
    #[error("it is no DER certificate")]
    Malformed,
    /// An extension twice, or one that cannot be read.
    #[error("its extensions cannot be read: {0}")]
    Extensions(String),
    /// Section 4.1: an authority's certificate authenticates nobody.
    #[error("it is a signing certificate")]
    Authority,
    /// Section 4.3: keyUsage must be there, with digitalSignature and without signing bits.
    #[error("its key usage is missing, lacks digitalSignature, or allows signing certificates")]
    KeyUsage,
    /// Section 2: exactly one.
    #[error("it has {0} URI names where one is wanted")]
    UriCount(usize),
    /// A URI that is no SPIFFE ID.
    #[error("its URI is no SPIFFE ID: {0}")]
    SpiffeId(#[from] SpiffeIdError),
    /// An end of validity before 1970.
    #[error("its end of validity is before 1970")]
    Validity,
}

/// Parses the leaf certificate of a peer.
///
/// # Errors
/// The first rule that it breaks.
pub fn parse(der: &[u8]) -> Result<Peer, PeerError> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| PeerError::Malformed)?;
    if !rest.is_empty() {
        return Err(PeerError::Malformed);
    }
    check_leaf(&certificate)?;
    let id = one_uri(&certificate)?.parse()?;
    let not_after = u64::try_from(certificate.validity().not_after.timestamp())
        .map_err(|_| PeerError::Validity)
        .map(Duration::from_secs)?;
    Ok(Peer { id, not_after })
}

fn check_leaf(certificate: &X509Certificate<'_>) -> Result<(), PeerError> {
    let unreadable = |error: x509_parser::error::X509Error| PeerError::Extensions(error.to_string());
    let constraints = certificate.basic_constraints().map_err(unreadable)?;
    if constraints.is_some_and(|constraints| constraints.value.ca) {
        return Err(PeerError::Authority);
    }
    let usage = certificate.key_usage().map_err(unreadable)?.ok_or(PeerError::KeyUsage)?.value;
    if !usage.digital_signature() || usage.key_cert_sign() || usage.crl_sign() {
        return Err(PeerError::KeyUsage);
    }
    Ok(())
}

fn one_uri<'a>(certificate: &'a X509Certificate<'_>) -> Result<&'a str, PeerError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|error| PeerError::Extensions(error.to_string()))?
        .map_or(&[][..], |extension| &extension.value.general_names);
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.count()) {
        (Some(uri), 0) => Ok(uri),
        (Some(_), others) => Err(PeerError::UriCount(others + 1)),
        (None, _) => Err(PeerError::UriCount(0)),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, IsCa, KeyPair, KeyUsagePurpose, SanType};

    use super::*;

    fn der(uris: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["name.example".to_owned()]).unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(Ia5String::try_from(*uri).unwrap()));
        }
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn one_uri_names_the_peer_whatever_other_names_there_are() {
        let peer = parse(&der(&["spiffe://fleet.example/plane"], |_| ())).unwrap();
        assert_eq!(peer.id.as_str(), "spiffe://fleet.example/plane");
        assert!(peer.not_after > Duration::from_secs(1_700_000_000));
    }

    #[test]
    fn a_second_uri_is_refused() {
        let der = der(&["spiffe://fleet.example/plane", "spiffe://fleet.example/other"], |_| ());
        assert_eq!(parse(&der), Err(PeerError::UriCount(2)));
    }

    #[test]
    fn a_certificate_without_a_uri_is_refused() {
        assert_eq!(parse(&der(&[], |_| ())), Err(PeerError::UriCount(0)));
        assert_eq!(parse(&der(&[], |params| params.subject_alt_names.clear())), Err(PeerError::UriCount(0)));
    }

    #[test]
    fn a_uri_that_is_no_spiffe_id_is_refused() {
        assert_eq!(
            parse(&der(&["https://fleet.example/plane"], |_| ())),
            Err(PeerError::SpiffeId(SpiffeIdError::Scheme))
        );
    }

    #[test]
    fn an_authority_and_a_key_without_usage_are_refused() {
        let uri = ["spiffe://fleet.example/plane"];
        let authority = der(&uri, |params| {
            params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
        });
        assert_eq!(parse(&authority), Err(PeerError::Authority));
        assert_eq!(parse(&der(&uri, |params| params.key_usages.clear())), Err(PeerError::KeyUsage));
    }

    #[test]
    fn damaged_bytes_never_panic() {
        let der = der(&["spiffe://fleet.example/plane"], |_| ());
        for at in 0..der.len() {
            let mut damaged = der.clone();
            damaged[at] ^= 0xff;
            let _answer = parse(&damaged);
            let _answer = parse(&der[..at]);
        }
        let mut longer = der;
        longer.push(0);
        assert_eq!(parse(&longer), Err(PeerError::Malformed));
    }
}
