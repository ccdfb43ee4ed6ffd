//! X.509 answers: DER, one certificate after the other, in whole messages.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_proto::spiffe::{X509BundlesResponse, X509svid, X509svidResponse};
use rustls_pki_types::CertificateDer;

use crate::identity::svid::{Crls, Material};

/// W-5: leaf first, PKCS#8, every field but `hint`, which tells several identities apart where there is one.
/// W-10: it is the first. W-11: other bundles by their trust domain's ID.
pub(super) fn svid(material: &Material) -> X509svidResponse {
    let svid = X509svid {
        spiffe_id: material.svid.id.to_string(),
        x509_svid: concatenate(&material.svid.chain),
        x509_svid_key: material.svid.key.expose().to_vec(),
        bundle: concatenate(&material.bundle.x509),
        hint: String::new(),
    };
    X509svidResponse {
        svids: vec![svid],
        crl: crls(material),
        federated_bundles: federated(material).collect(),
    }
}

/// W-6: the caller's own among them.
pub(super) fn bundles(material: &Material) -> X509BundlesResponse {
    let own = (material.bundle.trust_domain.id(), concatenate(&material.bundle.x509));
    let bundles: HashMap<_, _> = federated(material).chain([own]).collect();
    X509BundlesResponse { crl: crls(material), bundles }
}

/// What an answer of [`bundles`] was made of, without the private key beside it.
#[derive(PartialEq, Eq)]
pub(super) struct Sent {
    bundle: Arc<Bundle>,
    federated: BTreeMap<TrustDomain, Arc<Bundle>>,
    crls: BTreeMap<TrustDomain, Crls>,
}

impl Sent {
    pub(super) fn of(material: &Material) -> Self {
        Self {
            bundle: Arc::clone(&material.bundle),
            federated: material.federated.clone(),
            crls: material.crls.clone(),
        }
    }
}

/// W-3: absence withdraws. So does a bundle without authorities (B-4), which some clients cannot read.
fn federated(material: &Material) -> impl Iterator<Item = (String, Vec<u8>)> {
    let usable = material.federated.iter().filter(|(_, bundle)| !bundle.x509.is_empty());
    usable.map(|(domain, bundle)| (domain.id(), concatenate(&bundle.x509)))
}

fn crls(material: &Material) -> Vec<Vec<u8>> {
    material.crls.values().flatten().map(|crl| crl.to_vec()).collect()
}

fn concatenate(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    certificates.iter().flat_map(|certificate| certificate.iter().copied()).collect()
}
