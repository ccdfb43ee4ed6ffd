//! The endpoint from outside, over TLS.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::bundle::{Bundle, Trust};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::door::stop::Stopper;

const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    address: SocketAddr,
    roots: RootCertStore,
    trust: watch::Sender<Arc<Trust>>,
    stopper: Stopper,
    tasks: JoinSet<()>,
    _directory: TempDir,
}

/// A certificate for `localhost` in files.
fn certificate(directory: &TempDir) -> (PathBuf, PathBuf, RootCertStore) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key] = ["certificate.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&certificate, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(signed.cert.der().clone()).unwrap();
    (certificate, key, roots)
}

fn bundle(domain: &str, sequence: u64) -> Arc<Bundle> {
    let trust_domain = domain.parse().unwrap();
    Arc::new(Bundle { trust_domain, x509: Vec::new(), jwt: Vec::new(), sequence, refresh_hint_seconds: 77 })
}

fn trust(sequence: u64) -> Arc<Trust> {
    let all = ["fleet.example", "red.fleet.example", "secret.fleet.example"];
    let bundles: BTreeMap<_, _> =
        all.map(|domain| (domain.parse().unwrap(), bundle(domain, sequence))).into();
    Arc::new(Trust { bundles, ..Trust::default() })
}

impl Scene {
    async fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let (certificate, key, roots) = certificate(&directory);
        let door = FederationDoor::open("127.0.0.1:0".parse().unwrap(), certificate, key).await.unwrap();
        let address = door.address().unwrap();
        let trust = watch::Sender::new(trust(1));
        let published = ["fleet.example", "red.fleet.example", "absent.fleet.example"];
        let publication = Publication {
            published: published.map(|domain| domain.parse().unwrap()).into(),
            fleet: "fleet.example".parse().unwrap(),
            trust: trust.subscribe(),
            write: |bundle| format!(r#"{{"of":"{}","sequence":{}}}"#, bundle.trust_domain, bundle.sequence),
        };
        let stopper = Stopper::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(door.run(publication, stopper.listener()));
        Self { address, roots, trust, stopper, tasks, _directory: directory }
    }

    /// Sends a request as it is, and gives the status line, the headers in lower case, and the body.
    async fn say(&self, request: &str) -> (String, String, String) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _without_farewell = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("an answer");
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let (status, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        (status.to_owned(), headers.to_ascii_lowercase(), body.to_owned())
    }

    async fn get(&self, path: &str) -> (String, String, String) {
        self.say(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
    }
}

/// F-3, F-4.
#[tokio::test]
async fn the_newest_bundle_of_a_listed_trust_domain_is_for_anybody() {
    let scene = Scene::new().await;
    let (status, headers, body) = scene.get("/red.fleet.example").await;
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(headers.contains("content-type: application/json"), "{headers}");
    assert!(headers.contains("cache-control: max-age=77"), "{headers}");
    assert_eq!(body, r#"{"of":"red.fleet.example","sequence":1}"#);
    assert_eq!(scene.get("/").await.2, r#"{"of":"fleet.example","sequence":1}"#);
    scene.trust.send_replace(trust(2));
    assert_eq!(scene.get("/red.fleet.example").await.2, r#"{"of":"red.fleet.example","sequence":2}"#);
}

/// F-2.
#[tokio::test]
async fn without_tls_nothing_is_answered() {
    let scene = Scene::new().await;
    let mut stream = TcpStream::connect(scene.address).await.unwrap();
    let request = b"GET /red.fleet.example HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed");
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
}

/// F-4, F-7: nor is anybody sent elsewhere.
#[tokio::test]
async fn anything_else_is_not_there() {
    let scene = Scene::new().await;
    for path in ["/secret.fleet.example", "/absent.fleet.example", "/nowhere.example", "/a/b", "/%2e", "//"] {
        let (status, _, body) = scene.get(path).await;
        assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 404 Not Found", ""), "{path}");
    }
    let post = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let (status, headers, _) = scene.say(post).await;
    assert_eq!(status, "HTTP/1.1 405 Method Not Allowed");
    assert!(headers.contains("allow: get, head"), "{headers}");
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    assert!(!scene.say(&long).await.0.contains("200"));
}

#[tokio::test]
async fn who_has_it_already_is_told_so() {
    let scene = Scene::new().await;
    let head = "HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let (status, headers, body) = scene.say(&format!("{head}\r\n")).await;
    assert_eq!((status.as_str(), body.as_str()), ("HTTP/1.1 200 OK", ""));
    let length = r#"{"of":"fleet.example","sequence":1}"#.len();
    assert!(headers.contains(&format!("content-length: {length}")), "{headers}");
    let tag = headers.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let again =
        format!("GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nif-none-match: {tag}\r\n\r\n");
    assert_eq!(scene.say(&again).await.0, "HTTP/1.1 304 Not Modified");
    scene.trust.send_replace(trust(2));
    assert_eq!(scene.say(&again).await.0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to() {
    let mut scene = Scene::new().await;
    scene.stopper.stop();
    timeout(PATIENCE, scene.tasks.join_next()).await.expect("it ends").unwrap().unwrap();
    assert!(TcpStream::connect(scene.address).await.is_err());
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_bad_one_is_not() {
    let directory = TempDir::new().unwrap();
    let (path, key, _) = certificate(&directory);
    let mut door =
        FederationDoor::open("127.0.0.1:0".parse().unwrap(), path.clone(), key.clone()).await.unwrap();
    let mut stamp = door.files.stamp();
    let first = Arc::clone(&door.config);
    door.reload(&mut stamp);
    assert!(Arc::ptr_eq(&door.config, &first), "nothing has changed");
    std::fs::write(&path, "no certificate").unwrap();
    door.reload(&mut stamp);
    assert!(Arc::ptr_eq(&door.config, &first), "the old one stays");
    let _renewed = certificate(&directory);
    door.reload(&mut stamp);
    assert!(!Arc::ptr_eq(&door.config, &first));

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(door.files.load(), Err(CertificateError::KeyPermissions { mode: 0o644, .. })));
}
