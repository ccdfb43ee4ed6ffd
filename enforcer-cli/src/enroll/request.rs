//! A fresh key for a node, and the request that proves it (PKCS #10). No name stands in the request: what the
//! certificate says is the authority's to decide.

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use zeroize::Zeroizing;

/// A P-256 key and its request. Nothing here prints the key.
pub(crate) struct Request {
    /// PKCS#8, DER.
    pub(crate) key: Zeroizing<Vec<u8>>,
    /// PKCS #10, DER.
    pub(crate) csr: Vec<u8>,
}

impl Request {
    /// Makes a key, and asks with it.
    pub(crate) fn generate() -> Result<Self, rcgen::Error> {
        let key = Zeroizing::new(KeyPair::generate()?);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&*key)?.der().to_vec();
        Ok(Self { key: Zeroizing::new(key.serialize_der()), csr })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::certification_request::X509CertificationRequest;
    use x509_parser::prelude::FromDer as _;

    #[test]
    fn a_request_names_nobody_and_each_has_a_key_of_its_own() {
        let (one, other) = (Request::generate().unwrap(), Request::generate().unwrap());
        assert!(*one.key != *other.key);
        let (rest, csr) = X509CertificationRequest::from_der(&one.csr).unwrap();
        assert!(rest.is_empty());
        assert_eq!(csr.certification_request_info.subject.to_string(), "");
        assert_eq!(csr.requested_extensions().map(Iterator::count), None);
    }
}
