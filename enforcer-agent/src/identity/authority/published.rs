//! What a trust domain publishes: its bundle, and how one is told from another.

use std::sync::Arc;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::trust_domain::TrustDomain;
use sha2::{Digest as _, Sha256};

use super::domain::Tools;
use super::member::JwtSigner;
use super::rotation::{self, Entry};
use super::store::DomainState;
use crate::hex::hex;

/// A bundle without keys: everything is revoked (B-4).
pub(super) fn empty(name: &TrustDomain, tools: Tools<'_>) -> Bundle {
    let seconds = tools.config.refresh_hint.as_secs();
    Bundle {
        trust_domain: name.clone(),
        x509: Vec::new(),
        jwt: Vec::new(),
        sequence: 0,
        refresh_hint_seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

/// The bundle of a trust domain's keys, the one that signs first.
pub(super) fn full(name: &TrustDomain, state: &DomainState, tools: Tools<'_>) -> Bundle {
    let now = tools.now.as_secs();
    let x509 = rotation::published(&state.cas, now).into_iter().map(|entry| entry.key.ca.anchor.clone());
    let jwt = rotation::published(&state.jwt, now)
        .into_iter()
        .map(|entry: &Entry<Arc<JwtSigner>>| entry.key.public());
    Bundle { x509: x509.collect(), jwt: jwt.collect(), ..empty(name, tools) }
}

/// Of everything that readers of a bundle see but its sequence.
pub(super) fn digest(bundle: &Bundle) -> String {
    let mut hash = Sha256::new();
    for certificate in &bundle.x509 {
        hash.update(b"x509");
        hash.update(Sha256::digest(certificate));
    }
    for key in &bundle.jwt {
        hash.update(b"jwt");
        hash.update(Sha256::digest(&key.id));
    }
    hash.update(bundle.refresh_hint_seconds.to_be_bytes());
    hex(&hash.finalize())
}
