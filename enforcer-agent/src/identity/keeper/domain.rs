//! One tenant's trust domain on this node: its node CAs, when the next is due, and what was revoked of what they
//! signed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::Bundle;
use enforcer_core::identity::schedule::{Term, back_off, has_come};
use enforcer_core::policy::model::Name;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::door::upstream::UpstreamError;
use crate::identity::authority::NodeCa;
use crate::identity::svid::Svid;

/// How long a revocation list says it is good for; a new one is signed at every change and at half of it.
const CRL_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A trust domain with a workload on this node.
#[derive(Debug, Default)]
pub(super) struct Domain {
    /// The one that signs first; older ones until they end, to sign revocation lists.
    cas: Vec<(Arc<NodeCa>, Term)>,
    /// A new one is on its way.
    pub(super) is_asked: bool,
    /// Failures in a row, the last reason, and when to ask again.
    pub(super) trouble: Option<Trouble>,
    /// Certificates that were taken away before their end.
    pub(super) revoked: RevokedSerials,
    /// Workloads whose certificate no known node CA has signed: while there are any, the lists are not complete.
    pub(super) unlisted: BTreeSet<Name>,
    /// Signed anew when something above changes, and before they run out.
    pub(super) crls: Vec<CertificateRevocationListDer<'static>>,
    /// When they were signed.
    signed_at: Duration,
}

/// Why there is no new node CA.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) failures: u32,
    pub(super) error: UpstreamError,
    pub(super) again_at: Duration,
}

/// What a revocation list holds, as the vault keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RevokedSerials {
    /// Grows with every list.
    pub(super) number: u64,
    pub(super) entries: Vec<RevokedSerial>,
}

/// One certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RevokedSerial {
    /// SHA-256 of the certificate of the node CA that signed it.
    issuer: [u8; 32],
    serial: Vec<u8>,
    /// End of its validity in seconds since the Unix epoch: after it, it need not be listed.
    not_after: u64,
}

impl RevokedSerial {
    /// Of a certificate that was served.
    pub(super) fn of(svid: &Svid) -> Option<Self> {
        let issuer = digest(svid.chain.get(1)?);
        Some(Self { issuer, serial: svid.serial.clone(), not_after: svid.not_after.as_secs() })
    }

    pub(super) const fn has_ended(&self, now: Duration) -> bool {
        self.not_after <= now.as_secs()
    }
}

fn digest(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

impl Domain {
    /// Without a node CA, which is being looked for.
    pub(super) fn new() -> Self {
        Self { is_asked: true, ..Self::default() }
    }

    /// Adds what was revoked before the agent started.
    pub(super) fn recall(&mut self, before: RevokedSerials, now: Duration) {
        self.revoked.number = self.revoked.number.max(before.number);
        self.revoke(before.entries, now);
    }

    /// The node CA that signs now, if it holds.
    pub(super) fn signer(&self, now: Duration) -> Option<&Arc<NodeCa>> {
        self.cas.first().filter(|(_, term)| term.holds(now)).map(|(ca, _)| ca)
    }

    /// How long the newest node CA lasts.
    pub(super) fn term(&self) -> Option<&Term> {
        self.cas.first().map(|(_, term)| term)
    }

    /// True when a new node CA should be asked for now.
    pub(super) fn wants_ca(&self, now: Duration) -> bool {
        let is_due = self.cas.first().is_none_or(|(_, term)| term.is_due(now));
        let may_ask = self.trouble.as_ref().is_none_or(|trouble| has_come(trouble.again_at, now));
        is_due && may_ask && !self.is_asked
    }

    /// Takes a new node CA, which signs from now on.
    pub(super) fn take(&mut self, ca: Arc<NodeCa>, now: Duration, die: f64) {
        let term = Term::new(ca.not_before(), ca.not_after(), die);
        self.cas.retain(|(_, term)| now < term.not_after);
        self.cas.insert(0, (ca, term));
        self.trouble = None;
        self.sign_lists(now);
    }

    /// Keeps the node CAs that hang from an authority in the bundle.
    pub(super) fn keep_anchored(&mut self, bundle: &Bundle) {
        self.cas.retain(|(ca, _)| is_anchored(ca.chain(), bundle));
    }

    /// Takes note of whether a node CA that is known has signed what a workload is served.
    pub(super) fn note_issuer(&mut self, workload: &Name, svid: &Svid) {
        let issuer = svid.chain.get(1);
        if self.cas.iter().any(|(ca, _)| ca.chain().first() == issuer) {
            self.unlisted.remove(workload);
        } else {
            self.unlisted.insert(Arc::clone(workload));
        }
    }

    /// Takes note of a failure.
    pub(super) fn fail(&mut self, error: UpstreamError, now: Duration, die: f64) {
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures).saturating_add(1);
        self.trouble = Some(Trouble { failures, error, again_at: now + back_off(failures, die) });
    }

    /// Asks again at the next occasion, whatever failed before.
    pub(super) fn forgive(&mut self) {
        self.trouble = None;
    }

    /// Lists certificates as taken away. True when one was not listed before.
    pub(super) fn revoke(&mut self, entries: Vec<RevokedSerial>, now: Duration) -> bool {
        self.revoked.entries.retain(|entry| !entry.has_ended(now));
        let before = self.revoked.entries.len();
        let known: BTreeSet<Vec<u8>> =
            self.revoked.entries.iter().map(|entry| entry.serial.clone()).collect();
        let news =
            entries.into_iter().filter(|entry| !entry.has_ended(now) && !known.contains(&entry.serial));
        self.revoked.entries.extend(news);
        let is_news = self.revoked.entries.len() > before;
        if is_news {
            self.sign_lists(now);
        }
        is_news
    }

    /// True when half of the lists' time is over, or the clock was set back to before it.
    pub(super) fn lists_are_due(&self, now: Duration) -> bool {
        !self.crls.is_empty() && (now >= self.signed_at + CRL_LIFE / 2 || now < self.signed_at)
    }

    /// A list for each node CA as soon as there is anything to list: who checks lists asks for one of each issuer.
    pub(super) fn sign_lists(&mut self, now: Duration) {
        if self.revoked.entries.is_empty() {
            self.crls.clear();
            return;
        }
        self.revoked.number += 1;
        self.signed_at = now;
        let signed = self.cas.iter().filter_map(|(ca, _)| {
            let issuer = ca.chain().first().map(|issuer| digest(issuer));
            let of_this = |entry: &&RevokedSerial| Some(entry.issuer) == issuer;
            let serials: Vec<Vec<u8>> =
                self.revoked.entries.iter().filter(of_this).map(|entry| entry.serial.clone()).collect();
            let list = ca.crl(&serials, self.revoked.number, now, now + CRL_LIFE);
            list.inspect_err(|error| tracing::error!(%error, "a revocation list could not be signed")).ok()
        });
        self.crls = signed.collect();
    }
}

/// True when the last certificate of a chain, the tenant CA as its root signed it, has the key of an authority in
/// the bundle.
pub(super) fn is_anchored(chain: &[CertificateDer<'_>], bundle: &Bundle) -> bool {
    let Some(last) = chain.last().and_then(|last| key_of(last)) else { return false };
    bundle.x509.iter().any(|anchor| key_of(anchor).is_some_and(|key| key == last))
}

fn key_of(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.public_key().raw.to_vec())
}
