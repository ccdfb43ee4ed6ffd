//! What the identity room sees of the policy in force: who is entitled to what, who is here, and which control
//! group is whose.

use std::collections::BTreeSet;
use std::sync::Arc;

use enforcer_core::identity::entitle::{Entitlements, entitle};
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::policy::model::{Name, Policy};
use tokio::sync::watch;

use crate::door::policy::InForce;
use crate::identity::keeper::Scene;
use crate::identity::svid::{Member, Places};

/// The latest of each; who holds a receiver is woken when it changes.
#[derive(Debug)]
pub(super) struct Views {
    fleet: TrustDomain,
    policy: Arc<Policy>,
    pub(super) entitlements: watch::Sender<Arc<Entitlements>>,
    pub(super) scenes: watch::Sender<Arc<Scene>>,
    pub(super) places: watch::Sender<Arc<Places>>,
}

impl Views {
    /// As it is now.
    pub(super) fn of(in_force: &InForce, fleet: TrustDomain) -> Self {
        let policy = Arc::clone(&in_force.current.policy);
        let entitlements = Arc::new(entitle(&policy, &fleet));
        let scene = Scene { entitlements: Arc::clone(&entitlements), present: Arc::new(present(in_force)) };
        Self {
            fleet,
            policy,
            entitlements: watch::Sender::new(entitlements),
            scenes: watch::Sender::new(Arc::new(scene)),
            places: watch::Sender::new(Arc::new(places(in_force))),
        }
    }

    /// Follows until the policy room is closed.
    pub(super) async fn follow(mut self, mut in_force: watch::Receiver<Arc<InForce>>) {
        while in_force.changed().await.is_ok() {
            let latest = Arc::clone(&in_force.borrow_and_update());
            self.update(&latest);
        }
    }

    fn update(&mut self, in_force: &InForce) {
        if !Arc::ptr_eq(&self.policy, &in_force.current.policy) {
            self.policy = Arc::clone(&in_force.current.policy);
            replace(&self.entitlements, Arc::new(entitle(&self.policy, &self.fleet)));
        }
        let entitlements = Arc::clone(&self.entitlements.borrow());
        replace(&self.places, Arc::new(places(in_force)));
        replace(&self.scenes, Arc::new(Scene { entitlements, present: Arc::new(present(in_force)) }));
    }
}

fn replace<T: PartialEq>(known: &watch::Sender<Arc<T>>, latest: Arc<T>) {
    known.send_if_modified(|known| {
        let is_news = **known != *latest;
        *known = latest;
        is_news
    });
}

/// Workloads whose control group is here.
fn present(in_force: &InForce) -> BTreeSet<Name> {
    let attachments = &in_force.facts.attachments;
    let here = attachments.iter().filter(|(_, attachment)| attachment.cgroup.is_some());
    here.map(|(name, _)| Arc::clone(name)).collect()
}

fn places(in_force: &InForce) -> Places {
    let workloads = &in_force.current.policy.workloads;
    let place = |(name, attachment): (&Name, &enforcer_core::node::Attachment)| {
        let tenant = Arc::clone(&workloads.get(name)?.tenant);
        Some((attachment.cgroup?, Member { workload: Arc::clone(name), tenant }))
    };
    let mut places = Places::new();
    let mut twice = BTreeSet::new();
    for (group, member) in in_force.facts.attachments.iter().filter_map(place) {
        if places.insert(group, member).is_some() {
            twice.insert(group);
        }
    }
    // Whose it is cannot be said, so it is nobody's.
    places.retain(|group, _| !twice.contains(group));
    places
}
