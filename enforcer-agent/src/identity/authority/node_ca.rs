//! A node CA: the authority of one tenant on one node. The keeper issues the workloads' SVIDs with it, so this
//! is the hot path: nothing is parsed twice.

use std::fmt;
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use rcgen::{
    CertificateParams, CertificateRevocationListParams, Issuer, KeyUsagePurpose, RevokedCertParams,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use zeroize::Zeroizing;

use super::error::IssueError;
use super::key::EcKey;
use super::pack::{Pack, Unpack};
use super::parsed::Authority;
use super::profile::{self, Validity};
use crate::identity::secret::PrivateKey;
use crate::identity::svid::Svid;

/// What a sealed node CA begins with.
const SEALED: u8 = 1;

/// A node CA with its key.
pub struct NodeCa {
    chain: Vec<CertificateDer<'static>>,
    domain: TrustDomain,
    validity: Validity,
    key_id: Vec<u8>,
    issuer: Issuer<'static, EcKey>,
    leaf: CertificateParams,
}

impl fmt::Debug for NodeCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeCa")
            .field("domain", &self.domain)
            .field("validity", &self.validity)
            .finish_non_exhaustive()
    }
}

impl NodeCa {
    /// Puts together what the authority answered, and the key that was asked for.
    ///
    /// # Errors
    /// The chain does not begin with the certificate of an authority of one trust domain, or the key is another's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKey) -> Result<Self, IssueError> {
        let first = chain.first().ok_or_else(|| IssueError::Issuer("the chain is empty".to_owned()))?;
        let authority = Authority::parse(first).map_err(IssueError::Issuer)?;
        let key = EcKey::from_pkcs8(key.expose())?;
        if authority.key_bits != key.point() {
            return Err(IssueError::Key("it is not that of the certificate"));
        }
        let missing = |what: &str| IssueError::Issuer(what.to_owned());
        let domain = authority.domain.ok_or_else(|| missing("it names no trust domain (ID-7)"))?;
        let key_id = authority.key_id.ok_or_else(|| missing("it has no subject key identifier"))?;
        let name = authority.name.ok_or_else(|| missing("its subject cannot be written as an issuer"))?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name;
        params.key_identifier_method = profile::key_id(&key_id);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = Issuer::new(params, key);
        Ok(Self { domain, validity: authority.validity, key_id, issuer, leaf: profile::leaf(), chain })
    }

    /// Whose members it issues to.
    #[must_use]
    pub const fn domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// Start of its validity, since the Unix epoch.
    #[must_use]
    pub const fn not_before(&self) -> Duration {
        self.validity.not_before
    }

    /// End of its validity, since the Unix epoch: nothing that it issues lasts longer.
    #[must_use]
    pub const fn not_after(&self) -> Duration {
        self.validity.not_after
    }

    /// What it signs with: a test plays a thief.
    #[cfg(test)]
    pub(super) const fn issuer(&self) -> &Issuer<'static, EcKey> {
        &self.issuer
    }

    /// Its certificate and those above it.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// An SVID with a fresh key, in the trust domain of this CA.
    ///
    /// # Errors
    /// The ID is of another trust domain, or this CA is not valid now.
    pub fn issue_svid(&self, id: &SpiffeId, now: Duration, lifetime: Duration) -> Result<Svid, IssueError> {
        if id.trust_domain() != self.domain.as_str() {
            return Err(IssueError::ForeignDomain { id: id.to_string(), domain: self.domain.to_string() });
        }
        let validity = Validity::from_now(now, lifetime).within(self.validity, now)?;
        let key = EcKey::generate()?;
        let mut params = self.leaf.clone();
        params.subject_alt_names.push(profile::uri(id.as_str())?);
        let serial = profile::date(&mut params, validity)?;
        let leaf = params.signed_by(&key, &self.issuer)?;
        let mut chain = Vec::with_capacity(self.chain.len() + 1);
        chain.push(leaf.into());
        chain.extend(self.chain.iter().cloned());
        Ok(Svid {
            id: id.clone(),
            chain,
            key: key.private()?,
            serial,
            not_before: whole_seconds(validity.not_before),
            not_after: whole_seconds(validity.not_after),
        })
    }

    /// A list of what this CA has taken back, by serial number. It ends when the CA does, at the latest.
    ///
    /// # Errors
    /// `next_update` is not after `now`.
    pub fn crl(
        &self,
        serials: &[Vec<u8>],
        number: u64,
        now: Duration,
        next_update: Duration,
    ) -> Result<CertificateRevocationListDer<'static>, IssueError> {
        let this_update = profile::time(now.saturating_sub(profile::BACKDATE));
        let revoked = |serial: &Vec<u8>| RevokedCertParams {
            serial_number: SerialNumber::from(serial.clone()),
            revocation_time: this_update,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update,
            next_update: profile::time(next_update.min(self.validity.not_after)),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: profile::key_id(&self.key_id),
        };
        Ok(list.signed_by(&self.issuer)?.into())
    }

    /// Everything, for the vault.
    ///
    /// # Errors
    /// The library cannot write the key.
    pub fn to_sealed(&self) -> Result<Zeroizing<Vec<u8>>, IssueError> {
        let key = self.issuer.key().pkcs8()?;
        let mut pack = Pack::new(SEALED, &self.chain, &key, 0);
        pack.chain(&self.chain);
        pack.bytes(&key);
        Ok(pack.done())
    }

    /// Back from the vault.
    ///
    /// # Errors
    /// It is not what [`Self::to_sealed`] wrote.
    pub fn from_sealed(bytes: &[u8]) -> Result<Self, IssueError> {
        let mut unpack = Unpack::new(SEALED, bytes)?;
        let chain = unpack.chain()?;
        let key = PrivateKey::new(Zeroizing::new(unpack.bytes()?.to_vec()));
        unpack.end()?;
        Self::new(chain, &key)
    }
}

/// As a certificate says it.
const fn whole_seconds(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}
