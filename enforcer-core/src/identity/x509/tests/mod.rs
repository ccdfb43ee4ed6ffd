//! Certificates for the tests of the doors: a small fleet, made anew in each test.

mod authorities;
mod chains;
mod leaves;
mod wrong;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::chain::{ChainError, Verified, verify};
use super::constraints::tests::value;
use crate::identity::bundle::{Bundle, Trust};
use crate::identity::signature::tests::Real;
use crate::identity::trust_domain::TrustDomain;

pub(super) const NOW: i64 = 1_800_000_000;
const HOUR: i64 = 3_600;

pub(super) const KEY_USAGE: &[u64] = &[2, 5, 29, 15];
pub(super) const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
pub(super) const NAME_CONSTRAINTS: &[u64] = &[2, 5, 29, 30];

pub(super) type Der = CertificateDer<'static>;

pub(super) fn since_epoch(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap())
}

pub(super) fn domain(name: &str) -> TrustDomain {
    name.parse().unwrap()
}

pub(super) fn extension(oid: &[u64], critical: bool, value: Vec<u8>) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value);
    extension.set_criticality(critical);
    extension
}

fn params(name: &str, hours: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(NOW - HOUR);
    params.not_after = at(NOW + hours * HOUR);
    params
}

pub(super) fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

pub(super) fn uri(uri: &str) -> SanType {
    SanType::URI(Ia5String::try_from(uri).unwrap())
}

/// A leaf as it should be.
pub(super) fn leaf(id: &str) -> CertificateParams {
    let mut params = params("workload", 1);
    params.subject_alt_names = vec![uri(id)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// An authority as it should be.
pub(super) fn authority(name: &str, domain: &str, hours: i64) -> CertificateParams {
    let mut params = params(name, hours);
    params.subject_alt_names = vec![uri(&format!("spiffe://{domain}"))];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// May sign for these hosts alone.
pub(super) fn permit(mut params: CertificateParams, hosts: &[&str]) -> CertificateParams {
    params.custom_extensions.push(extension(NAME_CONSTRAINTS, true, value(hosts, &[])));
    params
}

pub(super) fn path_length(mut params: CertificateParams, most: u8) -> CertificateParams {
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
    params
}

pub(super) struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

impl Ca {
    pub(super) fn new(params: CertificateParams) -> Self {
        Self { params, key: KeyPair::generate().unwrap() }
    }

    pub(super) fn self_signed(&self) -> Der {
        self.params.self_signed(&self.key).unwrap().der().clone()
    }

    pub(super) fn signs(&self, below: &Self) -> Der {
        self.sign(&below.params, &below.key)
    }

    pub(super) fn sign(&self, params: &CertificateParams, key: &KeyPair) -> Der {
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().clone()
    }

    /// A leaf with a key of its own.
    pub(super) fn issue(&self, params: &CertificateParams) -> Der {
        self.sign(params, &KeyPair::generate().unwrap())
    }
}

/// A root, the tenant red below it, and red's CA on one node.
pub(super) struct Fleet {
    pub(super) root: Ca,
    pub(super) tenant: Ca,
    pub(super) node: Ca,
}

impl Fleet {
    pub(super) fn new() -> Self {
        let domain = "red.fleet.example";
        Self {
            root: Ca::new(authority("root", "fleet.example", 1_000)),
            tenant: Ca::new(permit(authority("red", domain, 100), &[domain])),
            node: Ca::new(permit(path_length(authority("red on node-1", domain, 10), 0), &[domain])),
        }
    }

    /// Leaf, node CA, tenant CA as the root signed it.
    pub(super) fn chain(&self, leaf: &CertificateParams) -> Vec<Der> {
        vec![self.node.issue(leaf), self.tenant.signs(&self.node), self.root.signs(&self.tenant)]
    }

    /// Red's own authority, and nothing else.
    pub(super) fn trust(&self) -> Trust {
        trust("red.fleet.example", vec![self.tenant.self_signed()])
    }
}

pub(super) fn trust(name: &str, x509: Vec<Der>) -> Trust {
    let bundle =
        Bundle { trust_domain: domain(name), x509, jwt: Vec::new(), sequence: 1, refresh_hint_seconds: 300 };
    Trust { bundles: BTreeMap::from([(domain(name), Arc::new(bundle))]), ..Trust::default() }
}

pub(super) fn check(chain: &[Der], trust: &Trust) -> Result<Verified, ChainError> {
    check_at(chain, trust, NOW)
}

pub(super) fn check_at(chain: &[Der], trust: &Trust, now: i64) -> Result<Verified, ChainError> {
    verify(chain, trust, &domain("fleet.example"), since_epoch(now), &Real)
}
