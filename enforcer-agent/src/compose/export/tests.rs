//! Who may scrape over the network, and what they see: real certificates, real TLS.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::AtomicU64;

use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::settings::CertificateFiles;
use crate::door::stop::Stop;
use crate::export::metrics::tests as played;

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn leaf(authority: &Authority, id: &str) -> (String, String) {
    let mut params = CertificateParams::new(vec!["n1".to_owned()]).unwrap();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names.push(SanType::URI(Ia5String::try_from(id).unwrap()));
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

struct Endpoint {
    authority: Authority,
    address: SocketAddr,
    _files: TempDir,
    _stopper: Stopper,
}

async fn endpoint() -> Endpoint {
    let (authority, files) = (authority(), TempDir::new().unwrap());
    let place = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let (certificate, key) = leaf(&authority, "spiffe://fleet.example/node/n1");
    let reader = "spiffe://red.fleet.example/ns/ops/sa/prometheus".parse().unwrap();
    let settings = MetricsTls {
        own: Some(CertificateFiles { certificate: place("crt", &certificate), key: place("key", &key) }),
        client_ca: Some(place("ca", &authority.pem())),
        allowed: BTreeSet::from(["spiffe://fleet.example/prometheus".parse().unwrap()]),
        readers: BTreeMap::from([(reader, "red".into())]),
    };
    let (policy, _) = played::played(Arc::new(AtomicU64::new(4)));
    let tls = tls(&settings, None).unwrap();
    let local = ([127, 0, 0, 1], 0).into();
    let door = MetricsDoor::open(local, played::collector(policy), Some(tls)).await.unwrap();
    let (address, stopper) = (door.address().unwrap(), Stopper::default());
    let stop: Stop = stopper.listener();
    tokio::spawn(door.run(stop));
    Endpoint { authority, address, _files: files, _stopper: stopper }
}

impl Endpoint {
    async fn scrape(&self, shown: Option<(String, String)>) -> std::io::Result<String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS);
        let config = config.unwrap().with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain =
                    CertificateDer::pem_slice_iter(certificate.as_bytes()).map(Result::unwrap).collect();
                config
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                    .unwrap()
            }
        };
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("n1").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: n1\r\nConnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

#[tokio::test]
async fn a_certificate_says_who_sees_what() {
    let endpoint = endpoint().await;
    let as_caller = |id: &str| endpoint.scrape(Some(leaf(&endpoint.authority, id)));
    let all = as_caller("spiffe://fleet.example/prometheus").await.unwrap();
    assert!(
        all.starts_with("HTTP/1.1 200") && all.contains("source=\"blue\"") && all.contains("process_"),
        "{all}"
    );
    let own = as_caller("spiffe://red.fleet.example/ns/ops/sa/prometheus").await.unwrap();
    assert!(own.starts_with("HTTP/1.1 200") && own.contains("source=\"red\""), "{own}");
    assert!(!own.contains("blue") && !own.contains("process_"), "{own}");
    for stranger in [
        "spiffe://red.fleet.example/ns/ops/sa/other",
        "spiffe://blue.fleet.example/ns/ops/sa/prometheus",
        "spiffe://fleet.example/node/n1",
    ] {
        assert!(as_caller(stranger).await.is_err(), "{stranger}");
    }
    assert!(endpoint.scrape(None).await.is_err(), "nobody");
    let forged = leaf(&authority(), "spiffe://fleet.example/prometheus");
    assert!(endpoint.scrape(Some(forged)).await.is_err(), "another authority");
}
