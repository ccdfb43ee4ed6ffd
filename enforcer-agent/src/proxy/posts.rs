//! Where the agent stands in the workloads' networks: every workload of this node that a rule for the tunnel may
//! concern has a post. Level-triggered: each look compares what is with what should be.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::node::TunnelEnd;
use enforcer_core::policy::model::{Name, Workload};
use enforcer_core::proxy::tunnelled::tunnelled;
use tokio::sync::watch;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use super::post::handover::Stock;
use super::post::handover::store::Store;
use super::post::{FindError, Listener, Namespace, Place, Post, PostSpec, Role, Wanted, abandoned, find};
use super::shared::Shared;
use super::{inbound, outbound};
use crate::door::accept::rest_after;
use crate::door::policy::InForce;
use crate::door::stop::Stop;

/// How often the posts are looked at though nobody saw a change: addresses come late, namespaces go silently.
const POLL: Duration = Duration::from_secs(1);
/// How often namespaces are looked for in which nobody lives any more: the look costs a walk over all processes.
const ABANDONED_EVERY: u32 = 10;
/// The post of the node's own network. No workload's name has a space.
const NODE: &str = "the node";

/// Where the listeners of every workload stand, or why they do not.
pub(super) type Standing = BTreeMap<Name, Result<TunnelEnd, String>>;

/// What a post is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Need {
    /// A network of its own, behind an interface of the node.
    Pod { addresses: Vec<IpAddr>, namespace: Option<PathBuf>, interface: Option<u32>, group: Option<PathBuf> },
    /// The node's network.
    Node,
}

/// A post with its listeners at work.
struct Manned {
    need: Need,
    post: Post,
    guards: JoinSet<()>,
}

impl Manned {
    /// False once the path that the policy names leads to another namespace: the workload came again under its old name.
    fn is_there(&self) -> bool {
        match &self.need {
            Need::Pod { namespace: Some(path), .. } => {
                self.post.spec().namespace.is_at(path) || !path.exists()
            }
            Need::Pod { namespace: None, .. } | Need::Node => true,
        }
    }
}

/// Every post of the node.
pub(super) struct Posts {
    shared: Arc<Shared>,
    cgroup_root: PathBuf,
    manned: BTreeMap<Name, Manned>,
    /// Why the others stand empty.
    empty: BTreeMap<Name, String>,
    stock: Stock,
    /// The service manager, if it keeps listeners while agents change.
    store: Option<Store>,
    ends: watch::Sender<Arc<BTreeMap<Name, TunnelEnd>>>,
    looks: u32,
}

impl Posts {
    pub(super) fn new(
        shared: Arc<Shared>,
        cgroup_root: PathBuf,
        stock: Stock,
        ends: watch::Sender<Arc<BTreeMap<Name, TunnelEnd>>>,
    ) -> Self {
        Self {
            shared,
            cgroup_root,
            manned: BTreeMap::new(),
            empty: BTreeMap::new(),
            stock,
            store: Store::of_manager(),
            ends,
            looks: 0,
        }
    }

    /// Keeps the posts as the policy in force wants them, until told to stop. Answers with the posts as they stand.
    pub(super) async fn keep(mut self, mut in_force: watch::Receiver<Arc<InForce>>, mut stop: Stop) -> Self {
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.wait() => return self,
                changed = in_force.changed() => if changed.is_err() { return self },
                _ = poll.tick() => {}
            }
            let latest = Arc::clone(&in_force.borrow_and_update());
            block_in_place(|| self.look(&latest));
        }
    }

    /// Stops accepting, and leaves what a successor needs where it is.
    pub(super) fn leave(self) {
        self.shared.set_listeners(Vec::new());
        for manned in self.manned.into_values() {
            let Manned { need: _, post, guards } = manned;
            drop(guards);
            post.leave();
        }
    }

    fn look(&mut self, in_force: &InForce) {
        let needs = self.needs(in_force);
        self.abandon();
        self.manned.retain(|name, manned| {
            let stays = needs.posts.get(name) == Some(&manned.need) && manned.is_there();
            if !stays {
                info!(workload = %name, "its post is given up");
                if let Some(store) = &self.store {
                    let listeners = manned.post.listeners().iter();
                    store.forget(listeners.map(Listener::spot));
                }
            }
            stays
        });
        for manned in self.manned.values_mut() {
            complete(&self.shared, manned);
        }
        self.empty.retain(|name, _| needs.posts.contains_key(name));
        let unmanned: Vec<(Name, Need)> = needs
            .posts
            .iter()
            .filter(|(name, _)| !self.manned.contains_key(*name))
            .map(|(name, need)| (Arc::clone(name), need.clone()))
            .collect();
        self.man(unmanned);
        self.publish(&needs);
        // What nobody wanted keeps others from its place.
        let unwanted = std::mem::take(&mut self.stock);
        if let Some(store) = &self.store {
            store.forget(unwanted.left());
        }
    }

    /// A namespace that only we hold is gone for everybody else: holding it would keep its interface, and so the
    /// workload's, for ever.
    fn abandon(&mut self) {
        self.looks = self.looks.wrapping_add(1);
        if !self.looks.is_multiple_of(ABANDONED_EVERY) {
            return;
        }
        let held = self.manned.values().filter_map(|manned| {
            let Need::Pod { group, .. } = &manned.need else { return None };
            Some((&manned.post.spec().namespace, group.as_deref()))
        });
        let Ok(gone) = abandoned(held) else { return };
        self.manned.retain(|_, manned| !gone.contains(&manned.post.spec().namespace.id()));
    }

    fn needs(&self, in_force: &InForce) -> Needs {
        let (policy, facts) = (&in_force.current.policy, &in_force.facts);
        let concerned = tunnelled(policy);
        let mut needs = Needs::default();
        for (name, attachment) in &facts.attachments {
            let Some(workload) = policy.workloads.get(name).filter(|one| concerned.contains(&one.tenant))
            else {
                continue;
            };
            if workload.host_network {
                needs.on_node.push(Arc::clone(name));
            } else {
                needs.posts.insert(Arc::clone(name), self.pod(workload, attachment.interface));
            }
        }
        if !needs.on_node.is_empty() {
            needs.posts.insert(NODE.into(), Need::Node);
        }
        needs
    }

    fn pod(&self, workload: &Workload, interface: Option<u32>) -> Need {
        let group = workload.cgroup.as_ref().map(|path| self.cgroup_root.join(path.trim_start_matches('/')));
        Need::Pod {
            addresses: workload.addresses.iter().copied().collect(),
            namespace: workload.network_namespace.as_ref().map(PathBuf::from),
            interface,
            group,
        }
    }

    fn man(&mut self, unmanned: Vec<(Name, Need)>) {
        let namespaces = namespaces(&unmanned);
        for ((name, need), namespace) in unmanned.into_iter().zip(namespaces) {
            let opened = namespace.and_then(|namespace| {
                let place = match &need {
                    Need::Pod { addresses, .. } => Place::Pod(addresses.clone()),
                    Need::Node => Place::Node,
                };
                let spec = PostSpec { workload: Arc::clone(&name), namespace, place };
                Post::open(spec, &mut self.stock).map_err(|error| error.to_string())
            });
            match opened {
                Ok(post) => {
                    info!(%post, "post opened");
                    self.empty.remove(&name);
                    if let Some(store) = &self.store {
                        store.keep(post.listeners());
                    }
                    let guards = guards(&self.shared, post.listeners(), &post.spec().namespace);
                    self.manned.insert(name, Manned { need, post, guards });
                }
                Err(reason) => {
                    if self.empty.get(&name) != Some(&reason) {
                        warn!(workload = %name, reason, "no post: what a rule wants in the tunnel is refused");
                    }
                    self.empty.insert(name, reason);
                }
            }
        }
    }

    fn publish(&self, needs: &Needs) {
        let listeners = self.manned.values().flat_map(|manned| manned.post.listeners().to_vec());
        self.shared.set_listeners(listeners.collect());
        let standing = self.standing(needs);
        let ends: BTreeMap<Name, TunnelEnd> =
            standing.iter().filter_map(|(name, end)| Some((Arc::clone(name), *end.as_ref().ok()?))).collect();
        self.shared.standing.send_replace(Arc::new(standing));
        self.ends.send_if_modified(|known| {
            let is_news = **known != ends;
            if is_news {
                *known = Arc::new(ends);
            }
            is_news
        });
    }

    fn standing(&self, needs: &Needs) -> Standing {
        let end = |post: &str| match (self.manned.get(post), self.empty.get(post)) {
            (Some(manned), _) => Ok(manned.post.end()),
            (None, Some(reason)) => Err(reason.clone()),
            (None, None) => Err("not looked at yet".to_owned()),
        };
        let pods = needs.posts.iter().filter(|(_, need)| **need != Need::Node);
        let pods = pods.map(|(name, _)| (Arc::clone(name), end(name)));
        pods.chain(needs.on_node.iter().map(|name| (Arc::clone(name), end(NODE)))).collect()
    }
}

/// What the policy wants.
#[derive(Default)]
struct Needs {
    posts: BTreeMap<Name, Need>,
    /// Workloads that share the node's post.
    on_node: Vec<Name>,
}

/// Addresses that came late.
fn complete(shared: &Arc<Shared>, manned: &mut Manned) {
    if manned.post.missing().is_empty() {
        return;
    }
    let before = manned.post.listeners().len();
    match manned.post.complete() {
        Ok(true) => {
            let namespace = manned.post.spec().namespace.clone();
            let fresh = manned.post.listeners().get(before..).unwrap_or_default().to_vec();
            fresh.into_iter().for_each(|listener| {
                manned.guards.spawn(guard(Arc::clone(shared), listener, namespace.clone()));
            });
        }
        Ok(false) => {}
        Err(error) => warn!(post = %manned.post, %error, "an address that came late has no listener"),
    }
}

/// The namespaces of some posts, each in its place.
fn namespaces(needs: &[(Name, Need)]) -> Vec<Result<Namespace, String>> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let wanted: Vec<Wanted> = needs
        .iter()
        .filter_map(|(_, need)| match need {
            Need::Pod { namespace: None, interface: Some(interface), group, .. } => {
                Some(Wanted { interface: *interface, group: group.clone() })
            }
            Need::Pod { .. } | Need::Node => None,
        })
        .collect();
    let mut found: BTreeMap<u32, Result<Namespace, FindError>> = BTreeMap::new();
    if !wanted.is_empty() {
        match find(&wanted) {
            Ok(answers) => found = wanted.iter().map(|one| one.interface).zip(answers).collect(),
            Err(error) => {
                let error = words(&error);
                return needs.iter().map(|_| Err(error.clone())).collect();
            }
        }
    }
    let one = |(_, need): &(Name, Need)| match need {
        Need::Node => Namespace::here().map_err(|error| words(&error)),
        Need::Pod { namespace: Some(path), .. } => Namespace::open(path).map_err(|error| words(&error)),
        Need::Pod { interface: Some(interface), .. } => match found.remove(interface) {
            Some(found) => found.map_err(|error| words(&error)),
            None => Err("two workloads claim its interface".to_owned()),
        },
        Need::Pod { interface: None, .. } => {
            Err("it has neither a network namespace nor an interface".to_owned())
        }
    };
    needs.iter().map(one).collect()
}

fn guards(shared: &Arc<Shared>, listeners: &[Listener], namespace: &Namespace) -> JoinSet<()> {
    let guard = |listener: &Listener| guard(Arc::clone(shared), listener.clone(), namespace.clone());
    listeners.iter().map(guard).collect()
}

/// Takes up what arrives at a listener. What it took up goes on when it is relieved.
async fn guard(shared: Arc<Shared>, listener: Listener, namespace: Namespace) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let shared = Arc::clone(&shared);
                let (workload, namespace) = (Arc::clone(listener.workload()), namespace.clone());
                match listener.role() {
                    Role::Intercept => {
                        tokio::spawn(outbound::carry(shared, workload, namespace, stream, from));
                    }
                    Role::Tunnel => {
                        tokio::spawn(inbound::receive(shared, workload, namespace, stream, from));
                    }
                }
            }
            Err(error) => rest_after(&error).await,
        }
    }
}
