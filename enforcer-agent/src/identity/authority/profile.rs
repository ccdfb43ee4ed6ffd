//! What our certificates look like (X509-SVID, sections 2 to 4). It decides nothing: whom to issue to is decided
//! before.

use std::time::Duration;

use aws_lc_rs::rand;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyUsagePurpose, SanType, SerialNumber,
};
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

use super::der;
use super::error::IssueError;
use crate::hex::hex;

/// How far before now a certificate begins: clocks differ.
pub(super) const BACKDATE: Duration = Duration::from_secs(60);
/// How far before now a root or a tenant CA begins, unless that is much of its life.
const AUTHORITY_BACKDATE: Duration = Duration::from_secs(48 * 3600);
const SERIAL_BYTES: usize = 16;
/// Characters of a name in a subject (RFC 5280, ub-common-name).
const NAME_MAX_BYTES: usize = 64;
const NAME_CONSTRAINTS_OID: [u64; 4] = [2, 5, 29, 30];
/// The last second that a certificate can name: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// From when until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::identity) struct Validity {
    pub(super) not_before: Duration,
    pub(super) not_after: Duration,
}

impl Validity {
    /// From a minute ago, unless that is much of its life, for as long as `lifetime`. Half of a certificate's life,
    /// counted from its beginning, must not be over when it is issued.
    pub(super) fn from_now(now: Duration, lifetime: Duration) -> Self {
        let early = BACKDATE.min(lifetime / 10);
        Self { not_before: now.saturating_sub(early), not_after: now.saturating_add(lifetime) }
    }

    /// An authority's: it begins so early that a clock that is set back by a day still finds it valid, and nothing has
    /// to be replaced for it.
    pub(super) fn of_authority(now: Duration, lifetime: Duration) -> Self {
        let early = AUTHORITY_BACKDATE.min(lifetime / 10).max(BACKDATE);
        Self { not_before: now.saturating_sub(early), not_after: now.saturating_add(lifetime) }
    }

    /// No certificate outlives its issuer, nor is older.
    pub(super) fn within(self, issuer: Self, now: Duration) -> Result<Self, IssueError> {
        if now < issuer.not_before || now >= issuer.not_after {
            return Err(IssueError::IssuerEnded {
                not_after: issuer.not_after.as_secs(),
                now: now.as_secs(),
            });
        }
        Ok(Self {
            not_before: self.not_before.max(issuer.not_before),
            not_after: self.not_after.min(issuer.not_after),
        })
    }
}

/// What an authority may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// Signs tenant CAs.
    Root,
    /// Signs node CAs.
    Tenant,
    /// Signs leaves: a node CA, and the fleet's own.
    Last,
}

/// An authority's certificate: X-4 (an ID without a path; ID-7), X-6 (cA), X-7 (keyUsage critical, keyCertSign).
/// with a constraint, it can sign for the host `constraint` alone.
pub(super) fn authority(
    domain: &TrustDomain,
    subject: DistinguishedName,
    rank: Rank,
    constraint: Option<&TrustDomain>,
) -> Result<CertificateParams, IssueError> {
    let mut params = blank();
    params.distinguished_name = subject;
    params.subject_alt_names = vec![uri(&domain.id())?];
    params.is_ca = IsCa::Ca(match rank {
        Rank::Root => BasicConstraints::Unconstrained,
        Rank::Tenant => BasicConstraints::Constrained(1),
        Rank::Last => BasicConstraints::Constrained(0),
    });
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if let Some(host) = constraint {
        let content = der::permit_uri_host(host.as_str());
        let mut extension = CustomExtension::from_oid_content(&NAME_CONSTRAINTS_OID, content);
        extension.set_criticality(true);
        params.custom_extensions = vec![extension];
    }
    Ok(params)
}

/// A leaf's certificate: X-1 (one URI), X-3 (no subject, so the names are critical), X-6 (cA false), X-7
/// (digitalSignature alone), X-8 (serverAuth and clientAuth).
pub(super) fn leaf() -> CertificateParams {
    let mut params = blank();
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn blank() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.use_authority_key_identifier_extension = true;
    params
}

/// Says from when until when, under a fresh serial number, which is returned.
pub(super) fn date(params: &mut CertificateParams, validity: Validity) -> Result<Vec<u8>, IssueError> {
    let serial = serial()?;
    params.serial_number = Some(SerialNumber::from(serial.clone()));
    params.not_before = time(validity.not_before);
    params.not_after = time(validity.not_after);
    Ok(serial)
}

/// Sixteen random bytes: positive and never shorter.
fn serial() -> Result<Vec<u8>, IssueError> {
    let mut bytes = [0; SERIAL_BYTES];
    rand::fill(&mut bytes).map_err(|_| IssueError::Library("give random bytes"))?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(bytes.to_vec())
}

/// A time as certificates have it, in seconds.
pub(super) fn time(since_epoch: Duration) -> OffsetDateTime {
    let seconds = i64::try_from(since_epoch.as_secs().min(LAST_SECOND)).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A URI among the names.
pub(super) fn uri(text: &str) -> Result<SanType, IssueError> {
    let text = Ia5String::try_from(text).map_err(|_| IssueError::Name(text.to_owned()))?;
    Ok(SanType::URI(text))
}

/// A subject: whose authority it is, and which.
pub(super) fn subject(organisation: &str, common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, shortened(organisation));
    name.push(DnType::CommonName, shortened(common));
    name
}

/// A name that fits into a subject: a long one keeps its beginning, and a digest of the whole.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_MAX_BYTES {
        return name.to_owned();
    }
    let digest = hex(&Sha256::digest(name)[..8]);
    let kept: String = name.chars().filter(char::is_ascii).take(NAME_MAX_BYTES - digest.len() - 1).collect();
    format!("{kept}-{digest}")
}

/// The key identifier of an issuer, as its own certificate has it.
pub(super) fn key_id(identifier: &[u8]) -> KeyIdMethod {
    KeyIdMethod::PreSpecified(identifier.to_vec())
}
