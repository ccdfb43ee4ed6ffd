//! Certificates, keys and tokens for tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls_pki_types::CertificateRevocationListDer;
use zeroize::Zeroizing;

use crate::identity::secret::PrivateKey;
use crate::identity::svid::{Crls, Material, Standing, Svid};

/// The authority of a trust domain.
pub(super) struct Authority {
    domain: TrustDomain,
    issuer: Issuer<'static, KeyPair>,
    pub(super) bundle: Arc<Bundle>,
}

impl Authority {
    pub(super) fn new(domain: &str) -> Self {
        let domain: TrustDomain = domain.parse().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(domain.id().try_into().unwrap())];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let bundle = Bundle {
            trust_domain: domain.clone(),
            x509: vec![certificate.der().clone()],
            jwt: Vec::new(),
            sequence: 1,
            refresh_hint_seconds: 60,
        };
        Self { domain, issuer: Issuer::new(params, key), bundle: Arc::new(bundle) }
    }

    /// A fresh certificate for a workload.
    pub(super) fn material(&self, path: &str) -> Material {
        let id = self.domain.member(path).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = vec![SanType::URI(id.as_str().try_into().unwrap())];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let svid = Svid {
            id,
            chain: vec![certificate.der().clone()],
            key: PrivateKey::new(Zeroizing::new(key.serialize_der())),
            serial: vec![1],
            not_before: Duration::ZERO,
            not_after: Duration::MAX,
        };
        let bundle = Arc::clone(&self.bundle);
        Material { svid: Arc::new(svid), bundle, federated: BTreeMap::new(), crls: BTreeMap::new() }
    }

    /// The same, granted.
    pub(super) fn granted(&self, path: &str) -> Standing {
        granted(self.material(path))
    }

    /// Lists as those of this trust domain.
    pub(super) fn lists(&self, lists: Crls) -> BTreeMap<TrustDomain, Crls> {
        BTreeMap::from([(self.bundle.trust_domain.clone(), lists)])
    }

    /// A revocation list on which nobody is.
    pub(super) fn crl(&self) -> CertificateRevocationListDer<'static> {
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2026, 1, 1),
            next_update: rcgen::date_time_ymd(2036, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().into()
    }
}

pub(super) fn granted(material: Material) -> Standing {
    Standing::Granted(Arc::new(material))
}

/// The same material with other trust domains beside its own.
pub(super) fn federated(material: Material, others: &[&Authority]) -> Material {
    let federated = others.iter().map(|other| (other.domain.clone(), Arc::clone(&other.bundle))).collect();
    Material { federated, ..material }
}

/// The same bundle without authorities.
pub(super) fn emptied(bundle: &Bundle) -> Arc<Bundle> {
    Arc::new(Bundle { x509: Vec::new(), sequence: bundle.sequence + 1, ..bundle.clone() })
}

/// A token that looks like one.
pub(super) fn token(subject: &str, audience: &[String], lifetime: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let header = serde_json::json!({ "alg": "ES256", "kid": "1", "typ": "JWT" });
    let claims = serde_json::json!({
        "sub": subject, "aud": audience, "iat": now.as_secs(), "exp": (now + lifetime).as_secs(),
    });
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{}", part(&header), part(&claims), URL_SAFE_NO_PAD.encode([7; 64]))
}

/// What it says.
pub(super) fn claims(token: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&claims).ok()
}
