//! What one end does to its socket, as the other end sees it.

use std::io::ErrorKind;

use bytes::BytesMut;
use h2::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

/// A flow through a server, up to its accepted target.
struct Path {
    send: h2::SendStream<Bytes>,
    recv: h2::RecvStream,
    local: TcpStream,
    server: Server,
    driver: JoinHandle<Result<(), h2::Error>>,
}

async fn path_with(setup: impl FnOnce(SocketAddr) -> ServerSetup) -> Path {
    let (target, backend) = listener().await;
    let (io, server) = setup(backend).serve();
    let (sender, driver) = client(io).await;
    let (send, recv) = open(&sender, "10.0.0.1:80").await;
    let (local, _) = soon(target.accept()).await.unwrap();
    Path { send, recv, local, server, driver }
}

async fn path() -> Path {
    path_with(ServerSetup::to).await
}

impl Path {
    async fn ended(&mut self) -> Ended<()> {
        soon(self.server.ended.recv()).await.unwrap().0
    }
}

async fn read_all(recv: &mut h2::RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = BytesMut::new();
    while let Some(data) = soon(recv.data()).await {
        let data = data?;
        recv.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

/// Whether what was read ended with a reset.
async fn is_reset(local: &mut TcpStream, expected: &[u8]) -> bool {
    let mut read = Vec::new();
    match soon(local.read_to_end(&mut read)).await {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => expected.starts_with(&read),
        other => panic!("{other:?} behind {} bytes", read.len()),
    }
}

#[tokio::test]
async fn each_way_ends_by_itself() {
    let mut path = path().await;
    path.send.send_data(Bytes::from_static(b"question"), true).unwrap();
    let mut question = String::new();
    soon(path.local.read_to_string(&mut question)).await.unwrap();
    assert_eq!(question, "question");
    // The other way is open for as long as it likes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    path.local.write_all(b"answer").await.unwrap();
    path.local.shutdown().await.unwrap();
    assert_eq!(read_all(&mut path.recv).await.unwrap(), "answer");
    assert!(path.recv.is_end_stream());
    let (ended, traffic) = soon(path.server.ended.recv()).await.unwrap();
    assert!(matches!(ended, Ended::Clean), "{ended:?}");
    assert_eq!((traffic.sent(), traffic.received()), (6, 8));
}

#[tokio::test]
async fn the_target_may_end_first() {
    let mut path = path().await;
    path.local.shutdown().await.unwrap();
    assert_eq!(read_all(&mut path.recv).await.unwrap(), "");
    path.send.send_data(Bytes::from_static(b"still here"), true).unwrap();
    let mut text = String::new();
    soon(path.local.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "still here");
    let ended = path.ended().await;
    assert!(matches!(ended, Ended::Clean), "{ended:?}");
}

#[tokio::test]
async fn a_reset_of_the_target_is_connect_error() {
    for is_half_closed in [false, true] {
        let mut path = path().await;
        if is_half_closed {
            path.local.shutdown().await.unwrap();
            assert_eq!(read_all(&mut path.recv).await.unwrap(), "");
        }
        path.local.set_zero_linger().unwrap();
        drop(path.local);
        let reason = soon(std::future::poll_fn(|cx| path.send.poll_reset(cx))).await.unwrap();
        assert_eq!(reason, Reason::CONNECT_ERROR);
        let (ended, _) = soon(path.server.ended.recv()).await.unwrap();
        assert!(matches!(ended, Ended::LocalReset(_)), "{ended:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_never_looks_complete() {
    let reasons = [Reason::NO_ERROR, Reason::CANCEL, Reason::CONNECT_ERROR, Reason::INTERNAL_ERROR];
    for reason in reasons {
        let mut path = path().await;
        path.send.send_data(Bytes::from_static(b"half a fi"), false).unwrap();
        let mut start = [0; 4];
        soon(path.local.read_exact(&mut start)).await.unwrap();
        path.send.send_reset(reason);
        assert!(is_reset(&mut path.local, b" a fi").await, "{reason}");
        let ended = path.ended().await;
        assert!(matches!(ended, Ended::PeerReset(seen) if seen == reason), "{ended:?}");
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_never_looks_complete() {
    let mut path = path().await;
    path.send.send_data(Bytes::from_static(b"half a fi"), false).unwrap();
    let mut start = [0; 4];
    soon(path.local.read_exact(&mut start)).await.unwrap();
    path.driver.abort();
    assert!(is_reset(&mut path.local, b" a fi").await);
    let ended = path.ended().await;
    assert!(matches!(ended, Ended::ConnectionLost), "{ended:?}");
}

/// Whole and ended, and then the caller wants no answer: what was sent arrives all the same.
#[tokio::test]
async fn what_was_complete_before_a_reset_arrives() {
    let mut path = path().await;
    let data = pattern(60_000);
    path.send.send_data(Bytes::copy_from_slice(&data), true).unwrap();
    // The end of the data is on its way before the reset is.
    let mut read = vec![0; 10];
    soon(path.local.read_exact(&mut read)).await.unwrap();
    path.send.send_reset(Reason::CANCEL);
    let mut rest = Vec::new();
    soon(path.local.read_to_end(&mut rest)).await.unwrap();
    read.extend(rest);
    assert!(read == data);
    drop(path.local);
    let ended = soon(path.server.ended.recv()).await.unwrap().0;
    assert!(matches!(ended, Ended::PeerReset(Reason::CANCEL) | Ended::Clean), "{ended:?}");
}

#[tokio::test]
async fn half_a_flow_is_not_kept_for_ever() {
    let half_close = Duration::from_millis(200);
    let mut path = path_with(|backend| ServerSetup { half_close, ..ServerSetup::to(backend) }).await;
    path.send.send_data(Bytes::new(), true).unwrap();
    // While something flows it goes on.
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        path.local.write_all(b"x").await.unwrap();
    }
    let ended = path.ended().await;
    assert!(matches!(ended, Ended::HalfCloseTimeout), "{ended:?}");
    let mut left = Vec::new();
    let error = soon(path.local.read_to_end(&mut left)).await;
    assert!(error.is_ok(), "its own way had ended: {error:?}");
    let reset = read_all(&mut path.recv).await.unwrap_err();
    assert_eq!(reset.reason(), Some(Reason::CONNECT_ERROR));
}

#[tokio::test]
async fn whoever_watches_can_end_a_flow() {
    let (near, far) = duplex(64 * 1024);
    let serving = tokio::spawn(async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let send = respond.send_response(http::Response::new(()), false).unwrap();
        tokio::spawn(async move { while connection.accept().await.is_some() {} });
        (request.into_body(), send)
    });
    let (_pool, carried, _) = super::pool::carried(near).await.unwrap();
    let (mut app, local) = tcp().await;
    let (cut, is_cut) = tokio::sync::oneshot::channel();
    let traffic = Traffic::default();
    let (ended, ()) =
        tokio::join!(relay(&local, carried, HALF_CLOSE, &traffic, async { is_cut.await.unwrap() }), async {
            app.write_all(b"hello").await.unwrap();
            while traffic.sent() < 5 {
                tokio::task::yield_now().await;
            }
            cut.send("policy").unwrap();
        });
    assert!(matches!(ended, Ended::Cancelled("policy")), "{ended:?}");
    drop(local);
    assert!(is_reset(&mut app, b"").await);
    let (mut recv, _send) = soon(serving).await.unwrap();
    let reset = read_all(&mut recv).await.unwrap_err();
    assert_eq!(reset.reason(), Some(Reason::CONNECT_ERROR));
}

#[tokio::test]
async fn many_streams_do_not_mix() {
    let (target, backend) = listener().await;
    let echo = tokio::spawn(async move {
        while let Ok((mut stream, _)) = target.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    });
    let (io, _server) = ServerSetup::to(backend).serve();
    let (sender, _driver) = client(io).await;
    let all = (0..100_u32).map(|number| {
        let sender = sender.clone();
        tokio::spawn(async move {
            let (mut send, mut recv) = open(&sender, "10.0.0.1:80").await;
            let word = Bytes::from(number.to_string().repeat(1000));
            send.send_data(word.clone(), true).unwrap();
            assert_eq!(read_all(&mut recv).await.unwrap(), word);
        })
    });
    for one in all.collect::<Vec<_>>() {
        soon(one).await.unwrap();
    }
    echo.abort();
}

/// Both ways at once, through our client, a pipe and our server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_both_ways_arrive_as_they_were() {
    const BYTES: usize = 50 << 20;
    let (target, backend) = listener().await;
    let (near, mut server) = ServerSetup::to(backend).serve();
    let (_pool, carried, purse) = super::pool::carried(near).await.unwrap();
    let (app, local) = tcp().await;
    let (far, _) = soon(target.accept()).await.unwrap();
    let data: Arc<[u8]> = pattern(BYTES).into();
    let ends = [app, far].map(|stream| {
        let data = Arc::clone(&data);
        tokio::spawn(async move {
            let (mut read, mut write) = stream.into_split();
            let sent = Arc::clone(&data);
            let writing = tokio::spawn(async move {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let mut place = 0;
            let mut bytes = vec![0; 128 * 1024];
            loop {
                let count = read.read(&mut bytes).await.unwrap();
                if count == 0 {
                    break;
                }
                assert!(bytes[..count] == data[place..place + count]);
                place += count;
            }
            assert_eq!(place, data.len());
            writing.await.unwrap();
        })
    });
    let traffic = Traffic::default();
    let ended = relay(&local, carried, HALF_CLOSE, &traffic, std::future::pending::<()>()).await;
    assert!(matches!(ended, Ended::Clean), "{ended:?}");
    for end in ends {
        end.await.unwrap();
    }
    assert_eq!((traffic.sent(), traffic.received()), (BYTES as u64, BYTES as u64));
    let (there, _) = soon(server.ended.recv()).await.unwrap();
    assert!(matches!(there, Ended::Clean), "{there:?}");
    assert!(purse.most.load(Ordering::Relaxed) < 6 << 20);
}
