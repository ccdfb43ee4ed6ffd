//! What of the keeper survives a restart, in the vault: SVIDs, node CAs, revoked serial numbers. A workload's
//! certificate that cannot be read is issued anew; a node CA that cannot be read is asked for anew.

use std::sync::Arc;

use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::Name;
use sha2::{Digest as _, Sha256};
use tracing::warn;

use super::domain::RevokedSerials;
use crate::hex::hex;
use crate::identity::authority::{NodeCa, open_svid, seal_svid};
use crate::identity::custody::{CustodyError, Durability, Vault};
use crate::identity::svid::Svid;

const NODE_CA: &str = "node-ca";
/// The one before, which signs revocation lists until it ends.
const NODE_CA_BEFORE: &str = "node-ca-before";
const REVOKED: &str = "revoked-serials";

/// The keeper's part of the vault.
#[derive(Clone, Debug)]
pub(super) struct Shelf(pub(super) Arc<Vault>);

impl Shelf {
    pub(super) fn svid(&self, domain: &TrustDomain, workload: &Name) -> Option<Svid> {
        let sealed = self.read(domain, &item(workload))?;
        open_svid(&sealed).inspect_err(|error| warn!(%domain, %workload, %error, "issued anew")).ok()
    }

    /// Lost in a crash it is issued anew, so nobody waits for the disk.
    pub(super) fn put_svid(&self, domain: &TrustDomain, workload: &Name, svid: &Svid) {
        self.write(domain, &item(workload), &seal_svid(svid), Durability::Lazy);
    }

    pub(super) fn remove_svid(&self, domain: &TrustDomain, workload: &Name) {
        if let Err(error) = self.0.remove(domain.as_str(), &item(workload)) {
            warn!(%domain, %workload, %error, "a certificate that is no longer served stays on disk");
        }
    }

    /// The latest, and the one before.
    pub(super) fn node_cas(&self, domain: &TrustDomain) -> [Option<NodeCa>; 2] {
        [NODE_CA, NODE_CA_BEFORE].map(|item| {
            let sealed = self.read(domain, item)?;
            NodeCa::from_sealed(&sealed)
                .inspect_err(|error| warn!(%domain, item, %error, "does without"))
                .ok()
        })
    }

    pub(super) fn put_node_ca(&self, domain: &TrustDomain, ca: &NodeCa) {
        if let Some(before) = self.read(domain, NODE_CA) {
            self.write(domain, NODE_CA_BEFORE, &before, Durability::Synced);
        }
        match ca.to_sealed() {
            Ok(sealed) => self.write(domain, NODE_CA, &sealed, Durability::Synced),
            Err(error) => warn!(%domain, %error, "a node CA is not kept"),
        }
    }

    pub(super) fn revoked(&self, domain: &TrustDomain) -> RevokedSerials {
        let sealed = self.read(domain, REVOKED);
        sealed.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    pub(super) fn put_revoked(&self, domain: &TrustDomain, revoked: &RevokedSerials) {
        match serde_json::to_vec(revoked) {
            Ok(bytes) => self.write(domain, REVOKED, &bytes, Durability::Synced),
            Err(error) => warn!(%domain, %error, "revoked serial numbers are not kept"),
        }
    }

    fn read(&self, domain: &TrustDomain, item: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
        let told = |error: &CustodyError| warn!(%domain, item, %error, "cannot be read from the vault");
        self.0.get(domain.as_str(), item).inspect_err(told).ok().flatten()
    }

    fn write(&self, domain: &TrustDomain, item: &str, bytes: &[u8], durability: Durability) {
        if let Err(error) = self.0.put(domain.as_str(), item, bytes, durability) {
            warn!(%domain, item, %error, "is served, and would not survive a restart");
        }
    }
}

/// A workload's name can be longer than a file's.
fn item(workload: &Name) -> String {
    let digest = Sha256::digest(workload.as_bytes());
    let hex = hex(&digest[..16]);
    format!("svid-{hex}")
}
