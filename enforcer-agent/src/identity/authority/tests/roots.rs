//! Roots on disk and in a token, of every kind of key, changed under the agent's feet.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tempfile::TempDir;

use super::openssl::{Verify, run};
use super::{DAY, Fleet, node_ca, svid, tick};
use crate::door::upstream::{Upstream as _, UpstreamError};
use crate::identity::authority::RootSource;
use crate::identity::custody::tests::softhsm::with_softhsm;

struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A root that openssl makes, valid now.
    fn make(&self, key: &[&str], subject: &str, more: &[&str]) {
        let extensions = [
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",
        ];
        let mut arguments = vec!["req", "-x509", "-nodes", "-subj", subject, "-days", "3650", "-newkey"];
        arguments.extend(key);
        arguments.extend(["-keyout", "key.pem", "-out", "root.pem"]);
        arguments.extend(if more.is_empty() { &extensions[..] } else { more });
        run(self.0.path(), &arguments);
        fs::set_permissions(self.path("key.pem"), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn source(&self) -> RootSource {
        RootSource::Disk { certificate: self.path("root.pem"), key: self.path("key.pem") }
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.path("root.pem")).unwrap()
    }
}

const P256: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"];

/// A fleet in the present: openssl dates its certificates by the machine's clock.
fn fleet(root: RootSource) -> Fleet {
    let mut fleet = Fleet::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    fleet.set_clock(now.as_secs() + 60);
    fleet.config.root = root;
    fleet
}

#[tokio::test]
async fn roots_of_every_kind_and_with_any_name_sign() {
    let cases: [(&[&str], &str); 5] = [
        (P256, "/O=Example/CN=Root"),
        (&["ec", "-pkeyopt", "ec_paramgen_curve:P-384"], "/DC=example/DC=corp/CN=Root"),
        (&["rsa:2048"], "/O=Example/OU=One/OU=Two/CN=Root"),
        (&["ed25519"], "/CN=Root+UID=7"),
        (&["rsa:3072"], "/C=DE/O=Beispiel AG"),
    ];
    for (key, subject) in cases {
        let disk = Disk::new();
        disk.make(key, subject, &[]);
        let fleet = fleet(disk.source());
        let local = fleet.open();
        assert_eq!((local.kind(), local.root_problem()), ("disk", None), "{subject}");
        assert_eq!(local.roots(), [disk.certificate()]);
        let svid = svid(&fleet, &local).await;
        Verify::at(fleet.now()).trusting(&[disk.certificate()]).chain(&svid.chain).unwrap();
        assert!(matches!(local.rotate_root().await, Err(UpstreamError::Refused(_))));
    }
}

#[tokio::test]
async fn a_new_root_on_disk_is_taken_up_and_a_bad_one_is_not() {
    let disk = Disk::new();
    disk.make(P256, "/CN=First", &[]);
    let fleet = fleet(disk.source());
    let local = fleet.open();
    let first = disk.certificate();
    node_ca(&local, "red.fleet.example").await.unwrap();
    // The certificate is there, its key is not yet.
    let (key, other) = (fs::read(disk.path("key.pem")).unwrap(), Disk::new());
    other.make(P256, "/CN=Second", &[]);
    fs::copy(other.path("root.pem"), disk.path("root.pem")).unwrap();
    tick(&local);
    assert!(local.root_problem().unwrap().contains("not that of the certificate"));
    let svid_of_first = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&[first]).chain(&svid_of_first.chain).unwrap();
    fs::copy(other.path("key.pem"), disk.path("key.pem")).unwrap();
    tick(&local);
    assert_eq!(local.root_problem(), None);
    let svid_of_second = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&[other.certificate()]).chain(&svid_of_second.chain).unwrap();
    assert_ne!(fs::read(disk.path("key.pem")).unwrap(), key);
}

#[tokio::test]
async fn files_that_make_no_root_are_refused_with_the_reason() {
    let disk = Disk::new();
    let short = [
        "-addext",
        "basicConstraints=critical,CA:TRUE,pathlen:1",
        "-addext",
        "keyUsage=critical,keyCertSign",
    ];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let unsigning =
        ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,digitalSignature"];
    type Damage = fn(&Path);
    let cases: [(&[&str], Damage, &str); 7] = [
        (&short, |_| (), "path length"),
        (&leaf, |_| (), "no certificate authority"),
        (&unsigning, |_| (), "may not sign"),
        (&[], |path| fs::write(path.join("root.pem"), "nonsense").unwrap(), "not exactly one certificate"),
        (&[], |path| fs::write(path.join("key.pem"), "nonsense").unwrap(), "no private key"),
        (&[], |path| fs::remove_file(path.join("key.pem")).unwrap(), "No such file"),
        (
            &[],
            |path| {
                fs::set_permissions(path.join("key.pem"), fs::Permissions::from_mode(0o640)).unwrap();
            },
            "0640",
        ),
    ];
    for (extensions, damage, reason) in cases {
        disk.make(P256, "/CN=Root", extensions);
        damage(disk.0.path());
        let fleet = fleet(disk.source());
        let local = fleet.open();
        let problem = local.root_problem().unwrap();
        assert!(problem.contains(reason), "{reason}: {problem}");
        match node_ca(&local, "red.fleet.example").await {
            Err(UpstreamError::Away(why)) => assert!(why.contains(reason), "{why}"),
            other => panic!("{reason}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_root_signs_ends_with_it_and_a_new_one_takes_over() {
    let disk = Disk::new();
    disk.make(P256, "/CN=Root", &[]);
    let fleet = fleet(disk.source());
    let local = fleet.open();
    node_ca(&local, "red.fleet.example").await.unwrap();
    let end = fleet.now().as_secs() + 3650 * DAY - 60;
    fleet.set_clock(end - 3600);
    let last = node_ca(&local, "red.fleet.example").await.unwrap();
    assert!(last.not_after() <= Duration::from_secs(end));
    fleet.set_clock(end + 10);
    let ended = node_ca(&local, "red.fleet.example").await;
    assert!(matches!(ended, Err(UpstreamError::Away(_))), "{ended:?}");
    let longer = ["-days", "7300", "-addext", "basicConstraints=critical,CA:TRUE"];
    disk.make(P256, "/CN=Next root", &[&longer[..], &["-addext", "keyUsage=critical,keyCertSign"]].concat());
    tick(&local);
    let svid = svid(&fleet, &local).await;
    Verify::at(fleet.now()).trusting(&[disk.certificate()]).chain(&svid.chain).unwrap();
}

#[test]
fn a_root_in_a_token_signs() {
    let name = "identity::authority::tests::roots::a_root_in_a_token_signs";
    with_softhsm(name, |hsm| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let keys: [(&str, &[&str]); 3] = [
            ("p256", P256),
            ("p384", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
            ("rsa", &["rsa:2048"]),
        ];
        for (place, (label, key)) in keys.into_iter().enumerate() {
            let disk = Disk::new();
            disk.make(key, "/O=Example/CN=Root in a token", &[]);
            hsm.import(&disk.path("key.pem"), label, &format!("0{place}"));
            fs::remove_file(disk.path("key.pem")).unwrap();
            let source = |key_label: &str| RootSource::Pkcs11 {
                token: hsm.config(),
                key_label: key_label.to_owned(),
                certificate: disk.path("root.pem"),
            };
            let fleet_of = |label| fleet(source(label));
            let fleet = fleet_of(label);
            let local = fleet.open();
            assert_eq!((local.kind(), local.root_problem()), ("pkcs11", None), "{label}");
            let svid = runtime.block_on(svid(&fleet, &local));
            Verify::at(fleet.now()).trusting(&[disk.certificate()]).chain(&svid.chain).unwrap();
            let absent = fleet_of("absent").open();
            assert!(absent.root_problem().unwrap().contains("absent"));
        }
    });
}
