//! An authority that nobody holds: its key is gone before its certificate is used. Envoy takes a validation
//! context without authorities for one that trusts everybody, so where nobody is to be trusted, this one is.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls_pki_types::CertificateDer;

/// Its certificate.
#[derive(Clone, Debug)]
pub(in crate::identity::serve) struct Nobody(CertificateDer<'static>);

impl Nobody {
    pub(in crate::identity::serve) fn new() -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "nobody");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate()?;
        Ok(Self(params.self_signed(&key)?.der().clone()))
    }

    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.0
    }
}
