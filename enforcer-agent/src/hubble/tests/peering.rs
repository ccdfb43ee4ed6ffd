//! What a relay is told of peers.

use enforcer_proto::hubble::peer::NotifyRequest;
use enforcer_proto::hubble::peer::peer_client::PeerClient;

use super::stage::{Stage, channel, is_silent, policy, soon};

#[tokio::test]
async fn a_relay_is_told_of_this_node_first_and_then_of_what_changes() {
    let stage = Stage::open().await;
    let answer = PeerClient::new(channel(&stage.socket).await).notify(NotifyRequest {}).await.unwrap();
    assert_eq!(answer.metadata().get("hubble-server-version").unwrap(), "1.19.4");
    let mut changes = answer.into_inner();
    let own = soon(&mut changes).await.unwrap().unwrap();
    assert_eq!((own.name.as_str(), own.address.as_str(), own.r#type), ("n1", "10.0.0.1:4254", 1));
    assert_eq!(own.tls.unwrap().server_name, "n1.default.hubble-grpc.cilium.io");
    assert!(is_silent(&mut changes).await);
    stage.in_force.send_replace(policy(&[("n2", "red")]));
    let other = soon(&mut changes).await.unwrap().unwrap();
    assert_eq!((other.name.as_str(), other.address.as_str(), other.r#type), ("n2", "n2:4254", 1));
    stage.in_force.send_replace(policy(&[("n2", "blue")]));
    assert!(is_silent(&mut changes).await, "nothing changed for a relay");
    stage.in_force.send_replace(policy(&[]));
    let gone = soon(&mut changes).await.unwrap().unwrap();
    assert_eq!((gone.name.as_str(), gone.r#type), ("n2", 2));
}

#[tokio::test]
async fn without_a_network_door_a_relay_is_told_of_plaintext() {
    let stage = Stage::with(None, None).await;
    let answer = PeerClient::new(channel(&stage.socket).await).notify(NotifyRequest {}).await.unwrap();
    assert_eq!(soon(&mut answer.into_inner()).await.unwrap().unwrap().tls, None);
}
