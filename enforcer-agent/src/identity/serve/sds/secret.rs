//! A secret as Envoy takes it: the caller's certificate, or what it may check others with. What a name means is
//! decided here, and nobody is given what is another's.

use std::sync::Arc;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::trust_domain::TrustDomain;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::core::v3::{DataSource, TypedExtensionConfig};
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::spiffe_cert_validator_config::TrustDomain as Anchors;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::subject_alt_name_matcher::SanType;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, SpiffeCertValidatorConfig, SubjectAltNameMatcher, TlsCertificate,
};
use envoy_types::pb::envoy::r#type::matcher::v3::StringMatcher;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::protobuf::Any;
use prost::{Message as _, Name as _};
use sha2::{Digest as _, Sha256};

use super::nobody::Nobody;
use crate::hex::hex;
use crate::identity::pem;
use crate::identity::svid::Material;

/// The caller's certificate, whatever its ID.
const OWN: &str = "default";
/// The authorities of the caller's own trust domain.
const OWN_AUTHORITIES: &str = "ROOTCA";
/// The authorities of every trust domain that the caller may meet, each for its own members alone.
const ALL_AUTHORITIES: &str = "ALL";
/// The validator of Envoy that chooses authorities by trust domain.
const SPIFFE_VALIDATOR: &str = "envoy.tls.cert_validator.spiffe";

/// What a name means to a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its certificate and key.
    Certificate,
    /// The authorities of a trust domain.
    Authorities(TrustDomain),
    /// Those of all its trust domains.
    AllAuthorities,
}

/// A secret, packed.
pub(super) struct Packed {
    /// As it was asked for.
    pub(super) name: String,
    /// A digest of what is not secret in it: the same content has the same version, whoever asks.
    pub(super) version: String,
    pub(super) any: Any,
}

/// Reads a name; `None` when the caller has no such secret.
pub(super) fn read(name: &str, material: &Material) -> Option<Asked> {
    let own = &material.bundle.trust_domain;
    match name {
        ALL_AUTHORITIES => return Some(Asked::AllAuthorities),
        OWN_AUTHORITIES => return Some(Asked::Authorities(own.clone())),
        _ if name == OWN || name == material.svid.id.as_str() => return Some(Asked::Certificate),
        _ => {}
    }
    let domain: TrustDomain = name.strip_prefix("spiffe://")?.parse().ok()?;
    let is_its = domain == *own || material.federated.contains_key(&domain);
    is_its.then_some(Asked::Authorities(domain))
}

/// Makes it.
pub(super) fn pack(name: &str, asked: &Asked, material: &Material, nobody: &Nobody) -> Packed {
    let (kind, version) = match asked {
        Asked::Certificate => certificate(material),
        Asked::Authorities(domain) => versioned(authorities(domain, material, nobody)),
        Asked::AllAuthorities => versioned(all_authorities(material, nobody)),
    };
    let secret = Secret { name: name.to_owned(), r#type: Some(kind) };
    let any = Any { type_url: Secret::type_url(), value: secret.encode_to_vec() };
    Packed { name: name.to_owned(), version, any }
}

/// A digest of parts, as text. The same parts cut elsewhere give another.
pub(in crate::identity::serve) fn digest<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part.len().to_le_bytes());
        hasher.update(part);
    }
    hex(&hasher.finalize()[..16])
}

/// The version goes by the chain, which is nobody's secret: a new key has a new chain.
fn certificate(material: &Material) -> (Type, String) {
    let svid = &material.svid;
    let chain: String = pem::certificates(&svid.chain);
    let key = pem::block("PRIVATE KEY", svid.key.expose());
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(chain.into_bytes())),
        private_key: Some(inline(key.as_bytes().to_vec())),
        ..TlsCertificate::default()
    };
    (Type::TlsCertificate(certificate), digest(svid.chain.iter().map(AsRef::as_ref)))
}

fn versioned(context: CertificateValidationContext) -> (Type, String) {
    let version = digest([context.encode_to_vec().as_slice()]);
    (Type::ValidationContext(context), version)
}

/// One trust domain's authorities, and only its own members, with the lists of that trust domain alone: Envoy
/// refuses a leaf that no list is about.
fn authorities(domain: &TrustDomain, material: &Material, nobody: &Nobody) -> CertificateValidationContext {
    let own = &material.bundle;
    let is_own = own.trust_domain == *domain;
    let bundle = if is_own { Some(own) } else { material.federated.get(domain) };
    let lists = material.crls.get(domain).into_iter().flatten();
    let crl: String = lists.map(|der| pem::block("X509 CRL", der).to_string()).collect();
    let has_crl = !crl.is_empty();
    CertificateValidationContext {
        trusted_ca: Some(anchors(bundle, nobody)),
        match_typed_subject_alt_names: vec![members_of(domain)],
        crl: has_crl.then(|| inline(crl.into_bytes())),
        only_verify_leaf_cert_crl: has_crl,
        ..CertificateValidationContext::default()
    }
}

fn all_authorities(material: &Material, nobody: &Nobody) -> CertificateValidationContext {
    // Envoy wants at least one, so the caller's own stays even when nobody holds it.
    let federated = material.federated.values().filter(|bundle| !bundle.x509.is_empty());
    let trust_domains = [&material.bundle].into_iter().chain(federated).map(|bundle| Anchors {
        name: bundle.trust_domain.to_string(),
        trust_bundle: Some(anchors(Some(bundle), nobody)),
        ..Anchors::default()
    });
    let config = SpiffeCertValidatorConfig {
        trust_domains: trust_domains.collect(),
        ..SpiffeCertValidatorConfig::default()
    };
    CertificateValidationContext {
        custom_validator_config: Some(TypedExtensionConfig {
            name: SPIFFE_VALIDATOR.to_owned(),
            typed_config: Some(Any {
                type_url: SpiffeCertValidatorConfig::type_url(),
                value: config.encode_to_vec(),
            }),
        }),
        ..CertificateValidationContext::default()
    }
}

/// B-4: a bundle without authorities is one that nobody can satisfy, and so is none.
fn anchors(bundle: Option<&Arc<Bundle>>, nobody: &Nobody) -> DataSource {
    let found = bundle.map(|bundle| bundle.x509.as_slice()).filter(|found| !found.is_empty());
    let found = found.unwrap_or(std::slice::from_ref(nobody.certificate()));
    inline(pem::certificates(found).into_bytes())
}

/// The slash keeps out trust domains whose names only begin alike.
fn members_of(domain: &TrustDomain) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(StringMatcher {
            match_pattern: Some(MatchPattern::Prefix(format!("{}/", domain.id()))),
            ignore_case: false,
        }),
        oid: String::new(),
    }
}

fn inline(bytes: Vec<u8>) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineBytes(bytes)), ..DataSource::default() }
}

#[cfg(test)]
mod tests {
    use rustls_pki_types::PrivatePkcs8KeyDer;
    use rustls_pki_types::pem::PemObject as _;

    use super::*;

    #[test]
    fn pem_is_read_back() {
        for length in [1, 47, 48, 49, 96, 500] {
            let der = vec![7; length];
            let text = pem::block("PRIVATE KEY", &der);
            assert_eq!(PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).unwrap().secret_pkcs8_der(), der);
            assert!(text.lines().all(|line| line.len() <= pem::LINE));
        }
    }

    #[test]
    fn parts_cut_elsewhere_have_another_digest() {
        assert_ne!(digest([b"ab".as_slice(), b"c"]), digest([b"a".as_slice(), b"bc"]));
        assert_eq!(digest([b"ab".as_slice()]), digest([b"ab".as_slice()]));
    }
}
