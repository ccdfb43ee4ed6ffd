//! What survives a restart, and what does not survive damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use enforcer_core::identity::target::Target;
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::stage::{Disk, HOUR, START, Stage};
use crate::identity::svid::Standing;

#[tokio::test]
async fn a_restart_re_keys_nobody() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let before = (stage.granted("a").await, stage.granted("c").await);
    stage.close().await;
    let stage = Stage::open(&disk, START + HOUR / 10);
    stage.be_away(true);
    let after = (stage.granted("a").await, stage.granted("c").await);
    assert_eq!(before.0.svid.serial, after.0.svid.serial);
    assert_eq!(before.1.svid.key.expose(), after.1.svid.key.expose());
    assert_eq!(stage.upstream.asked.load(Ordering::SeqCst), 0);
    stage.close().await;
}

#[tokio::test]
async fn a_certificate_that_ended_meanwhile_is_not_served_again() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let before = stage.granted("a").await;
    stage.close().await;
    let stage = Stage::open(&disk, START + HOUR * 2);
    let after = stage.granted("a").await;
    assert_ne!(before.svid.serial, after.svid.serial);
    stage.close().await;
}

#[tokio::test]
async fn revocation_lists_are_there_again_after_a_restart() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let a = stage.granted("a").await;
    stage.granted("b").await;
    stage.revoke(Target::Workload("a".into())).await.unwrap();
    stage.close().await;
    let stage = Stage::open(&disk, START + HOUR / 10);
    let has_list =
        |standing: &Standing| matches!(standing, Standing::Granted(material) if !material.crls.is_empty());
    let Standing::Granted(b) = stage.stands("b", has_list).await else { unreachable!() };
    let (_, list) = CertificateRevocationList::from_der(&b.crls.values().next().unwrap()[0]).unwrap();
    assert!(list.iter_revoked_certificates().any(|one| one.user_certificate.to_bytes_be() == a.svid.serial));
    stage.close().await;
}

fn sealed(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sealed(&path, name));
        } else if path.file_name().unwrap().to_string_lossy().starts_with(name) {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_damaged_certificate_is_issued_anew() {
    let disk = Disk::new();
    let stage = Stage::open(&disk, START);
    let before = stage.granted("a").await;
    stage.granted("b").await;
    stage.granted("c").await;
    stage.close().await;
    let files = sealed(disk.path(), "svid-");
    assert_eq!(files.len(), 3);
    for file in files {
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
    let stage = Stage::open(&disk, START);
    assert_ne!(stage.granted("a").await.svid.serial, before.svid.serial);
    stage.close().await;
}
