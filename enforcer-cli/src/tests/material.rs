//! Certificates as an agent issues them, and wrong ones, each wrong in one way.

use enforcer_proto::spiffe::{X509svid, X509svidResponse};
use prost_types::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SanType, SignatureAlgorithm, date_time_ymd,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer as _;

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// A time that every certificate here but [`Wrong::Ended`] is valid at.
pub(crate) fn now() -> Timestamp {
    Timestamp { seconds: 1_793_700_000, nanos: 0 }
}

/// What is wrong with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    TwoUris,
    NoUri,
    OtherName,
    Authority,
    SignsCertificates,
    NoDigitalSignature,
    OtherIssuer,
    OtherKey,
    BrokenKey,
    Ended,
}

/// The authority of a trust domain, and a node's below it.
pub(crate) struct Authority {
    domain: String,
    root: Issuer,
    node: Issuer,
}

impl Authority {
    pub(crate) fn new(domain: &str) -> Self {
        let root = Issuer::self_signed(authority(domain), key()).unwrap();
        let node = Issuer::signed_by(authority(&format!("{domain} node")), key(), &root).unwrap();
        Self { domain: domain.to_owned(), root, node }
    }

    /// The authorities, DER.
    pub(crate) fn bundle(&self) -> Vec<u8> {
        self.root.der().to_vec()
    }

    /// The authorities, PEM.
    pub(crate) fn bundle_pem(&self) -> String {
        self.root.pem()
    }

    /// A message with one SVID, with a key of its own each time.
    pub(crate) fn response(&self, path: &str) -> X509svidResponse {
        self.wrong_response(path, Wrong::Nothing)
    }

    /// The same, wrong in one way.
    pub(crate) fn wrong_response(&self, path: &str, wrong: Wrong) -> X509svidResponse {
        X509svidResponse { svids: vec![self.issue(path, wrong, None)], ..X509svidResponse::default() }
    }

    /// One whose certificate ends in so many seconds, by the real clock.
    pub(crate) fn short_response(&self, path: &str, seconds: i64) -> X509svidResponse {
        let not_after = time::OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
        let svid = self.issue(path, Wrong::Nothing, Some(not_after));
        X509svidResponse { svids: vec![svid], ..X509svidResponse::default() }
    }

    /// A chain for the key of a request, DER, leaf first.
    pub(crate) fn enroll(&self, path: &str, csr: &[u8]) -> Vec<Vec<u8>> {
        let (_, csr) = X509CertificationRequest::from_der(csr).unwrap();
        let point = Point(csr.certification_request_info.subject_pki.subject_public_key.data.to_vec());
        let params = leaf(&format!("spiffe://{}{path}", self.domain), Wrong::Nothing);
        let leaf = params.signed_by(&point, &self.node).unwrap();
        vec![leaf.der().to_vec(), self.node.der().to_vec()]
    }

    fn issue(&self, path: &str, wrong: Wrong, not_after: Option<time::OffsetDateTime>) -> X509svid {
        let id = format!("spiffe://{}{path}", self.domain);
        let own = key();
        let mut params = leaf(&id, wrong);
        params.not_after = not_after.unwrap_or(params.not_after);
        let leaf = params.signed_by(&own, &self.node).unwrap();
        let issuer = if wrong == Wrong::OtherIssuer { &self.root } else { &self.node };
        X509svid {
            spiffe_id: id,
            x509_svid: [leaf.der().as_ref(), issuer.der().as_ref()].concat(),
            x509_svid_key: match wrong {
                Wrong::OtherKey => key().serialize_der(),
                Wrong::BrokenKey => vec![0x30, 0],
                _ => own.serialize_der(),
            },
            bundle: self.bundle(),
            hint: String::new(),
        }
    }
}

/// Somebody's public key.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf(id: &str, wrong: Wrong) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    let uri = |id: &str| SanType::URI(id.try_into().unwrap());
    params.subject_alt_names = match wrong {
        Wrong::NoUri => vec![SanType::DnsName("web.example".try_into().unwrap())],
        Wrong::TwoUris => vec![uri(id), uri("spiffe://blue.fleet.example/ns/a/sa/web")],
        Wrong::OtherName => vec![uri("spiffe://blue.fleet.example/ns/a/sa/web")],
        _ => vec![uri(id)],
    };
    params.key_usages = match wrong {
        Wrong::NoDigitalSignature => vec![KeyUsagePurpose::KeyAgreement],
        Wrong::SignsCertificates => vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign],
        _ => vec![KeyUsagePurpose::DigitalSignature],
    };
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    if wrong == Wrong::Authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    if wrong == Wrong::Ended {
        params.not_after = date_time_ymd(2020, 1, 1);
    }
    params
}
