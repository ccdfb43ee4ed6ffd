//! What a workload is given: its certificate and key, and what it may trust.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use super::secret::PrivateKey;

/// An X.509-SVID.
#[derive(Debug)]
pub struct Svid {
    /// Whom it names.
    pub id: SpiffeId,
    /// Leaf, node CA, then the tenant CA as its upstream authority signed it.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKey,
    /// Serial number of the leaf, big-endian.
    pub serial: Vec<u8>,
    /// Start of validity, since the Unix epoch.
    pub not_before: Duration,
    /// End of validity, since the Unix epoch.
    pub not_after: Duration,
}

/// Everything a workload is given at once (W-2: whole, never a difference).
#[derive(Clone, Debug)]
pub struct Material {
    /// Its SVID.
    pub svid: Arc<Svid>,
    /// Its own trust domain's bundle.
    pub bundle: Arc<Bundle>,
    /// Bundles of the trust domains that a rule lets it meet; never its own.
    pub federated: BTreeMap<TrustDomain, Arc<Bundle>>,
    /// Revocation lists by trust domain, one for each node CA, where this node has them all and any is not empty.
    pub crls: BTreeMap<TrustDomain, Crls>,
}

impl Material {
    /// True when it is of this tenant, with whose name its trust domain begins.
    #[must_use]
    pub fn is_of(&self, tenant: &str) -> bool {
        self.bundle.trust_domain.as_str().split('.').next() == Some(tenant)
    }
}

/// Revocation lists.
pub type Crls = Vec<CertificateRevocationListDer<'static>>;

/// Where a workload stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// The first certificate is on its way: who asks waits.
    Waiting,
    /// It has what it needs.
    Granted(Arc<Material>),
    /// It gets nothing, for this reason (for the log; a stranger is told less).
    Closed(Arc<str>),
}

/// A workload that a caller turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub workload: Name,
    /// Its tenant.
    pub tenant: Name,
}

/// Which control groups belong to which workloads of this node.
pub type Places = BTreeMap<u64, Member>;
