//! `svid`: what a workload asks of the Workload API, and the files that it keeps.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use enforcer_proto::spiffe::{Jwtsvid, JwtsvidResponse, ValidateJwtsvidResponse};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::Status;

use super::material::{Authority, Wrong};
use super::sleeper::Sleeper;
use super::workload::WorkloadApi;
use super::{enforcerctl, run_into};
use crate::certificate::Certificate;
use crate::exit::Exit;
use crate::stdin::Stdin;

const PATIENCE: Duration = Duration::from_secs(20);
const WEB: &str = "/ns/a/sa/web";

fn red() -> Authority {
    Authority::new("red.fleet.example")
}

struct Kept {
    dir: TempDir,
}

impl Kept {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("tls")
    }

    fn arg(&self) -> String {
        self.path().display().to_string()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }

    fn serial(&self) -> String {
        Certificate::read_pem(&self.read("svid.pem")).unwrap().remove(0).serial
    }

    /// Every name in the directory, and where it leads.
    fn names(&self) -> BTreeMap<String, Option<PathBuf>> {
        let entries = fs::read_dir(self.path()).unwrap().map(Result::unwrap);
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_link(entry.path()).ok()))
            .collect()
    }

    fn generations(&self) -> usize {
        self.names().keys().filter(|name| name.starts_with("..svid-")).count()
    }
}

/// Lines as they are printed.
struct Lines(mpsc::UnboundedSender<String>, Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.1.drain(..=end).collect();
            let _ = self.0.send(String::from_utf8(line).unwrap());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Printed(mpsc::UnboundedReceiver<String>);

impl Printed {
    async fn line(&mut self) -> String {
        timeout(PATIENCE, self.0.recv()).await.expect("a line in time").expect("a line")
    }

    async fn event(&mut self) -> serde_json::Value {
        serde_json::from_str(&self.line().await).unwrap()
    }
}

/// Runs `svid watch` until the script is through; a watch that ends before is a failure.
async fn watching(
    api: &WorkloadApi,
    kept: &Kept,
    options: &[&str],
    script: impl AsyncFnOnce(Printed, Printed),
) {
    let ((out, printed), (err, warned)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let (socket, dir) = (api.socket(), kept.arg());
    let args = ["svid", "watch", "--workload-socket", &socket, "--write", &dir, "-o", "json"];
    let args = [args.as_slice(), options].concat();
    let (mut out, mut err) = (Lines(out, Vec::new()), Lines(err, Vec::new()));
    let (mut nothing, mut stdin) = (io::empty(), None);
    let stdin = stdin.insert(Stdin::new(&mut nothing, false));
    tokio::select! {
        exit = run_into(&args, stdin, &mut out, &mut err) => panic!("the watch has ended: {exit:?}"),
        () = script(Printed(printed), Printed(warned)) => {}
    }
}

#[tokio::test]
async fn fetch_prints_what_the_certificate_says_and_never_the_key() {
    let api = WorkloadApi::start();
    let message = red().response(WEB);
    let updates = api.stream();
    updates.send(Ok(message.clone())).await.unwrap();
    let ran = api.run(&["fetch", "-o", "json"], "").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    let json = ran.json();
    assert_eq!(json["svids"][0]["spiffeId"], "spiffe://red.fleet.example/ns/a/sa/web");
    assert_eq!(json["svids"][0]["chain"], 2);
    let updates = api.stream();
    updates.send(Ok(message)).await.unwrap();
    let table = api.run(&["fetch"], "").await;
    assert!(table.out.contains(json["svids"][0]["serial"].as_str().unwrap()), "{}", table.out);
    assert!(!ran.out.contains("PRIVATE") && !table.out.contains("PRIVATE"));
    assert_eq!(api.refused_headers(), 0);
}

#[tokio::test]
async fn fetch_writes_files_that_fit_together_for_nobody_else() {
    let (api, kept) = (WorkloadApi::start(), Kept::new());
    let mut message = red().response(WEB);
    let blue = Authority::new("blue.fleet.example");
    message.federated_bundles.insert("spiffe://blue.fleet.example".to_owned(), blue.bundle());
    api.stream().send(Ok(message.clone())).await.unwrap();
    let ran = api.run(&["fetch", "--write", &kept.arg()], "").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert!(ran.err.contains("is written to"), "{}", ran.err);
    let key = rcgen::KeyPair::from_pem(&kept.read("svid_key.pem")).unwrap();
    assert_eq!(key.serialize_der(), message.svids[0].x509_svid_key);
    assert_eq!(Certificate::read_pem(&kept.read("svid.pem")).unwrap().len(), 2);
    assert_eq!(Certificate::read_pem(&kept.read("bundle.pem")).unwrap().len(), 1);
    assert_eq!(kept.read("federated/blue.fleet.example.pem"), blue.bundle_pem().replace("\r\n", "\n"));
    let mode = |name: &str| fs::metadata(kept.path().join(name)).unwrap().mode() & 0o7777;
    for file in ["svid.pem", "svid_key.pem", "bundle.pem", "federated/blue.fleet.example.pem"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    for directory in ["", "..data", "federated"] {
        assert_eq!(mode(directory), 0o700, "{directory:?}");
    }
    let names = kept.names();
    assert_eq!(names["svid_key.pem"].as_deref(), Some(Path::new("..data/svid_key.pem")));
    assert!(!names.contains_key("crl.pem"));
}

#[tokio::test]
async fn what_cannot_be_used_leaves_the_files_as_they_were() {
    let (api, kept) = (WorkloadApi::start(), Kept::new());
    let red = red();
    api.stream().send(Ok(red.response(WEB))).await.unwrap();
    api.run(&["fetch", "--write", &kept.arg()], "").await;
    let serial = kept.serial();
    for wrong in [Wrong::OtherKey, Wrong::TwoUris, Wrong::Ended] {
        api.stream().send(Ok(red.wrong_response(WEB, wrong))).await.unwrap();
        let ran = api.run(&["fetch", "--write", &kept.arg()], "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""), "{wrong:?}");
        assert!(ran.err.contains("thrown away"), "{}", ran.err);
        assert_eq!(kept.serial(), serial, "{wrong:?}");
    }
    api.stream().send(Ok(red.response(WEB))).await.unwrap();
    api.run(&["fetch", "--write", &kept.arg()], "").await;
    assert_ne!(kept.serial(), serial);
    assert_eq!(kept.generations(), 1);
}

#[tokio::test]
async fn e_5_who_has_no_identity_is_not_permitted_and_keeps_the_files() {
    let (api, kept) = (WorkloadApi::start(), Kept::new());
    api.stream().send(Ok(red().response(WEB))).await.unwrap();
    api.run(&["fetch", "--write", &kept.arg()], "").await;
    let serial = kept.serial();
    api.refuse(Status::permission_denied("no identity issued"));
    let ran = api.run(&["fetch", "--write", &kept.arg()], "").await;
    assert_eq!(ran.exit, Exit::NotPermitted);
    assert!(ran.err.contains("no identity issued"), "{}", ran.err);
    assert_eq!(kept.serial(), serial);
}

#[tokio::test]
async fn no_workload_api_is_said_with_where_and_what_to_do() {
    let ran = enforcerctl(&["svid", "fetch", "--workload-socket", "/nonexistent/api.sock"], "").await;
    assert_eq!(ran.exit, Exit::Unreachable);
    assert!(ran.err.contains("--workload-socket"), "{}", ran.err);
    let ran = enforcerctl(&["svid", "fetch", "--endpoint", "tcp://127.0.0.1:1"], "").await;
    assert_eq!(ran.exit, Exit::Usage, "{}", ran.err);
}

#[tokio::test]
async fn a_fetch_does_not_wait_for_ever() {
    let api = WorkloadApi::start();
    let _silent = api.stream();
    let ran = api.run(&["fetch", "--request-timeout", "100ms"], "").await;
    assert_eq!(ran.exit, Exit::Timeout, "{}", ran.err);
}

#[tokio::test]
async fn watch_replaces_everything_with_every_update() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let updates = api.stream();
    watching(&api, &kept, &[], async |mut printed, _| {
        let mut first = red.response(WEB);
        let blue = Authority::new("blue.fleet.example").bundle();
        first.federated_bundles.insert("spiffe://blue.fleet.example".to_owned(), blue);
        updates.send(Ok(first)).await.unwrap();
        let event = printed.event().await;
        assert_eq!((&event["event"], &event["serial"]), (&"written".into(), &kept.serial().into()));
        assert!(kept.path().join("federated/blue.fleet.example.pem").exists());
        // W-3: what is not said again is withdrawn.
        let second = red.response(WEB);
        updates.send(Ok(second.clone())).await.unwrap();
        assert_eq!(printed.event().await["serial"], kept.serial());
        assert!(!kept.names().contains_key("federated"));
        assert_eq!(kept.generations(), 1);
        // The same again is no change, and the next line is the third update's.
        updates.send(Ok(second)).await.unwrap();
        updates.send(Ok(red.response(WEB))).await.unwrap();
        assert_eq!(printed.event().await["serial"], kept.serial());
    })
    .await;
}

#[tokio::test]
async fn watch_outlives_an_agent_that_goes_away() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let (first, second) = (api.stream(), api.stream());
    watching(&api, &kept, &[], async |mut printed, mut warned| {
        first.send(Ok(red.response(WEB))).await.unwrap();
        printed.event().await;
        drop(first);
        assert!(warned.line().await.contains("ended the stream"));
        second.send(Ok(red.response(WEB))).await.unwrap();
        assert_eq!(printed.event().await["serial"], kept.serial());
    })
    .await;
}

#[tokio::test]
async fn watch_does_not_trust_a_connection_that_lets_the_certificate_end() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let (first, second) = (api.stream(), api.stream());
    watching(&api, &kept, &[], async |mut printed, mut warned| {
        first.send(Ok(red.short_response(WEB, 4))).await.unwrap();
        printed.event().await;
        assert!(warned.line().await.contains("let the certificate end"));
        second.send(Ok(red.response(WEB))).await.unwrap();
        assert_eq!(printed.event().await["serial"], kept.serial());
    })
    .await;
}

#[tokio::test]
async fn watch_keeps_good_files_and_asks_again_after_a_bad_update() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let (first, second) = (api.stream(), api.stream());
    watching(&api, &kept, &[], async |mut printed, mut warned| {
        first.send(Ok(red.response(WEB))).await.unwrap();
        let good = printed.event().await["serial"].clone();
        first.send(Ok(red.wrong_response(WEB, Wrong::OtherKey))).await.unwrap();
        assert!(warned.line().await.contains("private key"));
        assert_eq!(kept.serial(), good);
        second.send(Ok(red.response(WEB))).await.unwrap();
        assert_eq!(printed.event().await["serial"], kept.serial());
    })
    .await;
}

#[tokio::test]
async fn watch_says_once_that_it_is_denied_and_keeps_asking() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let updates = api.stream();
    api.refuse(Status::permission_denied("no identity issued"));
    api.refuse(Status::permission_denied("no identity issued"));
    let again = api.stream();
    watching(&api, &kept, &[], async |mut printed, _| {
        updates.send(Ok(red.response(WEB))).await.unwrap();
        printed.event().await;
        updates.send(Err(Status::permission_denied("no identity issued"))).await.unwrap();
        let event = printed.event().await;
        assert_eq!((&event["event"], &event["reason"]), (&"denied".into(), &"no identity issued".into()));
        let old = kept.serial();
        again.send(Ok(red.response(WEB))).await.unwrap();
        let event = printed.event().await;
        assert_eq!((&event["event"], &event["serial"]), (&"written".into(), &kept.serial().into()));
        assert_ne!(kept.serial(), old);
    })
    .await;
}

#[tokio::test]
async fn watch_takes_the_files_away_when_that_was_asked_for() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let updates = api.stream();
    watching(&api, &kept, &["--remove-on-denied"], async |mut printed, _| {
        updates.send(Ok(red.response(WEB))).await.unwrap();
        printed.event().await;
        updates.send(Err(Status::permission_denied("revoked"))).await.unwrap();
        assert_eq!(printed.event().await["event"], "removed");
        assert!(kept.names().is_empty(), "{:?}", kept.names());
    })
    .await;
}

#[tokio::test]
async fn watch_ends_when_asking_again_is_useless() {
    let (api, kept) = (WorkloadApi::start(), Kept::new());
    api.refuse(Status::unimplemented("no such method"));
    let ran = api.run(&["watch", "--write", &kept.arg()], "").await;
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.err);
    api.refuse(Status::invalid_argument("no header"));
    assert_eq!(api.run(&["watch", "--write", &kept.arg()], "").await.exit, Exit::Refused);
}

#[tokio::test]
async fn watch_tells_the_process_that_reads_the_files() {
    let (api, kept, red) = (WorkloadApi::start(), Kept::new(), red());
    let mut sleeper = Sleeper::start();
    let pid_file = kept.dir.path().join("pid");
    fs::write(&pid_file, sleeper.pid().to_string()).unwrap();
    fs::set_permissions(&pid_file, fs::Permissions::from_mode(0o644)).unwrap();
    let updates = api.stream();
    let pid_file = pid_file.display().to_string();
    watching(&api, &kept, &["--pid-file", &pid_file, "--signal", "USR2"], async |mut printed, mut warned| {
        updates.send(Ok(red.response(WEB))).await.unwrap();
        printed.event().await;
        assert_eq!(sleeper.ended_by(), Some(libc::SIGUSR2));
        // It is gone, which is said and is no reason to stop.
        updates.send(Ok(red.response(WEB))).await.unwrap();
        printed.event().await;
        assert!(warned.line().await.contains("nobody was told"));
    })
    .await;
}

#[tokio::test]
async fn a_token_is_printed_alone() {
    let api = WorkloadApi::start();
    let token = |id: &str, svid: &str| Jwtsvid {
        spiffe_id: id.to_owned(),
        svid: svid.to_owned(),
        hint: String::new(),
    };
    let svids = vec![token("spiffe://a/b", "a.b.c"), token("spiffe://a/c", "d.e.f")];
    api.say_jwt(Ok(JwtsvidResponse { svids }));
    let ran = api.run(&["jwt", "--audience", "x", "--audience", "y"], "").await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Ok, "a.b.c\n"), "{}", ran.err);
    assert_eq!(ran.err, "not printed: the token of spiffe://a/c\n");
    let json =
        api.run(&["jwt", "--audience", "x", "--spiffe-id", "spiffe://a/c", "-o", "json"], "").await.json();
    assert_eq!(json["svids"][1]["svid"], "d.e.f");
    let asked = api.asked_jwt();
    assert_eq!((asked[0].audience.join(","), asked[0].spiffe_id.as_str()), ("x,y".to_owned(), ""));
    assert_eq!(asked[1].spiffe_id, "spiffe://a/c");
    // W-4.
    api.say_jwt(Ok(JwtsvidResponse::default()));
    assert_eq!(api.run(&["jwt", "--audience", "x"], "").await.exit, Exit::Refused);
}

#[tokio::test]
async fn a_token_is_checked_by_the_agent() {
    let api = WorkloadApi::start();
    let text = |text: &str| prost_types::Value::from(text.to_owned());
    let fields = [("sub".to_owned(), text("spiffe://a/b")), ("exp".to_owned(), 1_793_700_000_f64.into())];
    let claims = Some(prost_types::Struct { fields: fields.into() });
    api.say_validated(Ok(ValidateJwtsvidResponse { spiffe_id: "spiffe://a/b".to_owned(), claims }));
    let ran = api.run(&["validate", "--audience", "x"], "a.b.c\n").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(
        ran.out,
        "valid        spiffe://a/b\nexp          1793700000\nsub          \"spiffe://a/b\"\n"
    );
    let json = api.run(&["validate", "--audience", "x", "d.e.f", "-o", "json"], "").await.json();
    assert_eq!(json["claims"]["exp"], 1_793_700_000);
    let asked: Vec<String> = api.asked_validate().into_iter().map(|request| request.svid).collect();
    assert_eq!(asked, ["a.b.c", "d.e.f"]);
    api.say_validated(Err(Status::invalid_argument("the token has ended")));
    let ran = api.run(&["validate", "--audience", "x", "-"], "a.b.c").await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.err.contains("the token has ended"), "{}", ran.err);
    assert_eq!(api.run(&["validate", "--audience", "x"], " \n").await.exit, Exit::Usage);
}
