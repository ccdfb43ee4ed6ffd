//! What the tunnel shows of this node's workloads: their certificates, each with a signer that holds the key. The
//! tunnel's room sees no key's bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use enforcer_core::policy::model::Name;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::watch;
use tracing::error;

use super::svid::{Material, Svid};
use super::wallet::Wallet;
use crate::door::tunnel::Credential;
use crate::hex::hex;

/// Everybody's, by name.
type All = BTreeMap<Name, Arc<Credential>>;

/// Keeps `out` up to date with the wallet until nobody listens. A workload whose certificate did not change keeps
/// its very credential.
pub async fn supply(wallet: Wallet, out: watch::Sender<Arc<All>>) {
    let mut changes = wallet.changes();
    let mut known: BTreeMap<Name, (Arc<Material>, Arc<Credential>)> = BTreeMap::new();
    loop {
        known = renew(&wallet.granted(), &known);
        let all: All = known.iter().map(|(name, (_, one))| (Arc::clone(name), Arc::clone(one))).collect();
        out.send_replace(Arc::new(all));
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = out.closed() => return,
        }
    }
}

fn renew(
    granted: &BTreeMap<Name, Arc<Material>>,
    known: &BTreeMap<Name, (Arc<Material>, Arc<Credential>)>,
) -> BTreeMap<Name, (Arc<Material>, Arc<Credential>)> {
    let one = |(name, material): (&Name, &Arc<Material>)| {
        let same = known.get(name).filter(|(before, _)| Arc::ptr_eq(&before.svid, &material.svid));
        let credential = match same {
            Some((_, credential)) => Arc::clone(credential),
            None => Arc::new(credential(name, &material.svid)?),
        };
        Some((Arc::clone(name), (Arc::clone(material), credential)))
    };
    granted.iter().filter_map(one).collect()
}

fn credential(name: &Name, svid: &Svid) -> Option<Credential> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(svid.key.expose()));
    match any_supported_type(&key) {
        Ok(signer) => Some(Credential {
            id: svid.id.clone(),
            serial: hex(&svid.serial),
            not_after: svid.not_after,
            key: Arc::new(CertifiedKey::new(svid.chain.clone(), signer)),
        }),
        Err(error) => {
            error!(workload = %name, %error, "its key cannot sign for the tunnel");
            None
        }
    }
}
