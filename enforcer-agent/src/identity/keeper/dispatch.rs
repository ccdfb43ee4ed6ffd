//! Handing work to tasks: a few at a time, in batches, the authority asked once for all who wait.

use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::time::timeout;

use super::run::Keeper;
use super::task::{Outcome, Wish};
use super::{BATCH_MAX, TASKS_MAX, issue};
use crate::door::upstream::UpstreamError;
use crate::identity::authority::{NodeCa, request};
use crate::identity::svid::Svid;

/// How long the authority may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Keeper {
    /// Starts what can be started.
    pub(super) fn dispatch(&mut self) {
        while self.running < TASKS_MAX && (self.start_looking() || self.start_issuing()) {
            self.running += 1;
        }
    }

    fn start_looking(&mut self) -> bool {
        let Some((domain, wishes)) = batch(&mut self.unseen) else { return false };
        let (shelf, outcomes) = (self.shelf.clone(), self.outcomes.clone());
        let (verify, now) = (Arc::clone(&self.verify), (self.clock)());
        let is_good: Arc<dyn Fn(&Svid) -> bool + Send + Sync> =
            Arc::new(move |svid| verify(&svid.chain, now).is_ok());
        tokio::task::spawn_blocking(move || {
            let found = issue::look(&shelf, &domain, wishes, &is_good);
            let _stopping = outcomes.blocking_send(Outcome::Looked(domain, found));
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
        let (shelf, outcomes, name) = (self.shelf.clone(), self.outcomes.clone(), name.clone());
        let (now, lifetime) = ((self.clock)(), self.lifetime);
        tokio::task::spawn_blocking(move || {
            let issued = issue::issue(&ca, &shelf, &name, wishes, now, lifetime);
            let _stopping = outcomes.blocking_send(Outcome::Issued(issued));
        });
        true
    }

    /// Looks on the shelf for a node CA that still hangs from an authority in the bundle; asks for one otherwise.
    pub(super) fn look_for_ca(&mut self, name: TrustDomain) {
        let (shelf, now) = (self.shelf.clone(), (self.clock)());
        let bundle = self.trust.bundles.get(&name).cloned();
        let (ask, outcomes) = (self.node_ca(name.clone()), self.outcomes.clone());
        tokio::spawn(async move {
            let looked = tokio::task::spawn_blocking({
                let name = name.clone();
                move || shelf.node_cas(&name)
            });
            let is_good = |ca: &NodeCa| {
                let is_anchored =
                    bundle.as_ref().is_some_and(|bundle| super::domain::is_anchored(ca.chain(), bundle));
                is_anchored && ca.not_before() <= now && now < ca.not_after()
            };
            let [latest, before] =
                looked.await.unwrap_or_default().map(|ca| ca.filter(is_good).map(Arc::new));
            let answer = match latest {
                Some(ca) => Ok(ca),
                None => ask.await,
            };
            let _stopping = outcomes.send(Outcome::NodeCa(name, answer, before)).await;
        });
    }

    pub(super) fn ask_for_ca(&mut self, name: TrustDomain) {
        if let Some(domain) = self.domains.get_mut(&name) {
            domain.is_asked = true;
        }
        let (ask, outcomes) = (self.node_ca(name.clone()), self.outcomes.clone());
        tokio::spawn(async move {
            let _stopping = outcomes.send(Outcome::NodeCa(name, ask.await, None)).await;
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
