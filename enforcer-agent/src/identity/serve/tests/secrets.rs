//! Envoy's protocol with everything in each response: what is sent, when, and what happens to rejections.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::secret::Type;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, Secret, SpiffeCertValidatorConfig,
};
use envoy_types::pb::envoy::service::discovery::v3::{DiscoveryRequest, DiscoveryResponse};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::google::rpc;
use prost::{Message as _, Name as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::material::{Authority, emptied, federated, granted};
use super::{PATIENCE, Scene, member};
use crate::identity::svid::{Material, Standing};

/// A stream of one workload.
struct Stream {
    requests: mpsc::Sender<DiscoveryRequest>,
    responses: Streaming<DiscoveryResponse>,
}

impl Stream {
    async fn open(scene: &Scene) -> Self {
        let mut client = SecretDiscoveryServiceClient::new(scene.channel("red-1", "red").await);
        let (requests, sent) = mpsc::channel(8);
        let responses = client.stream_secrets(ReceiverStream::new(sent)).await.unwrap().into_inner();
        Self { requests, responses }
    }

    async fn ask(&self, names: &[&str]) {
        self.send(request(names)).await;
    }

    async fn send(&self, request: DiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn next(&mut self) -> Result<DiscoveryResponse, Status> {
        timeout(PATIENCE, self.responses.message()).await.expect("an answer").map(Option::unwrap)
    }
}

fn request(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        type_url: Secret::type_url(),
        ..DiscoveryRequest::default()
    }
}

fn acknowledge(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: response.version_info.clone(),
        response_nonce: response.nonce.clone(),
        ..request(names)
    }
}

fn reject(response: &DiscoveryResponse, names: &[&str]) -> DiscoveryRequest {
    let error = rpc::Status { code: 3, message: "it will not load".to_owned(), details: Vec::new() };
    DiscoveryRequest {
        version_info: String::new(),
        error_detail: Some(error),
        ..acknowledge(response, names)
    }
}

fn secrets(response: &DiscoveryResponse) -> Vec<Secret> {
    response.resources.iter().map(|any| Secret::decode(any.value.as_slice()).unwrap()).collect()
}

fn bytes(source: Option<&DataSource>) -> Vec<u8> {
    match source.unwrap().specifier.clone().unwrap() {
        Specifier::InlineBytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

pub(super) fn certificates(source: Option<&DataSource>) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(&bytes(source)).map(Result::unwrap).collect()
}

pub(super) fn context(secret: &Secret) -> CertificateValidationContext {
    match secret.r#type.clone().unwrap() {
        Type::ValidationContext(context) => context,
        other => panic!("{other:?}"),
    }
}

async fn fetch(scene: &Scene, names: &[&str]) -> Result<Vec<Secret>, Status> {
    let mut client = SecretDiscoveryServiceClient::new(scene.channel("red-1", "red").await);
    Ok(secrets(&client.fetch_secrets(request(names)).await?.into_inner()))
}

#[tokio::test]
async fn a_workload_is_given_its_own_certificate_under_two_names() {
    let scene = Scene::new();
    let material = Authority::new("red.fleet.example").material("/a");
    let (chain, key) = (material.svid.chain.clone(), material.svid.key.expose().to_vec());
    scene.grant("red-1", granted(material));
    for name in ["default", "spiffe://red.fleet.example/a"] {
        let found = fetch(&scene, &[name]).await.unwrap();
        assert_eq!(found[0].name, name);
        let Some(Type::TlsCertificate(certificate)) = &found[0].r#type else { panic!("a certificate") };
        assert_eq!(certificates(certificate.certificate_chain.as_ref()), chain);
        let sent = PrivatePkcs8KeyDer::from_pem_slice(&bytes(certificate.private_key.as_ref())).unwrap();
        assert_eq!(sent.secret_pkcs8_der(), key);
    }
}

///
#[tokio::test]
async fn each_trust_domain_has_a_context_that_lets_in_its_own_members_alone() {
    let scene = Scene::new();
    let (red, blue) = (Authority::new("red.fleet.example"), Authority::new("blue.fleet.example"));
    let material = Material { crls: red.lists(vec![red.crl()]), ..federated(red.material("/a"), &[&blue]) };
    scene.grant("red-1", granted(material));
    let cases = [
        ("ROOTCA", &red, "spiffe://red.fleet.example/", true),
        ("spiffe://red.fleet.example", &red, "spiffe://red.fleet.example/", true),
        ("spiffe://blue.fleet.example", &blue, "spiffe://blue.fleet.example/", false),
    ];
    for (name, authority, prefix, has_crl) in cases {
        let context = context(&fetch(&scene, &[name]).await.unwrap()[0]);
        assert_eq!(certificates(context.trusted_ca.as_ref()), authority.bundle.x509);
        let [matcher] = context.match_typed_subject_alt_names.as_slice() else { panic!("one matcher") };
        assert_eq!(matcher.san_type().as_str_name(), "URI");
        let pattern = matcher.matcher.clone().unwrap().match_pattern.unwrap();
        assert_eq!(pattern, MatchPattern::Prefix(prefix.to_owned()));
        assert_eq!((context.crl.is_some(), context.only_verify_leaf_cert_crl), (has_crl, has_crl), "{name}");
    }
    let all = context(&fetch(&scene, &["ALL"]).await.unwrap()[0]);
    let validator = all.custom_validator_config.unwrap();
    assert_eq!(validator.name, "envoy.tls.cert_validator.spiffe");
    let config = SpiffeCertValidatorConfig::decode(validator.typed_config.unwrap().value.as_slice()).unwrap();
    let found: Vec<_> = config
        .trust_domains
        .iter()
        .map(|one| (one.name.as_str(), certificates(one.trust_bundle.as_ref())))
        .collect();
    assert_eq!(
        found,
        [("red.fleet.example", red.bundle.x509.clone()), ("blue.fleet.example", blue.bundle.x509.clone())]
    );
}

#[tokio::test]
async fn what_is_not_the_callers_is_not_there() {
    let scene = Scene::new();
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    for name in ["spiffe://red.fleet.example/b", "spiffe://blue.fleet.example", "other", "", "*"] {
        assert_eq!(fetch(&scene, &[name]).await.unwrap_err().code(), Code::NotFound, "{name}");
        let mut stream = Stream::open(&scene).await;
        stream.ask(&["default", name]).await;
        assert_eq!(stream.next().await.unwrap_err().code(), Code::NotFound, "{name}");
    }
    assert_eq!(fetch(&scene, &[]).await.unwrap_err().code(), Code::InvalidArgument);
    let mut stream = Stream::open(&scene).await;
    stream
        .send(DiscoveryRequest { type_url: "type.googleapis.com/other".to_owned(), ..request(&["default"]) })
        .await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::InvalidArgument);
    let many: Vec<String> = (0..65).map(|n| format!("n{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(fetch(&scene, &many).await.unwrap_err().code(), Code::ResourceExhausted);
}

#[tokio::test]
async fn a_stream_is_answered_once_for_each_change() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    scene.grant("red-1", red.granted("/a"));
    let mut stream = Stream::open(&scene).await;
    stream.ask(&["default"]).await;
    let first = stream.next().await.unwrap();
    assert_eq!(first.type_url, Secret::type_url());
    stream.send(acknowledge(&first, &["default"])).await;
    // Acknowledged, so the next answer is to the change.
    scene.grant("red-1", red.granted("/a"));
    let second = stream.next().await.unwrap();
    assert_ne!((&second.version_info, &second.nonce), (&first.version_info, &first.nonce));
    assert_ne!(second.resources, first.resources);

    // A request that was sent before the second response was seen says nothing.
    stream.send(acknowledge(&first, &["default", "ROOTCA"])).await;
    stream.send(acknowledge(&second, &["default"])).await;
    stream.send(acknowledge(&second, &["default", "ROOTCA"])).await;
    let third = stream.next().await.unwrap();
    assert_eq!(secrets(&third).len(), 2, "more was asked for");
    stream.send(acknowledge(&third, &["ROOTCA"])).await;
    assert_eq!(secrets(&stream.next().await.unwrap())[0].name, "ROOTCA");
}

#[tokio::test]
async fn a_rejected_secret_is_sent_again_only_when_it_has_changed() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    let rejected = red.granted("/a");
    scene.grant("red-1", rejected.clone());
    let mut stream = Stream::open(&scene).await;
    stream.ask(&["default"]).await;
    let first = stream.next().await.unwrap();
    stream.send(reject(&first, &["default"])).await;
    // The same content is no reason to send it again; other content is.
    scene.grant("red-1", rejected.clone());
    stream.send(reject(&first, &["default"])).await;
    scene.grant("red-1", rejected);
    stream.send(reject(&first, &["default"])).await;
    scene.grant("red-1", red.granted("/a"));
    let second = stream.next().await.unwrap();
    assert_ne!(second.resources, first.resources);
    assert_eq!(second.nonce, "2", "nothing was sent between");
}

/// A secret that was merely not sent any more would stay in force at the caller.
#[tokio::test]
async fn a_trust_domain_that_was_withdrawn_becomes_one_that_nobody_belongs_to() {
    let scene = Scene::new();
    let (red, blue) = (Authority::new("red.fleet.example"), Authority::new("blue.fleet.example"));
    let names = ["spiffe://blue.fleet.example", "ALL"];
    scene.grant("red-1", granted(federated(red.material("/a"), &[&blue])));
    let mut stream = Stream::open(&scene).await;
    stream.ask(&names).await;
    let first = stream.next().await.unwrap();
    stream.send(acknowledge(&first, &names)).await;

    scene.grant("red-1", red.granted("/a"));
    let second = stream.next().await.unwrap();
    let [all, of_blue] = secrets(&second).try_into().unwrap();
    let authorities = certificates(context(&of_blue).trusted_ca.as_ref());
    assert_eq!(authorities.len(), 1, "a context without authorities would trust everybody");
    assert_ne!(authorities, blue.bundle.x509);
    let config = context(&all).custom_validator_config.unwrap().typed_config.unwrap();
    let config = SpiffeCertValidatorConfig::decode(config.value.as_slice()).unwrap();
    assert_eq!(config.trust_domains.len(), 1);
    assert_eq!(fetch(&scene, &names[..1]).await.unwrap_err().code(), Code::NotFound, "who never had it");

    // The same for one whose authorities were all revoked (B-4).
    let void = [(blue.bundle.trust_domain.clone(), emptied(&blue.bundle))].into();
    scene.grant("red-1", granted(Material { federated: void, ..red.material("/a") }));
    let void = fetch(&scene, &names[..1]).await.unwrap();
    assert_eq!(certificates(context(&void[0]).trusted_ca.as_ref()), authorities);
}

#[tokio::test]
async fn who_is_refused_is_refused_here_too() {
    let scene = Scene::new();
    scene.grant("red-1", Authority::new("red.fleet.example").granted("/a"));
    let mut stranger = SecretDiscoveryServiceClient::new(scene.come(None).await);
    let refused = stranger.fetch_secrets(request(&["default"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    let mut stream = Stream::open(&scene).await;
    stream.ask(&["ROOTCA"]).await;
    stream.next().await.unwrap();
    scene.attest.move_all(Some(member("red-2", "red")));
    stream.ask(&["default"]).await;
    assert_eq!(stream.next().await.unwrap_err().code(), Code::PermissionDenied, "it moved");

    let mut stream = Stream::open(&scene).await;
    stream.ask(&["default"]).await;
    stream.next().await.unwrap();
    scene.grant("red-1", Standing::Closed("revoked".into()));
    assert_eq!(stream.next().await.unwrap_err().code(), Code::PermissionDenied, "it was revoked");
}
