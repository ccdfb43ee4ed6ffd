//! The room from outside: records in, records out, hands that remember, files that stay.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use enforcer_core::detect::parse;
use enforcer_core::detect::respond::Mode;
use enforcer_core::policy::change::{Change, apply};
use enforcer_core::policy::model::{Name, Policy, UnixNanos};
use enforcer_core::policy::parse::yaml;
use enforcer_proto::v1;
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use super::*;
use crate::door::detect::{Command, DetectDoor, End, Freeze, Refused};
use crate::door::policy::{InForce, Revision};
use crate::door::stop::Stopper;

const HEAD: &str = "apiVersion: enforcer.dev/v1\nkind: DetectionRule\nmetadata: {name: it}\nspec: ";
const SOON: Duration = Duration::from_secs(20);
/// The rooms' clock: each test moves it by itself only forward, and none cares for where it stands.
static NOW: AtomicU64 = AtomicU64::new(1_795_996_800_000_000_000);

fn clock() -> UnixNanos {
    NOW.load(Ordering::Relaxed)
}

/// Hands that write down what they are told to do.
#[derive(Default)]
struct Notebook {
    done: Mutex<Vec<String>>,
    revoked: Mutex<BTreeMap<Name, String>>,
    is_lame: Mutex<bool>,
}

impl Notebook {
    fn note(&self, line: String) -> Result<(), String> {
        if *self.is_lame.lock().unwrap() {
            return Err("no".to_owned());
        }
        self.done.lock().unwrap().push(line);
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        self.done.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl Hands for Notebook {
    async fn hold(&self, tenant: &Name, hold: Option<Lasting>) -> Result<(), String> {
        self.note(match hold {
            Some(Lasting { mode: Mode::DenyNew, lasts }) => {
                format!("deny {tenant} {}", lasts.as_secs().div_ceil(60))
            }
            Some(Lasting { mode: Mode::Limit(rate), .. }) => format!("limit {tenant} {rate}"),
            None => format!("free {tenant}"),
        })
    }

    async fn revoke(&self, workload: &Name, resumed: bool, reason: &str) -> Result<(), String> {
        self.revoked.lock().unwrap().insert(Arc::clone(workload), reason.to_owned());
        self.note(format!("revoke {workload} {resumed}"))
    }

    async fn restore(&self, workload: &Name) -> Result<(), String> {
        self.note(format!("restore {workload}"))
    }
}

struct Scene {
    records: mpsc::Sender<v1::Record>,
    told: mpsc::UnboundedReceiver<v1::Record>,
    door: DetectDoor,
    hands: Arc<Notebook>,
    stopper: Stopper,
    room: JoinHandle<()>,
    sent: u64,
}

fn policy() -> Arc<Policy> {
    let text = "apiVersion: enforcer.dev/v1\nkind: Tenant\nmetadata: {name: red}\nspec: {id: 16, tier: partitioned, \
                dataClassification: internal}\n";
    let documents = yaml::read(&[("p.yaml", text)]);
    Arc::new(apply(&Policy::default(), &Change::Documents { documents, prune: true }, 1).unwrap().policy)
}

fn in_force() -> watch::Receiver<Arc<InForce>> {
    let current = Arc::new(Revision {
        number: 1,
        time: 1,
        author: "test".to_owned(),
        source: "push".to_owned(),
        digest: None,
        policy: policy(),
    });
    let in_force =
        InForce { history: vec![Arc::clone(&current)], current, facts: Arc::default(), ready: true };
    watch::Sender::new(Arc::new(in_force)).subscribe()
}

fn open_at(home: &Path, spec: &str, hands: Arc<Notebook>) -> Scene {
    let (records, stream) = mpsc::channel(64);
    let stream = Mutex::new(Some(stream));
    let (tell, told) = mpsc::unbounded_channel();
    let stopper = Stopper::default();
    let parts = Parts {
        node: "n1".to_owned(),
        rules: parse::rules(&[("r.yaml", format!("{HEAD}{spec}\n"))]).unwrap(),
        responses_per_tenant: 4,
        state_directory: home.to_owned(),
        subscribe: Arc::new(move |_, _, _| {
            Box::pin(ReceiverStream::new(stream.lock().unwrap().take().unwrap()))
        }),
        tell: Arc::new(move |record| drop(tell.send(record))),
        in_force: in_force(),
        hands: Arc::clone(&hands) as Arc<dyn Hands>,
        clock,
        stop: stopper.listener(),
    };
    let (door, room) = open(parts).unwrap();
    Scene { records, told, door, hands, stopper, room: tokio::spawn(room), sent: 0 }
}

impl Scene {
    fn new(home: &TempDir, spec: &str) -> Self {
        open_at(home.path(), spec, Arc::default())
    }

    async fn refuse(&mut self, workload: &str, count: u64) {
        for _ in 0..count {
            self.sent += 1;
            let end = |identity: &str, workload: &str| v1::Endpoint {
                identity: identity.to_owned(),
                workload: workload.to_owned(),
                address: "10.0.0.1".to_owned(),
                port: 7,
                ..v1::Endpoint::default()
            };
            let record = v1::Record {
                sequence: self.sent,
                r#type: "flow".to_owned(),
                verdict: "deny".to_owned(),
                source: Some(end("red", workload)),
                destination: Some(end("blue", "db")),
                ..v1::Record::default()
            };
            self.records.send(record).await.unwrap();
        }
    }

    /// The next record of the room: its type, its event, and whom it is about.
    async fn told(&mut self) -> (String, String, String) {
        let record = timeout(SOON, self.told.recv()).await.expect("the room is silent").unwrap();
        let note = record.note.unwrap();
        (record.r#type, note.event, record.source.unwrap().identity)
    }

    async fn expect(&mut self, words: &[(&str, &str)]) {
        for (kind, event) in words {
            let (found_kind, found_event, who) = self.told().await;
            assert_eq!((found_kind.as_str(), found_event.as_str(), who.as_str()), (*kind, *event, "red"));
        }
    }

    async fn list(&self) -> v1::ListDetectionResponse {
        self.door.ask(|reply| Command::List(None, reply)).await.unwrap()
    }

    async fn stop(self) -> Arc<Notebook> {
        self.stopper.stop();
        timeout(SOON, self.room).await.unwrap().unwrap();
        self.hands
    }
}

const DENY: &str = "{pattern: failed-accesses, window: 10m, threshold: 3, response: {kind: deny-new, expires: 5m}, cooldown: 10m}";

#[tokio::test]
async fn refusals_become_an_alert_and_a_response_that_the_operator_ends() {
    let home = TempDir::new().unwrap();
    let mut scene = Scene::new(&home, DENY);
    scene.refuse("web", 3).await;
    scene.expect(&[("alert", "raised"), ("response", "started")]).await;
    let listed = scene.list().await;
    let response = listed.responses[0].clone();
    assert_eq!(
        (response.kind.as_str(), response.tenant.as_str(), response.rule.as_str()),
        ("deny-new", "red", "it")
    );
    assert_eq!(listed.rules.iter().find(|rule| rule.name == "it").map(|rule| rule.raised), Some(1));
    let end = |id: &str| End { id: id.to_owned(), actor: "uid:0".to_owned() };
    let unknown = scene.door.ask(|reply| Command::End(end("x"), reply)).await.unwrap();
    assert_eq!(unknown, Err(Refused::NoResponse("x".to_owned())));
    let ended = scene.door.ask(|reply| Command::End(end(&response.id), reply)).await.unwrap().unwrap();
    assert_eq!(ended.id, response.id);
    scene.expect(&[("response", "ended")]).await;
    assert!(scene.list().await.responses.is_empty());
    assert_eq!(scene.stop().await.lines(), ["deny red 5", "free red"]);
}

#[tokio::test]
async fn a_dry_run_lays_no_hand_on_anybody() {
    let home = TempDir::new().unwrap();
    let mut scene = Scene::new(&home, &DENY.replace("deny-new", "deny-new, dryRun: true"));
    scene.refuse("web", 3).await;
    scene.expect(&[("alert", "raised"), ("response", "would-start")]).await;
    assert!(scene.list().await.responses[0].dry_run);
    assert!(scene.stop().await.lines().is_empty());
}

#[tokio::test]
async fn a_restart_goes_on_with_what_was_done() {
    let home = TempDir::new().unwrap();
    let spec = DENY.replace("response: {kind: deny-new", "per: workload, response: {kind: revoke");
    let mut scene = Scene::new(&home, &spec);
    scene.refuse("web", 3).await;
    scene.expect(&[("alert", "raised"), ("response", "started")]).await;
    let hands = scene.stop().await;
    assert!(hands.revoked.lock().unwrap()["web"].starts_with("detection, response "));
    let mut scene = open_at(home.path(), &spec, hands);
    scene.expect(&[("response", "resumed")]).await;
    assert_eq!(scene.list().await.responses[0].workload, "web");
    // Its number says that nothing was forgotten.
    let id = scene.list().await.responses[0].id.clone();
    scene
        .door
        .ask(|reply| Command::End(End { id, actor: "uid:0".to_owned() }, reply))
        .await
        .unwrap()
        .unwrap();
    scene.expect(&[("response", "ended")]).await;
    assert_eq!(scene.stop().await.lines(), ["revoke web false", "revoke web true", "restore web"]);
}

#[tokio::test]
async fn what_the_hands_cannot_do_is_told_and_not_listed() {
    let home = TempDir::new().unwrap();
    let mut scene = Scene::new(&home, DENY);
    *scene.hands.is_lame.lock().unwrap() = true;
    scene.refuse("web", 3).await;
    scene.expect(&[("alert", "raised"), ("response", "failed")]).await;
    assert!(scene.list().await.responses.is_empty());
}

#[tokio::test]
async fn a_revocation_that_cannot_be_written_down_is_not_begun() {
    let home = TempDir::new().unwrap();
    let mut scene = Scene::new(
        &home,
        &DENY.replace("response: {kind: deny-new", "per: workload, response: {kind: revoke"),
    );
    // Where the file should go there is a directory that is not empty.
    std::fs::create_dir_all(home.path().join("detection/responses.json/x")).unwrap();
    scene.refuse("web", 3).await;
    scene.expect(&[("alert", "raised"), ("response", "failed")]).await;
    assert!(scene.list().await.warnings.iter().any(|warning| warning.contains("not on disk")));
    assert!(scene.stop().await.lines().is_empty());
}

#[tokio::test]
async fn files_that_make_no_sense_are_put_aside_and_told() {
    let home = TempDir::new().unwrap();
    let directory = home.path().join("detection");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("responses.json"), b"{}").unwrap();
    std::fs::write(directory.join("baselines.json"), b"{\"version\":7,\"baselines\":[]}").unwrap();
    let scene = Scene::new(&home, DENY);
    let warnings = scene.list().await.warnings;
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(directory.join("responses.broken").exists() && directory.join("baselines.broken").exists());
}

#[tokio::test]
async fn records_that_were_lost_on_the_way_are_told() {
    let home = TempDir::new().unwrap();
    let scene = Scene::new(&home, DENY);
    let loss = v1::Record {
        r#type: "loss".to_owned(),
        reason: "observer_slow".to_owned(),
        lost_before: 9,
        ..v1::Record::default()
    };
    scene.records.send(loss).await.unwrap();
    let heard = async {
        while !scene.list().await.warnings.iter().any(|warning| warning.starts_with("9 records were lost")) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, heard).await.unwrap();
}

#[tokio::test]
async fn what_is_learned_is_listed_frozen_on_record_and_kept() {
    let home = TempDir::new().unwrap();
    let spec = "{pattern: failed-accesses, window: 10m, threshold: 3, factor: 5}";
    let mut scene = Scene::new(&home, spec);
    scene.refuse("web", 2).await;
    let freeze =
        |tenant: &str| Freeze { tenant: tenant.into(), rule: None, frozen: true, actor: "uid:0".to_owned() };
    let known = async {
        while scene.list().await.baselines.iter().all(|one| one.latest < 2.0) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, known).await.unwrap();
    let none = scene.door.ask(|reply| Command::Freeze(freeze("green"), reply)).await.unwrap();
    assert_eq!(none, Err(Refused::NoBaseline("green".into())));
    let frozen = scene.door.ask(|reply| Command::Freeze(freeze("red"), reply)).await.unwrap().unwrap();
    assert!(!frozen.is_empty() && frozen.iter().all(|one| one.frozen));
    let its = frozen.iter().find(|one| one.rule == "it").unwrap();
    assert!(
        its.explanation.contains("2 refused operations in the last 10m; still learning: 0 of 24"),
        "{its:?}"
    );
    scene.expect(&[("alert", "frozen")]).await;
    scene.stop().await;
    let scene = Scene::new(&home, spec);
    assert!(scene.list().await.baselines.iter().any(|one| one.rule == "it" && one.frozen));
}

#[test]
fn rules_come_from_a_file_or_a_directory_and_mistakes_with_their_lines() {
    let home = TempDir::new().unwrap();
    let spec = "{pattern: volume, threshold: 7}";
    std::fs::write(home.path().join("a.yaml"), format!("{HEAD}{spec}\n")).unwrap();
    std::fs::write(home.path().join(".hidden.yaml"), "nonsense").unwrap();
    let of = |path: &Path| load(Some(path)).unwrap().get("it").map(|rule| rule.terms.threshold);
    assert_eq!(of(home.path()), Some(7));
    assert_eq!(of(&home.path().join("a.yaml")), Some(7));
    assert!(load(None).unwrap().get("it").is_none());
    std::fs::write(home.path().join("b.yaml"), "kind: Tenant\n").unwrap();
    let error = load(Some(home.path())).unwrap_err().to_string();
    assert!(error.contains("b.yaml:1: "), "{error}");
    assert!(matches!(load(Some(&home.path().join("none"))), Err(RulesError::Io { .. })));
}
