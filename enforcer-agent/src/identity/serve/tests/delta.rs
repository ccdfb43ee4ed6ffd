//! Envoy's protocol with what has changed in each response.

use std::collections::HashMap;

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource,
};
use envoy_types::pb::envoy::service::secret::v3::secret_discovery_service_client::SecretDiscoveryServiceClient;
use envoy_types::pb::google::rpc;
use prost::{Message as _, Name as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::material::{Authority, federated, granted};
use super::secrets::{certificates, context};
use super::{PATIENCE, Scene};

struct Stream {
    requests: mpsc::Sender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    async fn open(scene: &Scene) -> Self {
        let mut client = SecretDiscoveryServiceClient::new(scene.channel("red-1", "red").await);
        let (requests, sent) = mpsc::channel(8);
        let responses = client.delta_secrets(ReceiverStream::new(sent)).await.unwrap().into_inner();
        Self { requests, responses }
    }

    async fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).await.unwrap();
    }

    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        timeout(PATIENCE, self.responses.message()).await.expect("an answer").map(Option::unwrap)
    }
}

fn subscribe(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        type_url: Secret::type_url(),
        ..DeltaDiscoveryRequest::default()
    }
}

fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}

fn secret(resource: &Resource) -> Secret {
    Secret::decode(resource.resource.as_ref().unwrap().value.as_slice()).unwrap()
}

#[tokio::test]
async fn only_what_changed_is_sent() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    scene.grant("red-1", red.granted("/a"));
    let mut stream = Stream::open(&scene).await;
    stream.send(subscribe(&["default", "ROOTCA"])).await;
    let first = stream.next().await.unwrap();
    assert_eq!(names(&first), ["ROOTCA", "default"]);
    let acknowledgement = DeltaDiscoveryRequest { response_nonce: first.nonce.clone(), ..subscribe(&[]) };
    stream.send(acknowledgement).await;
    scene.grant("red-1", red.granted("/a"));
    let second = stream.next().await.unwrap();
    assert_eq!(names(&second), ["default"], "the authorities are the same");
    assert_ne!(second.nonce, first.nonce);

    let unsubscription = DeltaDiscoveryRequest {
        resource_names_unsubscribe: vec!["default".to_owned()],
        ..subscribe(&["spiffe://red.fleet.example"])
    };
    stream.send(unsubscription).await;
    assert_eq!(names(&stream.next().await.unwrap()), ["spiffe://red.fleet.example"]);
    scene.grant("red-1", red.granted("/a"));
    stream.send(subscribe(&["ROOTCA"])).await;
    assert_eq!(names(&stream.next().await.unwrap()), ["ROOTCA"], "asked for again, and nothing else");
}

#[tokio::test]
async fn a_caller_that_comes_back_is_not_sent_what_it_has() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    scene.grant("red-1", red.granted("/a"));
    let mut stream = Stream::open(&scene).await;
    stream.send(subscribe(&["default", "ROOTCA"])).await;
    let has: HashMap<_, _> =
        stream.next().await.unwrap().resources.into_iter().map(|r| (r.name, r.version)).collect();
    scene.grant("red-1", red.granted("/a"));
    let mut again = Stream::open(&scene).await;
    again
        .send(DeltaDiscoveryRequest { initial_resource_versions: has, ..subscribe(&["default", "ROOTCA"]) })
        .await;
    assert_eq!(names(&again.next().await.unwrap()), ["default"]);
}

#[tokio::test]
async fn a_rejection_is_not_answered_before_something_changes() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    scene.grant("red-1", red.granted("/a"));
    let mut stream = Stream::open(&scene).await;
    stream.send(subscribe(&["default"])).await;
    let first = stream.next().await.unwrap();
    let error = rpc::Status { code: 3, message: "no".to_owned(), details: Vec::new() };
    let rejection = DeltaDiscoveryRequest {
        response_nonce: first.nonce.clone(),
        error_detail: Some(error),
        ..subscribe(&[])
    };
    stream.send(rejection).await;
    scene.grant("red-1", red.granted("/a"));
    let second = stream.next().await.unwrap();
    assert_eq!(second.nonce, "2");
    assert_ne!(second.resources[0].version, first.resources[0].version);
}

#[tokio::test]
async fn foreign_names_end_the_stream_and_withdrawn_ones_are_nobodys() {
    let scene = Scene::new();
    let (red, blue) = (Authority::new("red.fleet.example"), Authority::new("blue.fleet.example"));
    scene.grant("red-1", granted(federated(red.material("/a"), &[&blue])));
    for name in ["spiffe://green.fleet.example", "*"] {
        let mut stream = Stream::open(&scene).await;
        stream.send(subscribe(&[name])).await;
        assert_eq!(stream.next().await.unwrap_err().code(), Code::NotFound);
    }
    let mut stream = Stream::open(&scene).await;
    stream.send(subscribe(&["spiffe://blue.fleet.example"])).await;
    let authorities = |response: &DeltaDiscoveryResponse| {
        certificates(context(&secret(&response.resources[0])).trusted_ca.as_ref())
    };
    assert_eq!(authorities(&stream.next().await.unwrap()), blue.bundle.x509);
    scene.grant("red-1", red.granted("/a"));
    assert_ne!(authorities(&stream.next().await.unwrap()), blue.bundle.x509);
}
