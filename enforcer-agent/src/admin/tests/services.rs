//! The services over a Unix socket.

use std::time::Duration;

use enforcer_proto::v1::{
    ApplyRequest, ListRevisionsRequest, PushRequest, Snapshot, WatchRequest, apply_request, push_request,
    push_response,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::{channel, client, in_force, serve};

fn apply(base_revision: Option<u64>) -> ApplyRequest {
    ApplyRequest { base_revision, change: Some(apply_request::Change::Snapshot(Snapshot::default())) }
}

fn push(nonce: &str) -> PushRequest {
    PushRequest {
        nonce: nonce.to_owned(),
        base_revision: None,
        change: Some(push_request::Change::Snapshot(Snapshot::default())),
    }
}

#[tokio::test]
async fn an_apply_is_acknowledged_with_the_callers_user() {
    let served = serve().await;
    let ack = client(&served).await.apply(apply(None)).await.unwrap().into_inner().ack.unwrap();
    assert_eq!(ack.revision, 1);
    assert_eq!(ack.digest, vec![7; 32]);
    assert_eq!(ack.warnings, [format!("uid:{}", nix::unistd::geteuid())]);
    assert_eq!(ack.time_to_enforcement.unwrap().nanos, 3_000_000);
}

#[tokio::test]
async fn a_refusal_has_a_fitting_code_and_its_problems() {
    let served = serve().await;
    let status = client(&served).await.apply(apply(Some(9))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let details = status.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "base_revision");
    let empty = client(&served).await.apply(ApplyRequest::default()).await.unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_push_stream_answers_each_nonce_in_order_and_refuses_a_replayed_one() {
    let served = serve().await;
    let (requests, stream) = mpsc::channel(8);
    for nonce in ["a", "b", "a", ""] {
        requests.send(push(nonce)).await.unwrap();
    }
    drop(requests);
    let mut answers = client(&served).await.push(ReceiverStream::new(stream)).await.unwrap().into_inner();
    let mut seen = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        seen.push(match answer.result.unwrap() {
            push_response::Result::Ack(ack) => (answer.nonce, format!("ack {}", ack.revision)),
            push_response::Result::Nack(nack) => (answer.nonce, nack.problems[0].code.clone()),
        });
    }
    let seen: Vec<(&str, &str)> = seen.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(seen, [("a", "ack 1"), ("b", "ack 2"), ("a", "replayed_nonce"), ("", "invalid_nonce")]);
}

#[tokio::test]
async fn health_follows_the_kernel_and_not_the_socket() {
    let served = serve().await;
    let mut health = HealthClient::new(channel(&served.socket).await);
    let request = HealthCheckRequest { service: "enforcer.v1.PolicyService".to_owned() };
    let mut changes = health.watch(request).await.unwrap().into_inner();
    let mut next = async || changes.message().await.unwrap().unwrap().status();
    let mut status = next().await;
    if status == ServingStatus::ServiceUnknown {
        status = next().await;
    }
    assert_eq!(status, ServingStatus::NotServing);
    served.in_force.send_replace(in_force(1, true));
    assert_eq!(next().await, ServingStatus::Serving);
    served.in_force.send_replace(in_force(1, false));
    assert_eq!(next().await, ServingStatus::NotServing);
}

#[tokio::test]
async fn a_watch_tells_the_revision_now_and_each_new_one_once() {
    let served = serve().await;
    let mut changes = client(&served).await.watch(WatchRequest {}).await.unwrap().into_inner();
    let mut next = async || changes.message().await.unwrap().unwrap().revision.unwrap().revision;
    assert_eq!(next().await, 0);
    served.in_force.send_replace(in_force(0, true));
    served.in_force.send_replace(in_force(1, true));
    assert_eq!(next().await, 1);
}

#[tokio::test]
async fn a_stopping_agent_ends_its_streams() {
    let mut served = serve().await;
    let mut client = client(&served).await;
    let mut watch = client.watch(WatchRequest {}).await.unwrap().into_inner();
    watch.message().await.unwrap();
    let (_requests, stream) = mpsc::channel::<PushRequest>(1);
    let mut push = client.push(ReceiverStream::new(stream)).await.unwrap().into_inner();
    served.stopper.stop();
    let ended = async {
        assert!(watch.message().await.is_ok_and(|news| news.is_none()));
        assert_eq!(push.message().await.unwrap_err().code(), Code::Unavailable);
        drop(client);
        // The rote policy room and the server: the server has to end by itself.
        served.tasks.join_next().await.unwrap().unwrap();
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.unwrap();
}

#[tokio::test]
async fn reflection_names_our_services() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

    let served = serve().await;
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..ServerReflectionRequest::default()
    };
    let mut answers = ServerReflectionClient::new(channel(&served.socket).await)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list of services");
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&"enforcer.v1.PolicyService") && names.contains(&"enforcer.v1.NodeService"));
    let revisions = client(&served).await.list_revisions(ListRevisionsRequest {}).await.unwrap();
    assert_eq!(revisions.into_inner().revisions.len(), 1);
}
