//! The network door: mutual TLS with exactly one SPIFFE ID that is on the list, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use enforcer_proto::v1::policy_service_client::PolicyServiceClient;
use enforcer_proto::v1::{ApplyRequest, Snapshot, apply_request};
use hyper_util::rt::TokioIo;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Endpoint, Uri};

use super::{Served, serve_with};
use crate::admin::listen::ListenError;
use crate::admin::listen::guests::Guests;
use crate::admin::listen::network::NetworkDoor;
use crate::admin::listen::tls::{Callers, Own, TlsSource};

const PLANE: &str = "spiffe://fleet.example/plane";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(
    authority: &Authority,
    uris: &[&str],
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let mut params = CertificateParams::new(vec!["agent".to_owned()]).unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(*uri).unwrap()));
    }
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

struct Fleet {
    authority: Authority,
    directory: TempDir,
    certificate: PathBuf,
    key: PathBuf,
    source: TlsSource,
}

impl Fleet {
    fn new() -> Self {
        let authority = authority();
        let directory = TempDir::new().unwrap();
        let place = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let (certificate, key) = leaf(&authority, &["spiffe://fleet.example/node"], |_| ());
        let (certificate, key) = (place("tls.crt", &certificate), place("tls.key", &key));
        let source = TlsSource {
            own: Own::Files { certificate: certificate.clone(), key: key.clone() },
            callers: Callers::File(place("ca.crt", &authority.pem())),
            guests: Guests {
                allowed: BTreeSet::from([PLANE.parse().unwrap()]),
                readers: BTreeMap::new(),
                fleet: None,
                is_revoked: None,
            },
        };
        Self { authority, directory, certificate, key, source }
    }

    async fn serve(&self) -> (Served, SocketAddr) {
        let door = NetworkDoor::open("127.0.0.1:0".parse().unwrap(), self.source.clone()).await.unwrap();
        let address = door.address().unwrap();
        (serve_with(Some(door)).await, address)
    }

    /// Applies once as a caller with this certificate; who may not, gets an error.
    async fn call(&self, address: SocketAddr, identity: Option<(String, String)>) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(rustls::ALL_VERSIONS)
                .unwrap()
                .with_root_certificates(roots);
        let mut config = match identity {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => config
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let channel = Endpoint::from_static("http://agent")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let connector = connector.clone();
                async move {
                    let stream = TcpStream::connect(address).await?;
                    let name = ServerName::try_from("agent").unwrap();
                    connector.connect(name, stream).await.map(TokioIo::new)
                }
            }))
            .await
            .map_err(|error| format!("{error:?}"))?;
        let request = ApplyRequest {
            base_revision: None,
            change: Some(apply_request::Change::Snapshot(Snapshot::default())),
        };
        let answer = PolicyServiceClient::new(channel).apply(request).await;
        answer
            .map(|answer| answer.into_inner().ack.unwrap().warnings.concat())
            .map_err(|status| format!("{status:?}"))
    }
}

#[tokio::test]
async fn a_listed_caller_is_served_by_its_spiffe_id() {
    let fleet = Fleet::new();
    let (_served, address) = fleet.serve().await;
    let author = fleet.call(address, Some(leaf(&fleet.authority, &[PLANE], |_| ()))).await.unwrap();
    assert_eq!(author, PLANE);
}

#[tokio::test]
async fn everybody_else_is_refused_in_the_handshake() {
    let fleet = Fleet::new();
    let (served, address) = fleet.serve().await;
    let expired = |params: &mut CertificateParams| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    };
    let strangers = [
        ("no certificate", None),
        ("not listed", Some(leaf(&fleet.authority, &["spiffe://fleet.example/other"], |_| ()))),
        ("no URI", Some(leaf(&fleet.authority, &[], |_| ()))),
        ("second URI", Some(leaf(&fleet.authority, &[PLANE, "spiffe://fleet.example/other"], |_| ()))),
        ("expired", Some(leaf(&fleet.authority, &[PLANE], expired))),
        ("other authority", Some(leaf(&authority(), &[PLANE], |_| ()))),
        (
            "authority itself",
            Some(leaf(&fleet.authority, &[PLANE], |params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                params.key_usages.push(KeyUsagePurpose::KeyCertSign);
            })),
        ),
    ];
    for (who, identity) in strangers {
        let error = fleet.call(address, identity).await.expect_err(who);
        assert!(!error.contains("PermissionDenied"), "{who} got as far as a service: {error}");
    }
    assert_eq!(served.in_force.borrow().current.number, 0);
}

#[tokio::test]
async fn the_door_does_not_open_with_a_key_that_others_can_read_or_without_material() {
    let fleet = Fleet::new();
    fs::set_permissions(&fleet.key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(fleet.source.load(), Err(ListenError::KeyPermissions { mode: 0o644, .. })));
    fs::set_permissions(&fleet.key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(fleet.source.load().is_ok());
    fs::write(fleet.directory.path().join("ca.crt"), "").unwrap();
    assert!(matches!(fleet.source.load(), Err(ListenError::Pem { .. })));
    fs::remove_file(&fleet.certificate).unwrap();
    assert!(fleet.source.load().is_err());
}

#[tokio::test]
async fn tls_1_2_is_not_spoken() {
    let fleet = Fleet::new();
    let (_served, address) = fleet.serve().await;
    let mut roots = RootCertStore::empty();
    roots.add(fleet.authority.der().clone()).unwrap();
    let (certificate, key) = leaf(&fleet.authority, &[PLANE], |_| ());
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("agent").unwrap();
    assert!(TlsConnector::from(Arc::new(config)).connect(name, stream).await.is_err());
}

#[tokio::test]
async fn a_tenants_reader_comes_in_and_changes_nothing() {
    const READER: &str = "spiffe://red.fleet.example/ns/ops/sa/auditor";
    let mut fleet = Fleet::new();
    fleet.source.guests.readers = BTreeMap::from([(READER.parse().unwrap(), "red".into())]);
    let (served, address) = fleet.serve().await;
    let error = fleet.call(address, Some(leaf(&fleet.authority, &[READER], |_| ()))).await.unwrap_err();
    assert!(error.contains("PermissionDenied") && error.contains("permission denied"), "{error}");
    assert_eq!(served.in_force.borrow().current.number, 0);
    let sibling = leaf(&fleet.authority, &["spiffe://red.fleet.example/ns/ops/sa/other"], |_| ());
    let error = fleet.call(address, Some(sibling)).await.unwrap_err();
    assert!(!error.contains("PermissionDenied"), "a stranger got as far as a service: {error}");
}
