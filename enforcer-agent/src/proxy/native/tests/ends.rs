//! How flows end: each end as itself.

use std::io::ErrorKind;

use enforcer_core::proxy::native::RefuseCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;

#[tokio::test]
async fn fin_is_fin_in_both_directions_and_the_connection_carries_another_flow() {
    let (mut near, mut far) = Pair::new(NATIVE_ONLY).met().await;
    for round in 0..3 {
        let mut flow = Flow::over(near, far, LIMITS).await;
        flow.client.write_all(b"question").await.unwrap();
        flow.client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        flow.server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        flow.server.write_all(b"an answer behind the half close").await.unwrap();
        drop(flow.server);
        heard.clear();
        flow.client.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"an answer behind the half close");
        let (ended, secured, traffic) = flow.near.await.unwrap();
        assert!(matches!(ended, Ended::Clean), "round {round}: {ended:?}");
        assert_eq!((traffic.sent(), traffic.received(), traffic.is_accepted()), (8, 31, true));
        near = secured;
        let (ended, secured, traffic) = flow.far.await.unwrap();
        assert!(matches!(ended, Ended::Clean), "round {round}: {ended:?}");
        assert_eq!((traffic.sent(), traffic.received()), (31, 8));
        far = secured;
        assert!(near.is_quiet());
    }
    near.close().await;
    let next = next_open::<()>(&mut far, Duration::from_secs(1)).await;
    assert!(matches!(next, Ok(Next::Closed)), "{next:?}");
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_is_not_quiet() {
    let (mut near, far) = Pair::new(NATIVE_ONLY).met().await;
    assert!(near.is_quiet());
    drop(far);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!near.is_quiet());
}

async fn is_reset(stream: &mut TcpStream) -> bool {
    let read = stream.read_to_end(&mut Vec::new()).await;
    read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
}

#[tokio::test]
async fn rst_is_rst_in_either_direction() {
    let mut flow = Flow::new(LIMITS).await;
    flow.client.write_all(b"hello").await.unwrap();
    flow.server.read_exact(&mut [0; 5]).await.unwrap();
    flow.client.set_zero_linger().unwrap();
    drop(flow.client);
    assert!(is_reset(&mut flow.server).await);
    assert!(matches!(flow.near.await.unwrap().0, Ended::LocalReset(_)));
    assert!(matches!(flow.far.await.unwrap().0, Ended::PeerReset));

    let mut flow = Flow::new(LIMITS).await;
    flow.client.write_all(b"hello").await.unwrap();
    flow.server.read_exact(&mut [0; 5]).await.unwrap();
    flow.server.set_zero_linger().unwrap();
    drop(flow.server);
    assert!(is_reset(&mut flow.client).await);
    assert!(matches!(flow.near.await.unwrap().0, Ended::PeerReset));
    assert!(matches!(flow.far.await.unwrap().0, Ended::LocalReset(_)));
}

/// Whoever ended its own direction and then dies is missed at the other end too.
#[tokio::test]
async fn a_reset_behind_a_half_close_is_seen() {
    let mut flow = Flow::new(LIMITS).await;
    flow.client.write_all(b"hello").await.unwrap();
    flow.client.shutdown().await.unwrap();
    flow.server.read_to_end(&mut Vec::new()).await.unwrap();
    flow.server.write_all(b"unread").await.unwrap();
    flow.client.readable().await.unwrap();
    // Unread bytes make closing a reset.
    drop(flow.client);
    assert!(matches!(flow.near.await.unwrap().0, Ended::LocalReset(_)));
    assert!(matches!(flow.far.await.unwrap().0, Ended::PeerReset));
}

#[tokio::test]
async fn a_half_closed_flow_in_which_nothing_flows_is_ended() {
    let mut flow = Flow::new(LIMITS).await;
    flow.client.shutdown().await.unwrap();
    flow.server.read_to_end(&mut Vec::new()).await.unwrap();
    for _ in 0..4 {
        // As long as bytes flow, it goes on.
        tokio::time::sleep(LIMITS.half_close / 2).await;
        flow.server.write_all(b"tick").await.unwrap();
    }
    flow.client.read_exact(&mut [0; 16]).await.unwrap();
    assert!(is_reset(&mut flow.client).await);
    let ends = (flow.near.await.unwrap().0, flow.far.await.unwrap().0);
    let is_timeout = |ended: &Ended<_>| matches!(ended, Ended::HalfCloseTimeout | Ended::PeerReset);
    assert!(is_timeout(&ends.0) && is_timeout(&ends.1), "{ends:?}");
}

#[tokio::test]
async fn a_refusal_brings_its_code_and_resets_the_workload() {
    let (near, mut far) = Pair::new(NATIVE_ONLY).met().await;
    let (mut client, intercepted) = wire().await;
    client.write_all(b"early bytes").await.unwrap();
    let near = tokio::spawn(carry_client(intercepted, near, LIMITS));
    next_open::<()>(&mut far, Duration::from_secs(1)).await.unwrap();
    refuse(far, RefuseCode::Unreachable).await;
    let (ended, _, traffic) = near.await.unwrap();
    assert!(matches!(ended, Ended::Refused(RefuseCode::Unreachable)), "{ended:?}");
    assert!(!traffic.is_accepted());
    assert!(is_reset(&mut client).await);
}

#[tokio::test]
async fn a_flow_that_was_not_answered_can_be_tried_again() {
    let pair = Pair::new(NATIVE_ONLY);
    let (near, mut far) = pair.met().await;
    let (mut client, intercepted) = wire().await;
    client.write_all(b"early bytes").await.unwrap();
    let traffic = Traffic::default();
    let (mut first, mut second) = (near, pair.met().await);
    open(&mut first, &flow());
    let lost = async {
        next_open::<()>(&mut far, Duration::from_secs(1)).await.unwrap();
        far.close().await;
    };
    let lose = async {
        let ended = relay::<()>(&intercepted, &mut first, Side::Client, &LIMITS, &traffic, pending()).await;
        drop(first);
        ended
    };
    let (ended, ()) = tokio::join!(lose, lost);
    assert!(matches!(ended, Ended::Unanswered(_)), "{ended:?}");
    let (handed, mut server) = wire().await;
    let far = tokio::spawn(carry_server(handed, second.1, LIMITS));
    open(&mut second.0, &flow());
    let again =
        async { relay::<()>(&intercepted, &mut second.0, Side::Client, &LIMITS, &traffic, pending()).await };
    let talk = async {
        client.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        drop(server);
        heard
    };
    let (ended, heard) = tokio::join!(again, talk);
    assert!(matches!(ended, Ended::Clean), "{ended:?}");
    assert_eq!(heard, b"early bytes");
    far.await.unwrap();
}

/// Whoever is lost without a goodbye may have handed on what the workload said: it is not said twice.
#[tokio::test]
async fn what_may_have_been_read_is_not_sent_again() {
    for early in [&b""[..], b"early bytes"] {
        let (mut near, mut far) = Pair::new(NATIVE_ONLY).met().await;
        let (mut client, intercepted) = wire().await;
        client.write_all(early).await.unwrap();
        let traffic = Traffic::default();
        open(&mut near, &flow());
        let lost = async {
            next_open::<()>(&mut far, Duration::from_secs(1)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(far);
        };
        let carried = relay::<()>(&intercepted, &mut near, Side::Client, &LIMITS, &traffic, pending());
        let (ended, ()) = tokio::join!(carried, lost);
        let may_be_tried_again = matches!(ended, Ended::Unanswered(_));
        assert_eq!(may_be_tried_again, early.is_empty(), "{ended:?}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_not_waited_for() {
    let (mut near, _far) = Pair::new(NATIVE_ONLY).met().await;
    let (_client, intercepted) = wire().await;
    let limits = Limits { accept: Duration::from_millis(100), ..LIMITS };
    open(&mut near, &flow());
    let traffic = Traffic::default();
    let ended = relay::<()>(&intercepted, &mut near, Side::Client, &limits, &traffic, pending()).await;
    assert!(matches!(ended, Ended::AcceptTimeout), "{ended:?}");
}

#[tokio::test]
async fn a_flow_that_is_called_off_resets_both_workloads() {
    let (mut near, far) = Pair::new(NATIVE_ONLY).met().await;
    let ((mut client, intercepted), (handed, mut server)) = tokio::join!(wire(), wire());
    let far = tokio::spawn(carry_server(handed, far, LIMITS));
    let (stop, stopped) = oneshot::channel::<&str>();
    let near = tokio::spawn(async move {
        let traffic = Traffic::default();
        open(&mut near, &flow());
        let cancel = async { stopped.await.unwrap() };
        relay(&intercepted, &mut near, Side::Client, &LIMITS, &traffic, cancel).await
    });
    client.write_all(b"hello").await.unwrap();
    server.read_exact(&mut [0; 5]).await.unwrap();
    stop.send("revoked").unwrap();
    assert!(matches!(near.await.unwrap(), Ended::Cancelled("revoked")));
    assert!(is_reset(&mut client).await && is_reset(&mut server).await);
    assert!(matches!(far.await.unwrap().0, Ended::PeerReset));
}
