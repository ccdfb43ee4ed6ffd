//! The service of detection over a Unix socket.

use enforcer_proto::v1;
use enforcer_proto::v1::detection_service_client::DetectionServiceClient;
use tonic::Code;

use super::{channel, serve};

#[tokio::test]
async fn without_detection_every_call_says_how_to_turn_it_on() {
    let served = serve().await;
    let mut client = DetectionServiceClient::new(channel(&served.socket).await);
    let listed = client.list(v1::ListDetectionRequest::default()).await.unwrap_err();
    let ended = client.end_response(v1::EndResponseRequest { id: "1".to_owned() }).await.unwrap_err();
    for refused in [listed, ended] {
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert!(refused.message().contains("detection.enabled"), "{refused}");
    }
}

#[tokio::test]
async fn nobody_is_asked_for_what_has_no_name() {
    let served = serve().await;
    let mut client = DetectionServiceClient::new(channel(&served.socket).await);
    let long = v1::ListDetectionRequest { tenant: Some("x".repeat(254)) };
    let ended = client.end_response(v1::EndResponseRequest::default()).await.unwrap_err();
    let frozen = client.freeze(v1::FreezeRequest::default()).await.unwrap_err();
    for refused in [client.list(long).await.unwrap_err(), ended, frozen] {
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    }
}
