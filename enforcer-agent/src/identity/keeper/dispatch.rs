//! Handing work to tasks: a few at a time, in batches, the authority asked once for all who wait.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::timeout;

use super::domain::is_anchored;
use super::run::Keeper;
use super::task::{Outcome, Shelved, Wish};
use super::{BATCH_MAX, TASKS_MAX, issue};
use crate::door::upstream::UpstreamError;
use crate::identity::authority::{NodeCa, request};
use crate::identity::svid::Svid;

/// How long the authority may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Keeper {
    /// Starts what can be started.
    pub(super) fn dispatch(&mut self) {
        self.list_struck();
        self.start_chores();
        while self.running < TASKS_MAX && (self.start_looking() || self.start_issuing()) {
            self.running += 1;
        }
    }

    fn start_looking(&mut self) -> bool {
        let Some((domain, wishes)) = batch(&mut self.unseen) else { return false };
        let shelf = self.shelf.clone();
        let (verify, now) = (Arc::clone(&self.verify), (self.clock)());
        let is_good: Arc<dyn Fn(&Svid) -> bool + Send + Sync> =
            Arc::new(move |svid| verify(&svid.chain, now).is_ok());
        let nothing = wishes.iter().map(|wish| (wish.clone(), None)).collect();
        self.away(Outcome::Looked(domain.clone(), nothing), move || {
            let found = issue::look(&shelf, &domain, wishes, &is_good);
            Outcome::Looked(domain, found)
        });
        true
    }

    /// Takes the first trust domain with wishes and a node CA. Where there is none, it is asked for; where the
    /// authority has just failed, the wishes fail with it.
    fn start_issuing(&mut self) -> bool {
        let now = (self.clock)();
        let waiting: Vec<TrustDomain> = self.wanted.keys().cloned().collect();
        for name in waiting {
            let Some(domain) = self.domains.get(&name) else {
                self.wanted.remove(&name);
                continue;
            };
            if let Some(ca) = domain.signer(now) {
                let ca = Arc::clone(ca);
                return self.issue(ca, &name);
            }
            if domain.wants_ca(now) {
                self.ask_for_ca(name);
            } else if let (Some(trouble), false) = (domain.trouble.clone(), domain.is_asked) {
                for wish in self.wanted.remove(&name).unwrap_or_default() {
                    self.failed(&wish, &trouble.error);
                }
            }
        }
        false
    }

    fn issue(&mut self, ca: Arc<NodeCa>, name: &TrustDomain) -> bool {
        let Some(wishes) = batch_of(&mut self.wanted, name) else { return false };
        let (shelf, name) = (self.shelf.clone(), name.clone());
        let (now, lifetime) = ((self.clock)(), self.lifetime);
        let failed = |wish: &Wish| (wish.clone(), Err("issuing panicked".to_owned()));
        let nothing = wishes.iter().map(failed).collect();
        self.away(Outcome::Issued(nothing), move || {
            Outcome::Issued(issue::issue(&ca, &shelf, &name, wishes, now, lifetime))
        });
        true
    }

    /// Looks for what the vault has of a trust domain: node CAs that still hang from an authority in the bundle.
    pub(super) fn look_on_shelf(&mut self, name: TrustDomain) {
        let (shelf, now) = (self.shelf.clone(), (self.clock)());
        let bundle = self.trust.bundles.get(&name).cloned();
        let is_good = move |ca: &NodeCa| {
            let is_anchored = bundle.as_ref().is_some_and(|bundle| is_anchored(ca.chain(), bundle));
            is_anchored && ca.not_before() <= now && now < ca.not_after()
        };
        let nothing = Outcome::Shelved(name.clone(), Shelved::default());
        self.away(nothing, move || {
            let [latest, before] = shelf.node_cas(&name).map(|ca| ca.filter(|ca| is_good(ca)).map(Arc::new));
            let revoked = shelf.revoked(&name);
            Outcome::Shelved(name, Shelved { latest, before, revoked })
        });
    }

    /// Does something that may wait for the disk, and learns what came of it; `instead` when it panics.
    pub(super) fn away(&self, instead: Outcome, work: impl FnOnce() -> Outcome + Send + 'static) {
        let outcomes = self.outcomes.clone();
        let done = tokio::task::spawn_blocking(work);
        tokio::spawn(async move {
            let outcome = done.await.unwrap_or(instead);
            let _stopping = outcomes.send(outcome).await;
        });
    }

    pub(super) fn ask_for_ca(&mut self, name: TrustDomain) {
        if let Some(domain) = self.domains.get_mut(&name) {
            domain.is_asked = true;
        }
        let (ask, outcomes) = (self.node_ca(name.clone()), self.outcomes.clone());
        tokio::spawn(async move {
            let _stopping = outcomes.send(Outcome::NodeCa(name, ask.await)).await;
        });
    }

    /// A key of this node's own, and the authority's signature for it.
    fn node_ca(
        &self,
        name: TrustDomain,
    ) -> impl Future<Output = Result<Arc<NodeCa>, UpstreamError>> + Send + 'static {
        let (upstream, shelf, node) = (Arc::clone(&self.upstream), self.shelf.clone(), self.node.clone());
        async move {
            let (key, csr) = request().map_err(|error| UpstreamError::Away(error.to_string()))?;
            let chain = in_time(upstream.node_ca(&node, &name, &csr)).await?;
            let ca = NodeCa::new(chain, &key).map_err(|error| UpstreamError::Refused(error.to_string()))?;
            let ca = Arc::new(ca);
            let kept = Arc::clone(&ca);
            let _panicked = tokio::task::spawn_blocking(move || shelf.put_node_ca(&name, &kept)).await;
            Ok(ca)
        }
    }

    pub(super) fn ask_for_own(&self) {
        let (upstream, node, outcomes) =
            (Arc::clone(&self.upstream), self.node.clone(), self.outcomes.clone());
        tokio::spawn(async move {
            let own = async {
                let (key, csr) = request().map_err(|error| UpstreamError::Away(error.to_string()))?;
                let chain = in_time(upstream.node_svid(&node, &csr)).await?;
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.expose()).clone_key());
                let signer =
                    any_supported_type(&key).map_err(|error| UpstreamError::Away(error.to_string()))?;
                Ok(Arc::new(CertifiedKey::new(chain, signer)))
            };
            let _stopping = outcomes.send(Outcome::Own(own.await)).await;
        });
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, UpstreamError>>) -> Result<T, UpstreamError> {
    let late = || UpstreamError::Away(format!("no answer within {} s", ANSWER_MAX.as_secs()));
    timeout(ANSWER_MAX, asked).await.map_err(|_| late())?
}

type Wishes = std::collections::BTreeMap<TrustDomain, Vec<Wish>>;

fn batch(wishes: &mut Wishes) -> Option<(TrustDomain, Vec<Wish>)> {
    let domain = wishes.keys().next()?.clone();
    let taken = batch_of(wishes, &domain)?;
    Some((domain, taken))
}

fn batch_of(wishes: &mut Wishes, domain: &TrustDomain) -> Option<Vec<Wish>> {
    let list = wishes.get_mut(domain)?;
    let taken = list.split_off(list.len().saturating_sub(BATCH_MAX));
    if list.is_empty() {
        wishes.remove(domain);
    }
    Some(taken)
}
