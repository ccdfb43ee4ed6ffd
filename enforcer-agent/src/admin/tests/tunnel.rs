//! The tunnel's service over a Unix socket.

use enforcer_proto::v1;
use enforcer_proto::v1::tunnel_service_client::TunnelServiceClient;
use tokio::sync::mpsc;
use tonic::Code;

use super::{channel, serve, serve_all};
use crate::door::tunnel::{Command, TunnelDoor, WAITING_MAX};

#[tokio::test]
async fn without_a_tunnel_nothing_is_listed_and_metrics_say_what_to_do() {
    let served = serve().await;
    let mut client = TunnelServiceClient::new(channel(&served.socket).await);
    let listed = client.list(v1::ListTunnelsRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed, v1::ListTunnelsResponse::default());
    let refused = client.metrics(v1::TunnelMetricsRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("tunnel.enabled"), "{refused}");
}

#[tokio::test]
async fn the_tunnel_room_is_asked_for_the_tenant_that_was_named() {
    let (commands, mut inbox) = mpsc::channel(WAITING_MAX);
    let served = serve_all(None, Some(TunnelDoor { commands })).await;
    tokio::spawn(async move {
        while let Some(command) = inbox.recv().await {
            match command {
                Command::List(tenant, reply) => {
                    let rule = tenant.map(|tenant| tenant.to_string()).unwrap_or_default();
                    let tunnels = vec![v1::Tunnel { rule, ..v1::Tunnel::default() }];
                    let answer = v1::ListTunnelsResponse { tunnels, ..v1::ListTunnelsResponse::default() };
                    reply.send(answer).unwrap();
                }
                Command::Metrics(reply) => reply.send("# EOF\n".to_owned()).unwrap(),
            }
        }
    });
    let mut client = TunnelServiceClient::new(channel(&served.socket).await);
    let request = v1::ListTunnelsRequest { tenant: Some("red".to_owned()) };
    assert_eq!(client.list(request).await.unwrap().into_inner().tunnels[0].rule, "red");
    assert_eq!(client.metrics(v1::TunnelMetricsRequest {}).await.unwrap().into_inner().text, "# EOF\n");
}
