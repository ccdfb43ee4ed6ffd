//! Who comes in, and what they see: the socket for the operator, mutual TLS for whoever a certificate names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use enforcer_proto::hubble::observer::observer_client::ObserverClient;
use enforcer_proto::hubble::observer::{
    GetFlowsRequest, GetNamespacesRequest, GetNodesRequest, ServerStatusRequest,
};
use hyper_util::rt::TokioIo;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_stream::StreamExt as _;
use tonic::transport::{Channel, Endpoint, Uri};

use super::stage::{Stage, flow, policy, told};
use crate::admin::listen::guests::Guests;
use crate::admin::listen::network::NetworkDoor;
use crate::admin::listen::tls::{Callers, Own, TlsSource};

const OPERATOR: &str = "spiffe://fleet.example/plane";
const READER: &str = "spiffe://red.fleet.example/auditor";
const STRANGER: &str = "spiffe://blue.fleet.example/auditor";
/// The name that relays expect in the certificate of node n1.
const SERVER_NAME: &str = "n1.default.hubble-grpc.cilium.io";

struct Fleet {
    authority: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Fleet {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { authority, directory: TempDir::new().unwrap() }
    }

    fn leaf(&self, id: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![SERVER_NAME.to_owned()]).unwrap();
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names.push(SanType::URI(Ia5String::try_from(id).unwrap()));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    async fn serve(&self) -> (Stage, SocketAddr) {
        let place = |name: &str, text: &str| {
            let path = self.directory.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            path
        };
        let (certificate, key) = self.leaf("spiffe://fleet.example/node/n1");
        let source = TlsSource {
            own: Own::Files { certificate: place("tls.crt", &certificate), key: place("tls.key", &key) },
            callers: Callers::File(place("ca.crt", &self.authority.pem())),
            guests: Guests {
                allowed: BTreeSet::from([OPERATOR.parse().unwrap()]),
                readers: BTreeMap::from([(READER.parse().unwrap(), "red".into())]),
                fleet: None,
                is_revoked: None,
            },
        };
        let door = NetworkDoor::open("127.0.0.1:0".parse().unwrap(), source).await.unwrap();
        let address = door.address().unwrap();
        (Stage::with(Some(door), Some(address.port())).await, address)
    }

    async fn connect(
        &self,
        address: SocketAddr,
        id: &str,
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        let (certificate, key) = self.leaf(id);
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_protocol_versions(rustls::ALL_VERSIONS)
                .unwrap()
                .with_root_certificates(roots)
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                    PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
                )
                .unwrap();
        config.alpn_protocols = alpn.iter().map(|word| word.to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(SERVER_NAME).unwrap(), stream).await
    }

    async fn client(&self, address: SocketAddr, id: &str) -> Result<ObserverClient<Channel>, String> {
        let stream = self.connect(address, id, &[b"h2"]).await.map_err(|error| error.to_string())?;
        let stream = std::sync::Mutex::new(Some(TokioIo::new(stream)));
        let channel = Endpoint::from_static("http://hubble")
            .connect_with_connector(tower::service_fn(move |_: Uri| {
                let stream = stream.lock().unwrap().take();
                async move { stream.ok_or_else(|| std::io::Error::other("one connection is enough")) }
            }))
            .await;
        channel.map(ObserverClient::new).map_err(|error| format!("{error:?}"))
    }
}

async fn all(
    client: &mut ObserverClient<Channel>,
) -> Vec<enforcer_proto::hubble::observer::GetFlowsResponse> {
    let mut answer = client.get_flows(GetFlowsRequest::default()).await.unwrap().into_inner();
    let mut all = Vec::new();
    while let Some(response) = answer.next().await {
        all.push(response.unwrap());
    }
    all
}

fn keep(stage: &Stage) {
    stage.keep([
        flow(1_990, "red", "red", "allow"),
        flow(1_991, "red", "blue", "deny"),
        flow(1_992, "blue", "green", "deny"),
        flow(1_993, "green", "red", "allow"),
    ]);
    stage.in_force.send_replace(policy(&[("n2", "blue"), ("n3", "red")]));
}

#[tokio::test]
async fn the_socket_is_its_owners_alone() {
    let stage = Stage::open().await;
    let mode = fs::metadata(&stage.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_operator_on_the_list_sees_everything_over_tls() {
    let fleet = Fleet::new();
    let (stage, address) = fleet.serve().await;
    keep(&stage);
    let mut client = fleet.client(address, OPERATOR).await.unwrap();
    let seen: Vec<i64> = all(&mut client).await.iter().map(told).collect();
    assert_eq!(seen, [1_990, 1_991, 1_992, 1_993]);
}

#[tokio::test]
async fn a_reader_sees_its_tenants_half_and_no_word_of_another() {
    let fleet = Fleet::new();
    let (stage, address) = fleet.serve().await;
    keep(&stage);
    let mut client = fleet.client(address, READER).await.unwrap();
    let flows = all(&mut client).await;
    assert_eq!(flows.iter().map(told).collect::<Vec<_>>(), [1_990, 1_991, 1_993]);
    let text = format!("{flows:?}");
    for secret in ["blue", "green"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    let refused = format!("{:?}", flows[1]);
    for secret in ["10.0.0.2", "some-rule"] {
        assert!(!refused.contains(secret), "{secret} in {refused}");
    }
    assert!(text.contains("another tenant"));
    let status = client.server_status(ServerStatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.num_flows, status.seen_flows), (3, 3), "not even counts");
    let namespaces = client.get_namespaces(GetNamespacesRequest {}).await.unwrap().into_inner().namespaces;
    assert_eq!(namespaces.iter().map(|it| it.namespace.as_str()).collect::<Vec<_>>(), ["red"]);
    let nodes = client.get_nodes(GetNodesRequest {}).await.unwrap().into_inner().nodes;
    assert_eq!(nodes.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["n1", "n3"]);
}

#[tokio::test]
async fn no_filter_widens_what_a_reader_sees() {
    let fleet = Fleet::new();
    let (stage, address) = fleet.serve().await;
    keep(&stage);
    let mut client = fleet.client(address, READER).await.unwrap();
    let of_blue = enforcer_proto::hubble::flow::FlowFilter {
        source_label: vec!["tenant=blue".to_owned()],
        ..Default::default()
    };
    for (whitelist, wanted) in [(vec![of_blue], 0), (vec![Default::default()], 3)] {
        let request = GetFlowsRequest { whitelist, number: 100, ..GetFlowsRequest::default() };
        let mut answer = client.get_flows(request).await.unwrap().into_inner();
        let mut count = 0;
        while answer.next().await.transpose().unwrap().is_some() {
            count += 1;
        }
        assert_eq!(count, wanted);
    }
}

#[tokio::test]
async fn whoever_is_on_no_list_is_refused_in_the_handshake() {
    let fleet = Fleet::new();
    let (_stage, address) = fleet.serve().await;
    for id in [STRANGER, "spiffe://fleet.example/node/n2"] {
        let refused = match fleet.client(address, id).await {
            Err(_) => true,
            Ok(mut client) => client
                .server_status(ServerStatusRequest {})
                .await
                .is_err_and(|status| status.code() != tonic::Code::PermissionDenied),
        };
        assert!(refused, "{id}");
    }
}

/// gRPC's Go library refuses a server that does not choose it.
#[tokio::test]
async fn http_2_is_agreed_on_in_the_handshake() {
    let fleet = Fleet::new();
    let (_stage, address) = fleet.serve().await;
    let stream = fleet.connect(address, OPERATOR, &[b"h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}
