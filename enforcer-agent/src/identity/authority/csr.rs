//! Certificate requests (PKCS #10): ours, and those of nodes. A request proves who has a key, and nothing else:
//! names in it count for nothing.

use enforcer_core::identity::signature::{Algorithm, SignatureCheck as _};
use rcgen::{CertificateParams, DistinguishedName};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY};
use x509_parser::prelude::FromDer as _;

use super::der;
use super::error::IssueError;
use super::key::{EcKey, Point};
use crate::identity::crypto::Checker;
use crate::identity::secret::PrivateKey;

/// Largest request that is looked at.
pub const REQUEST_MAX_BYTES: usize = 4096;

/// The AlgorithmIdentifier of ECDSA with SHA-256, DER.
const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// A fresh P-256 key, and the request that proves it.
///
/// # Errors
/// The library refuses.
pub fn request() -> Result<(PrivateKey, Vec<u8>), IssueError> {
    let key = EcKey::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key)?;
    Ok((key.private()?, request.der().to_vec()))
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("the request has {0} bytes, and at most {REQUEST_MAX_BYTES} are taken")]
    TooLarge(usize),
    #[error("the request is no PKCS #10")]
    Malformed,
    #[error("the request's key is not on P-256")]
    Key,
    #[error("the request is not signed by its own key with ECDSA and SHA-256")]
    Signature,
}

/// The key that a request proves.
pub(super) fn parse(bytes: &[u8]) -> Result<Point, RequestError> {
    if bytes.len() > REQUEST_MAX_BYTES {
        return Err(RequestError::TooLarge(bytes.len()));
    }
    let (rest, request) = X509CertificationRequest::from_der(bytes).map_err(|_| RequestError::Malformed)?;
    if !rest.is_empty() || request.signature_value.unused_bits != 0 {
        return Err(RequestError::Malformed);
    }
    let key = &request.certification_request_info.subject_pki;
    let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
    if key.algorithm.algorithm != OID_KEY_TYPE_EC_PUBLIC_KEY || curve != Some(OID_EC_P256) {
        return Err(RequestError::Key);
    }
    let point = <[u8; 65]>::try_from(key.subject_public_key.data.as_ref()).map_err(|_| RequestError::Key)?;
    let signed = request.certification_request_info.raw;
    // The parser takes more spellings of the algorithm than there are.
    let after = der::header_bytes(bytes).and_then(|header| bytes.get(header + signed.len()..));
    if !after.is_some_and(|after| after.starts_with(&ECDSA_WITH_SHA256)) {
        return Err(RequestError::Signature);
    }
    let signature = &request.signature_value.data;
    if !Checker.verify(Algorithm::EcdsaP256Sha256Der, &point, signed, signature) {
        return Err(RequestError::Signature);
    }
    Ok(Point(point))
}

#[cfg(test)]
mod tests {
    use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384};

    use super::*;

    #[test]
    fn a_request_proves_its_key() {
        let (key, request) = request().unwrap();
        let key = EcKey::from_pkcs8(key.expose()).unwrap();
        assert_eq!(parse(&request).unwrap().0, key.point());
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let (_, good) = request().unwrap();
        for place in 0..good.len() {
            let mut bytes = good.clone();
            bytes[place] ^= 1;
            assert!(parse(&bytes).is_err(), "byte {place}");
            assert!(parse(&good[..place]).is_err());
        }
        assert_eq!(parse(&[&good[..], &[0]].concat()), Err(RequestError::Malformed));
        assert_eq!(parse(&vec![0; 5000]), Err(RequestError::TooLarge(5000)));
    }

    #[test]
    fn another_curve_is_refused() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        assert_eq!(parse(request.der()), Err(RequestError::Key));
    }
}
