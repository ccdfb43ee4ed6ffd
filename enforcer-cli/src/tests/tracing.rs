//! `trace`: what needs no agent, and what is refused before one is asked.

use std::sync::Arc;

use enforcer_proto::v1;
use enforcer_trace::keys::{Keys, Memory};
use enforcer_trace::{Limits, Store};
use tempfile::TempDir;

use super::enforcerctl;
use crate::exit::Exit;

/// A store with one sealed file of a tenant.
fn store() -> TempDir {
    let directory = TempDir::new().unwrap();
    let keys: Arc<dyn Keys> = Arc::new(Memory::new());
    let (mut store, _) =
        Store::open(&directory.path().join("trace"), Limits::default(), keys, "n1", 1).unwrap();
    let end = Some(v1::Endpoint { identity: "red".to_owned(), ..v1::Endpoint::default() });
    let record = |sequence| v1::Record {
        sequence,
        r#type: "flow".to_owned(),
        source: end.clone(),
        ..v1::Record::default()
    };
    let records: Vec<_> = (1..=100).map(|sequence| Arc::new(record(sequence))).collect();
    store.append(&records, 2).unwrap();
    store.seal(3).unwrap();
    directory
}

fn sealed(directory: &TempDir) -> std::path::PathBuf {
    let hour = directory.path().join("trace/tenant=red/hour=1970-01-01T00");
    std::fs::read_dir(hour).unwrap().next().unwrap().unwrap().path()
}

#[tokio::test]
async fn an_intact_store_is_intact_and_a_flipped_byte_is_named_with_a_code_of_its_own() {
    let directory = store();
    let place = directory.path().join("trace").display().to_string();
    let ran = enforcerctl(&["trace", "verify", &place, "-o", "json"], "").await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
    assert_eq!((&ran.json()["intact"], &ran.json()["records"]), (&true.into(), &100.into()));
    let file = sealed(&directory);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let ran = enforcerctl(&["trace", "verify", &place, "-o", "json"], "").await;
    assert_eq!(ran.exit, Exit::Tampered);
    let finding = &ran.json()["findings"][0];
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(finding["file"].as_str().unwrap().ends_with(name), "{finding}");
    assert_eq!((&finding["wrong"], &finding["tenant"]), (&"changed".into(), &"red".into()));
    let ran = enforcerctl(&["trace", "verify", &place], "").await;
    assert!(
        ran.out.contains(name) && ran.err.contains("not as they were written"),
        "{} {}",
        ran.out,
        ran.err
    );
}

#[tokio::test]
async fn a_key_may_be_a_file_or_digits_and_another_one_is_a_finding() {
    let directory = store();
    let place = directory.path().join("trace");
    let signer = place.join("signer.pub").display().to_string();
    let place = place.display().to_string();
    assert_eq!(enforcerctl(&["trace", "verify", &place, "--signer", &signer], "").await.exit, Exit::Ok);
    let other = "ab".repeat(32);
    assert_eq!(enforcerctl(&["trace", "verify", &place, "--signer", &other], "").await.exit, Exit::Tampered);
    assert_eq!(
        enforcerctl(&["trace", "verify", &place, "--signer", "nowhere"], "").await.exit,
        Exit::Refused
    );
    assert_eq!(enforcerctl(&["trace", "verify", "/nowhere"], "").await.exit, Exit::Refused);
}

#[tokio::test]
async fn what_means_nothing_is_refused_before_anybody_is_asked() {
    for words in [
        &["trace", "query", "--ip", "10.0.0.0/99"][..],
        &["trace", "stream", "--serial", "xyz"],
        &["trace", "query", "--from", "1h ago", "--until", "2h ago"],
        &["trace", "destroy", "red", "--reason", "left"],
    ] {
        let ran = enforcerctl(&[&["--socket", "/nowhere"], words].concat(), "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Usage, ""), "{words:?}: {}", ran.err);
    }
}

#[tokio::test]
async fn an_export_leaves_a_file_that_is_there_alone() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("x.jsonl");
    std::fs::write(&file, "mine").unwrap();
    let name = file.display().to_string();
    let words = ["--socket", "/nowhere", "trace", "export", "--format", "json", "--file", &name];
    let ran = enforcerctl(&words, "").await;
    assert!(ran.exit == Exit::Refused && ran.err.contains("--force"), "{}", ran.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}
