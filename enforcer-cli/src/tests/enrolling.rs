//! `identity enroll`: a node's first certificate, and the files that are carried to it.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use enforcer_proto::v1;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tonic::Status;

use super::material::Authority;
use super::wall::{Answers, Wall};
use crate::certificate::Certificate;
use crate::exit::Exit;

const ID: &str = "spiffe://fleet.example/node/gpu-17";

/// An authority that certifies each key for the node at `path`, whoever was asked for.
fn authority(path: &'static str) -> Wall {
    let fleet = Authority::new("fleet.example");
    let enroll = move |request: &v1::EnrollNodeRequest| {
        let certificates = fleet.enroll(path, &request.csr);
        Ok(v1::EnrollNodeResponse { certificates, authorities_pem: fleet.bundle_pem() })
    };
    Wall::start(Answers { enroll: Some(Arc::new(enroll)), ..Answers::default() })
}

struct Carried {
    dir: TempDir,
}

impl Carried {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("gpu-17")
    }

    async fn enroll(&self, wall: &Wall, more: &[&str]) -> super::Ran {
        let path = self.path().display().to_string();
        wall.run(&[&["enroll", "gpu-17", "--write", &path], more].concat()).await
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_node_gets_its_key_its_certificate_and_who_vouches() {
    let (wall, carried) = (authority("/node/gpu-17"), Carried::new());
    let ran = carried.enroll(&wall, &[]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!(wall.asked().enroll, ["gpu-17"]);
    assert!(ran.err.starts_with(&format!("{ID} is written to {}", carried.path().display())), "{}", ran.err);
    assert_eq!(names(&carried.path()), ["bundle.pem", "svid.pem", "svid_key.pem"]);
    for name in names(&carried.path()) {
        let metadata = fs::symlink_metadata(carried.path().join(&name)).unwrap();
        assert!(metadata.is_file() && metadata.permissions().mode() & 0o7777 == 0o600, "{name}");
    }
    assert_eq!(fs::metadata(carried.path()).unwrap().permissions().mode() & 0o7777, 0o700);
    let chain = Certificate::read_pem(&fs::read_to_string(carried.path().join("svid.pem")).unwrap()).unwrap();
    assert_eq!((chain.len(), chain[0].uris[0].as_str()), (2, ID));
    // As the node's agent will use them.
    let certificates = CertificateDer::pem_file_iter(carried.path().join("svid.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(carried.path().join("svid_key.pem")).unwrap();
    let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let pair = rustls::sign::CertifiedKey::new(certificates.map(Result::unwrap).collect(), signer);
    pair.keys_match().unwrap();
}

#[tokio::test]
async fn what_is_printed_is_what_the_nodes_configuration_needs() {
    let (wall, carried) = (authority("/node/gpu-17"), Carried::new());
    let ran = carried.enroll(&wall, &[]).await;
    let dir = carried.path().display().to_string();
    let lines = format!(
        "identity:\n  trustDomain: fleet.example\n  upstream:\n    grpc:\n      address: https://AUTHORITY:7443\n      \
         certificate: {dir}/svid.pem\n      key: {dir}/svid_key.pem\n      ca: {dir}/bundle.pem\n"
    );
    assert!(ran.out.ends_with(&lines), "{}", ran.out);
    assert!(ran.out.lines().take(2).all(|line| line.starts_with("# ")), "{}", ran.out);
    assert!(!ran.out.contains("PRIVATE KEY") && !ran.err.contains("PRIVATE KEY"));
    let json = carried.enroll(&wall, &["-o", "json"]).await.json();
    assert_eq!(json["spiffeId"], ID);
    assert_eq!(json["configuration"]["identity"]["trustDomain"], "fleet.example");
    let grpc = &json["configuration"]["identity"]["upstream"]["grpc"];
    assert_eq!(grpc["key"], format!("{dir}/svid_key.pem"));
    assert!(!json.to_string().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_second_enrolment_replaces_the_first_and_leaves_other_files_alone() {
    let (wall, carried) = (authority("/node/gpu-17"), Carried::new());
    carried.enroll(&wall, &[]).await;
    fs::write(carried.path().join("notes"), "mine").unwrap();
    // What a run that was killed left.
    fs::write(carried.path().join(".svid_key.pem.new"), "half a").unwrap();
    let key = || fs::read_to_string(carried.path().join("svid_key.pem")).unwrap();
    let first = key();
    let ran = carried.enroll(&wall, &[]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_ne!(key(), first);
    assert_eq!(names(&carried.path()), ["bundle.pem", "notes", "svid.pem", "svid_key.pem"]);
}

#[tokio::test]
async fn a_wrong_or_missing_answer_writes_nothing() {
    let carried = Carried::new();
    carried.enroll(&authority("/node/gpu-17"), &[]).await;
    let before = fs::read(carried.path().join("svid_key.pem")).unwrap();
    let ran = carried.enroll(&authority("/node/gpu-18"), &[]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""));
    assert!(ran.err.contains("spiffe://fleet.example/node/gpu-18"), "{}", ran.err);
    let denied = |_: &v1::EnrollNodeRequest| Err(Status::permission_denied("not you"));
    let wall = Wall::start(Answers { enroll: Some(Arc::new(denied)), ..Answers::default() });
    assert_eq!(carried.enroll(&wall, &[]).await.exit, Exit::NotPermitted);
    assert_eq!(fs::read(carried.path().join("svid_key.pem")).unwrap(), before);
    assert_eq!(names(&carried.path()), ["bundle.pem", "svid.pem", "svid_key.pem"]);
}

#[tokio::test]
async fn a_write_that_fails_changes_nothing() {
    let (wall, carried) = (authority("/node/gpu-17"), Carried::new());
    carried.enroll(&wall, &[]).await;
    let read = |name: &str| fs::read(carried.path().join(name)).unwrap();
    let before = (read("svid.pem"), read("svid_key.pem"), read("bundle.pem"));
    // The last of the three cannot be written.
    fs::create_dir(carried.path().join(".svid.pem.new")).unwrap();
    let ran = carried.enroll(&wall, &[]).await;
    assert_eq!((ran.exit, ran.out.as_str()), (Exit::Refused, ""));
    assert!(before == (read("svid.pem"), read("svid_key.pem"), read("bundle.pem")));
    assert_eq!(names(&carried.path()), [".svid.pem.new", "bundle.pem", "svid.pem", "svid_key.pem"]);
}

#[tokio::test]
async fn a_directory_that_others_keep_is_not_used_and_nobody_is_asked() {
    let wall = authority("/node/gpu-17");
    let carried = Carried::new();
    fs::create_dir(carried.path()).unwrap();
    symlink("..data/svid_key.pem", carried.path().join("svid_key.pem")).unwrap();
    let ran = carried.enroll(&wall, &[]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.err.contains("svid_key.pem is no file"), "{}", ran.err);
    fs::remove_file(carried.path().join("svid_key.pem")).unwrap();
    fs::set_permissions(carried.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let ran = carried.enroll(&wall, &[]).await;
    assert_eq!(ran.exit, Exit::Refused);
    assert!(ran.err.contains("others may write"), "{}", ran.err);
    assert!(wall.asked().enroll.is_empty() && names(&carried.path()).is_empty());
}
