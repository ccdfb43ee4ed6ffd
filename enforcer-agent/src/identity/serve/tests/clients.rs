//! The client that Rust programs use, and what it makes of the answers.

use std::time::Duration;

use spiffe::{SpiffeId, TrustDomain, WorkloadApiClient};
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use super::material::{Authority, federated, granted, token};
use super::{PATIENCE, Scene, member, until};

async fn connect(scene: &Scene, workload: &str, tenant: &str) -> WorkloadApiClient {
    let _before = scene.attest.come(Some(member(workload, tenant)));
    WorkloadApiClient::connect_to(format!("unix://{}", scene.socket.display())).await.unwrap()
}

/// W-5, W-6, W-10, W-11.
#[tokio::test]
async fn it_gets_its_certificate_and_the_bundles_it_may_have() {
    let scene = Scene::new();
    let (red, blue) = (Authority::new("red.fleet.example"), Authority::new("blue.fleet.example"));
    let material = federated(red.material("/ns/a/sa/b"), &[&blue]);
    let leaf = material.svid.chain[0].clone();
    scene.grant("red-1", granted(material));
    let client = connect(&scene, "red-1", "red").await;

    let context = client.fetch_x509_context().await.unwrap();
    let svid = context.default_svid().unwrap();
    assert_eq!(svid.spiffe_id().to_string(), "spiffe://red.fleet.example/ns/a/sa/b");
    assert_eq!(svid.cert_chain()[0].as_bytes(), leaf.as_ref());
    assert_eq!(svid.hint(), None);
    let bundles = client.fetch_x509_bundles().await.unwrap();
    for set in [context.bundle_set(), &bundles] {
        assert_eq!(set.len(), 2);
        for authority in [&red, &blue] {
            let domain = TrustDomain::new(authority.bundle.trust_domain.as_str()).unwrap();
            let found = set.get(&domain).unwrap();
            assert_eq!(found.authorities()[0].as_bytes(), authority.bundle.x509[0].as_ref());
        }
    }
}

/// W-7, W-8, W-9; W-11: the token of another trust domain is valid with that one's bundle and not without.
#[tokio::test]
async fn it_gets_tokens_and_has_them_checked() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    scene.grant("red-1", red.granted("/a"));
    let client = connect(&scene, "red-1", "red").await;

    let svid = client.fetch_jwt_svid(["db"], None).await.unwrap();
    assert_eq!(svid.spiffe_id().to_string(), "spiffe://red.fleet.example/a");
    assert_eq!(svid.audience(), ["db"]);
    let own = SpiffeId::new("spiffe://red.fleet.example/a").unwrap();
    client.fetch_jwt_svid(["db"], Some(&own)).await.unwrap();
    let other = SpiffeId::new("spiffe://red.fleet.example/b").unwrap();
    client.fetch_jwt_svid(["db"], Some(&other)).await.unwrap_err();

    client.validate_jwt_token("db", svid.token()).await.unwrap();
    client.validate_jwt_token("web", svid.token()).await.unwrap_err();
    let foreign = token("spiffe://blue.fleet.example/a", &["db".to_owned()], Duration::from_secs(60));
    client.validate_jwt_token("db", &foreign).await.unwrap_err();
    let blue = Authority::new("blue.fleet.example");
    scene.grant("red-1", granted(federated(red.material("/a"), &[&blue])));
    client.validate_jwt_token("db", &foreign).await.unwrap();
    let bundles = client.fetch_jwt_bundles().await.unwrap();
    assert!(bundles.get(&TrustDomain::new("red.fleet.example").unwrap()).is_some());
}

/// W-2.
#[tokio::test]
async fn it_is_given_each_new_certificate() {
    let scene = Scene::new();
    let red = Authority::new("red.fleet.example");
    scene.grant("red-1", red.granted("/a"));
    let client = connect(&scene, "red-1", "red").await;
    let mut contexts = Box::pin(client.stream_x509_contexts().await.unwrap());
    let mut seen = Vec::new();
    for _ in 0..3 {
        let context = timeout(PATIENCE, contexts.next()).await.unwrap().unwrap().unwrap();
        seen.push(context.default_svid().unwrap().cert_chain()[0].as_bytes().to_vec());
        scene.grant("red-1", red.granted("/a"));
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
    assert_eq!(scene.wallet.followers(&"red-1".into()), 1, "as many as there are streams");
    drop(contexts);
    until("the stream's end is seen", || scene.wallet.followers(&"red-1".into()) == 0).await;
}
