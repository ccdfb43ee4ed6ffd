//! Whether a peer's chain vouches for somebody, asked of the identity room and remembered: a flow costs no
//! signature checks, and a resumed session is held against the same rules as a new one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use enforcer_core::identity::bundle::Trust;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::door::identity::{Peer, Unverified, VerifyPeer};

/// Chains that are remembered. When there are more, all are forgotten.
const KNOWN_MAX: usize = 4096;

/// Time since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// SHA-256 of a chain, each certificate with its length.
type Digest = [u8; 32];

/// Checks chains, and remembers those that were good for as long as the same trust is in force.
pub struct PeerCheck {
    verify: VerifyPeer,
    trust: watch::Receiver<Arc<Trust>>,
    clock: Clock,
    known: Mutex<Known>,
}

struct Known {
    /// What the answers go by. Held, so that no later one can lie at the same address.
    under: Arc<Trust>,
    peers: HashMap<Digest, Peer>,
}

impl PeerCheck {
    /// `trust` is what `verify` goes by.
    #[must_use]
    pub fn new(verify: VerifyPeer, trust: watch::Receiver<Arc<Trust>>, clock: Clock) -> Self {
        let known = Mutex::new(Known { under: Arc::clone(&trust.borrow()), peers: HashMap::new() });
        Self { verify, trust, clock, known }
    }

    /// Whom a chain names, leaf first.
    ///
    /// # Errors
    /// The chain vouches for nobody, now.
    pub fn peer(&self, chain: &[CertificateDer<'_>]) -> Result<Peer, Unverified> {
        let (digest, now) = (digest(chain), (self.clock)());
        // Taken before the check: an answer that goes by something newer is at worst forgotten too early.
        let trust = Arc::clone(&self.trust.borrow());
        if let Some(peer) = self.recall(&digest, &trust)
            && now <= peer.not_after
        {
            return Ok(peer);
        }
        let peer = (self.verify)(chain, now)?;
        self.remember(digest, &trust, &peer);
        Ok(peer)
    }

    /// Time since the Unix epoch.
    #[must_use]
    pub fn now(&self) -> Duration {
        (self.clock)()
    }

    fn recall(&self, digest: &Digest, trust: &Arc<Trust>) -> Option<Peer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&known.under, trust) { known.peers.get(digest).cloned() } else { None }
    }

    fn remember(&self, digest: Digest, trust: &Arc<Trust>, peer: &Peer) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&known.under, trust) {
            *known = Known { under: Arc::clone(trust), peers: HashMap::new() };
        }
        if known.peers.len() >= KNOWN_MAX {
            known.peers.clear();
        }
        known.peers.insert(digest, peer.clone());
    }
}

impl fmt::Debug for PeerCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerCheck").finish_non_exhaustive()
    }
}

fn digest(chain: &[CertificateDer<'_>]) -> Digest {
    let mut context = Context::new(&SHA256);
    for certificate in chain {
        context.update(&certificate.len().to_be_bytes());
        context.update(certificate);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}
