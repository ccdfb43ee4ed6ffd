//! A keeper on a stage: its scene, its clock, its authority.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_core::identity::bundle::Trust;
use enforcer_core::identity::entitle::{Domain, Entitlement, Entitlements, NoIdentity};
use enforcer_core::identity::spiffe_id::SpiffeId;
use enforcer_core::identity::target::Target;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::chain;
use enforcer_core::policy::model::Name;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::door::identity::{Answer, Command, Health, Order, Peer, VerifyPeer};
use crate::door::stop::Stopper;
use crate::door::upstream::{Upstream, UpstreamError};
use crate::identity::authority::{AuthorityConfig, Local};
use crate::identity::clock::Clock;
use crate::identity::crypto::Checker;
use crate::identity::custody::{KekSource, Vault, commands};
use crate::identity::keeper::{Keeper, Parts, Scene};
use crate::identity::svid::{Material, Standing};
use crate::identity::wallet::Wallet;

/// How long a condition may take to come true.
const LIMIT: Duration = Duration::from_secs(20);
/// Where the clock starts.
pub(super) const START: Duration = Duration::from_secs(1_800_000_000);
/// How long workloads' certificates last.
pub(super) const HOUR: Duration = Duration::from_secs(3600);

/// An authority that can be away or say no.
#[derive(Debug)]
pub(super) struct Fickle {
    authority: Arc<Local>,
    is_away: AtomicBool,
    refuses: AtomicBool,
    pub(super) asked: AtomicU64,
}

impl Fickle {
    fn mood(&self) -> Result<(), UpstreamError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_away.load(Ordering::SeqCst) {
            return Err(UpstreamError::Away("played".to_owned()));
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(UpstreamError::Refused("played".to_owned()));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Upstream for Fickle {
    fn kind(&self) -> &'static str {
        self.authority.kind()
    }

    fn trouble(&self) -> Option<String> {
        self.authority.trouble()
    }

    async fn node_ca(
        &self,
        node: &str,
        domain: &TrustDomain,
        csr: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        self.mood()?;
        self.authority.node_ca(node, domain, csr).await
    }

    async fn node_svid(&self, node: &str, csr: &[u8]) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
        self.authority.node_svid(node, csr).await
    }

    async fn jwt_svid(
        &self,
        node: &str,
        id: &SpiffeId,
        audience: &[String],
        lifetime: Duration,
    ) -> Result<String, UpstreamError> {
        self.authority.jwt_svid(node, id, audience, lifetime).await
    }

    fn trust(&self) -> watch::Receiver<Arc<Trust>> {
        self.authority.trust()
    }

    async fn revoke(&self, target: &Target) -> Result<(), UpstreamError> {
        self.authority.revoke(target).await
    }

    async fn restore(&self, target: &Target) -> Result<(), UpstreamError> {
        self.authority.restore(target).await
    }

    async fn rotate(&self, domain: &TrustDomain) -> Result<(), UpstreamError> {
        self.authority.rotate(domain).await
    }
}

/// What stays when an agent restarts: its disk.
pub(super) struct Disk(TempDir);

impl Disk {
    pub(super) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        commands::init(&directory.path().join("key"), &directory.path().join("vault")).unwrap();
        Self(directory)
    }

    fn vault(&self) -> Arc<Vault> {
        let source = KekSource::File(self.0.path().join("key"));
        Arc::new(Vault::open(&self.0.path().join("vault"), source).unwrap())
    }

    /// Where the vault's files are.
    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A keeper that runs.
pub(super) struct Stage {
    pub(super) wallet: Wallet,
    pub(super) upstream: Arc<Fickle>,
    pub(super) health: watch::Receiver<Health>,
    pub(super) own: watch::Receiver<Option<Arc<CertifiedKey>>>,
    pub(super) verify: VerifyPeer,
    entitlements: watch::Sender<Arc<Entitlements>>,
    scenes: watch::Sender<Arc<Scene>>,
    commands: mpsc::Sender<Command>,
    now: Arc<Mutex<Duration>>,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    /// With the workloads `a` and `b` of tenant `red` and `c` of tenant `blue`, all here.
    pub(super) fn open(disk: &Disk, at: Duration) -> Self {
        Self::open_with(disk, at, policy(&[("a", "red"), ("b", "red"), ("c", "blue")]))
    }

    pub(super) fn open_with(disk: &Disk, at: Duration, policy: Entitlements) -> Self {
        let now = Arc::new(Mutex::new(at));
        let read = Arc::clone(&now);
        let clock: Clock = Arc::new(move || *read.lock().unwrap());
        let (fleet, policy) = (policy.fleet.clone(), Arc::new(policy));
        let entitlements = watch::Sender::new(Arc::clone(&policy));
        let config = AuthorityConfig::new(fleet.clone(), "here".to_owned());
        let vault = disk.vault();
        let authority =
            Local::open(Arc::clone(&vault), config, entitlements.subscribe(), Arc::clone(&clock)).unwrap();
        let stopper = Stopper::default();
        let mut tasks = vec![tokio::spawn(Arc::clone(&authority).run(stopper.listener()))];
        let upstream = Arc::new(Fickle {
            authority,
            is_away: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            asked: AtomicU64::new(0),
        });
        let scenes = watch::Sender::new(Arc::new(scene(&policy)));
        let trust = upstream.trust();
        let verify: VerifyPeer = Arc::new(move |certificates, now| {
            let trust = Arc::clone(&trust.borrow());
            let verified = chain::verify(certificates, &trust, &fleet, now, &Checker)?;
            Ok(Peer { id: verified.leaf.id, not_after: verified.until })
        });
        let (commands, inbox) = mpsc::channel(4);
        let (health, own) = (watch::Sender::new(Health::default()), watch::Sender::new(None));
        let wallet = Wallet::default();
        let (told, shown) = (health.subscribe(), own.subscribe());
        let keeper = Keeper::new(Parts {
            node: "here".to_owned(),
            vault,
            upstream: Arc::clone(&upstream) as Arc<dyn Upstream>,
            wallet: wallet.clone(),
            clock,
            lifetime: HOUR,
            scene: scenes.subscribe(),
            commands: inbox,
            health,
            own,
            verify: Arc::clone(&verify),
            weaknesses: vec!["a weakness".to_owned()],
            tell: Arc::new(|_| {}),
        });
        tasks.push(tokio::spawn(keeper.run(stopper.listener())));
        Self {
            wallet,
            upstream,
            health: told,
            own: shown,
            verify,
            entitlements,
            scenes,
            commands,
            now,
            stopper,
            tasks,
        }
    }

    /// Ends the keeper, as SIGTERM would.
    pub(super) async fn close(self) {
        self.stopper.stop();
        for task in self.tasks {
            timeout(LIMIT, task).await.unwrap().unwrap();
        }
    }

    pub(super) fn now(&self) -> Duration {
        *self.now.lock().unwrap()
    }

    /// Sets the clock; the keeper looks at it once a second.
    pub(super) fn set_clock(&self, to: Duration) {
        *self.now.lock().unwrap() = to;
    }

    pub(super) fn be_away(&self, is_away: bool) {
        self.upstream.is_away.store(is_away, Ordering::SeqCst);
    }

    pub(super) fn refuse(&self, refuses: bool) {
        self.upstream.refuses.store(refuses, Ordering::SeqCst);
    }

    /// Puts another policy in force; every workload of it that has no other node is here.
    pub(super) fn put(&self, policy: Entitlements) {
        let policy = Arc::new(policy);
        self.entitlements.send_replace(Arc::clone(&policy));
        self.scenes.send_replace(Arc::new(scene(&policy)));
    }

    /// Waits until a workload stands as wanted.
    pub(super) async fn stands(&self, name: &str, wanted: impl Fn(&Standing) -> bool) -> Standing {
        let name: Name = name.into();
        let found = timeout(LIMIT, async {
            loop {
                if let Some(mut follower) = self.wallet.follow(&name)
                    && let Ok(standing) = follower.wait_for(&wanted).await
                {
                    return standing.clone();
                }
                // Nobody of this name yet: the next look is at the next change of the scene.
                tokio::task::yield_now().await;
            }
        });
        let standing = self.wallet.follow(&name).map(|follower| follower.borrow().clone());
        found.await.unwrap_or_else(|_| panic!("{name} stands at {standing:?}"))
    }

    /// Waits for a certificate.
    pub(super) async fn granted(&self, name: &str) -> Arc<Material> {
        match self.stands(name, |standing| matches!(standing, Standing::Granted(_))).await {
            Standing::Granted(material) => material,
            other => panic!("{other:?}"),
        }
    }

    /// Waits for a certificate with another serial number.
    pub(super) async fn renewed(&self, name: &str, serial: &[u8]) -> Arc<Material> {
        let is_other =
            |standing: &Standing| matches!(standing, Standing::Granted(m) if m.svid.serial != serial);
        match self.stands(name, is_other).await {
            Standing::Granted(material) => material,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until nothing is served, and says why not.
    pub(super) async fn closed(&self, name: &str) -> String {
        match self.stands(name, |standing| matches!(standing, Standing::Closed(_))).await {
            Standing::Closed(reason) => reason.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// Waits until nobody of this name is served at all.
    pub(super) async fn gone(&self, name: &str) {
        let Some(mut follower) = self.wallet.follow(&name.into()) else { return };
        while timeout(LIMIT, follower.changed()).await.unwrap().is_ok() {}
    }

    pub(super) async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> T {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.unwrap();
        timeout(LIMIT, answer).await.unwrap().unwrap()
    }

    pub(super) async fn revoke(&self, target: Target) -> Answer {
        let order = Order { target, reason: "test".to_owned(), author: "test".to_owned() };
        self.ask(|reply| Command::Revoke(order, reply)).await
    }

    pub(super) async fn restore(&self, target: Target) -> Answer {
        let order = Order { target, reason: String::new(), author: "test".to_owned() };
        self.ask(|reply| Command::Restore(order, reply)).await
    }

    /// Waits until the room says of itself what is wanted.
    pub(super) async fn health(&mut self, wanted: impl Fn(&Health) -> bool) -> Health {
        let told = timeout(LIMIT, self.health.wait_for(|health| wanted(health))).await;
        told.expect("the health that is wanted").unwrap().clone()
    }
}

/// Workloads by name and tenant, all here.
pub(super) fn policy(workloads: &[(&str, &str)]) -> Entitlements {
    let fleet: TrustDomain = "fleet.example".parse().unwrap();
    let mut policy =
        Entitlements { fleet: fleet.clone(), members: Default::default(), domains: Default::default() };
    for (workload, tenant) in workloads {
        let domain = TrustDomain::of_tenant(tenant, &fleet).unwrap();
        let id = domain.member(&format!("/ns/default/sa/{workload}")).map_err(NoIdentity::from);
        let tenant: Name = (*tenant).into();
        let entry = policy.domains.entry(domain.clone()).or_insert_with(|| Domain {
            tenant: Arc::clone(&tenant),
            federates_with: BTreeSet::new(),
            nodes: BTreeSet::new(),
        });
        entry.nodes.insert(None);
        policy.members.insert((*workload).into(), Entitlement { tenant, domain, id, node: None });
    }
    policy
}

/// `a` of tenant `red` and `c` of tenant `blue`, which a rule lets meet.
pub(super) fn met() -> Entitlements {
    let mut policy = policy(&[("a", "red"), ("c", "blue")]);
    let [red, blue]: [TrustDomain; 2] =
        ["red.fleet.example", "blue.fleet.example"].map(|name| name.parse().unwrap());
    policy.domains.get_mut(&red).unwrap().federates_with.insert(blue.clone());
    policy.domains.get_mut(&blue).unwrap().federates_with.insert(red);
    policy
}

fn scene(policy: &Arc<Entitlements>) -> Scene {
    let present = policy.members.keys().cloned().collect();
    Scene { entitlements: Arc::clone(policy), present: Arc::new(present) }
}
