//! How much may be open, and how much is held for a peer that takes nothing.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::raw::*;
use super::*;

#[tokio::test]
async fn two_hundred_streams_are_open_at_once_and_the_next_is_refused() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let held = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = target.accept().await {
            held.push(stream);
        }
    });
    let mut raw = Raw::client(io).await;
    for place in 0..200 {
        raw.send(&call(2 * place + 1)).await;
    }
    for _ in 0..200 {
        raw.next_of(HEADERS).await.unwrap();
    }
    raw.send(&call(401)).await;
    let reset = raw.next_of(RST_STREAM).await.unwrap();
    assert_eq!((reset.stream, reset.code()), (401, REFUSED_STREAM));
    assert_eq!(server.script.targets.lock().unwrap().len(), 200);
    held.abort();
}

#[tokio::test]
async fn a_frame_of_a_megabyte_is_carried() {
    let (target, backend) = listener().await;
    let (io, _server) = ServerSetup::to(backend).serve();
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    let (mut local, _) = soon(target.accept()).await.unwrap();
    let data = pattern(1024 * 1024);
    let reading = async {
        let mut read = Vec::new();
        local.read_to_end(&mut read).await.unwrap();
        read
    };
    let sending = async {
        raw.send(&frame(DATA, 0, 1, &data)).await;
        // The whole window was used: more only behind an update.
        raw.next_of(WINDOW_UPDATE).await.unwrap();
        raw.send(&frame(DATA, END_STREAM, 1, b"")).await;
    };
    let (read, ()) = tokio::join!(soon(reading), soon(sending));
    assert!(read == data);
}

#[tokio::test]
async fn a_target_that_reads_nothing_costs_no_more_than_was_paid() {
    let (target, backend) = listener().await;
    let (io, mut server) = ServerSetup::to(backend).serve();
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    raw.next_of(HEADERS).await.unwrap();
    let sent = AtomicUsize::new(0);
    // It ignores its windows.
    let endless = |_| {
        sent.fetch_add(16_384, Ordering::Relaxed);
        frame(DATA, 0, 1, &[7; 16_384])
    };
    let verdict = super::floods::pour_on(raw, endless, 10_000).await;
    assert_eq!(verdict.map(|(_, code)| code), Some(FLOW_CONTROL_ERROR));
    let (ended, traffic) = soon(server.ended.recv()).await.unwrap();
    assert!(!matches!(ended, Ended::Clean), "{ended:?}");
    // What the target's socket took, one window, and what lay in the pipe.
    let beyond = sent.load(Ordering::Relaxed) as u64 - traffic.received();
    assert!(beyond < 3 << 20, "{beyond}");
    assert!(server.purse.most.load(Ordering::Relaxed) < 6 << 20);
    drop(target);
    let purse = Arc::clone(&server.purse);
    server.closed().await;
    assert_eq!(purse.taken(), 0);
}

#[tokio::test]
async fn a_peer_that_grants_nothing_is_read_for_no_further_than_its_window() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let mut raw = Raw::client(io).await;
    raw.send(&call(1)).await;
    let (local, _) = soon(target.accept()).await.unwrap();
    let mut pushed = 0;
    let pushing = async {
        loop {
            local.writable().await.unwrap();
            if let Ok(count) = local.try_write(&[7; 65_536]) {
                pushed += count;
            }
        }
    };
    let mut got = 0;
    let receiving = async {
        while let Some(frame) = raw.next().await {
            got += if frame.kind == DATA { frame.payload.len() } else { 0 };
        }
    };
    let _ =
        tokio::time::timeout(Duration::from_millis(500), async { tokio::join!(pushing, receiving) }).await;
    assert_eq!(got, 65_535);
    assert!(pushed > got, "the target had more to say");
    // The way that waits holds its buffer, and no more.
    assert!(server.purse.taken() < 6 << 20);
}

#[tokio::test]
async fn a_flow_waits_while_the_tenants_buffers_are_full_and_goes_on_after() {
    let (target, backend) = listener().await;
    // The connection and one stream fit, and no buffer.
    let bytes = (4 << 20) + (1 << 20) + 8 * 1024 + 64 * 1024;
    let (io, server) = ServerSetup { purse: bytes, ..ServerSetup::to(backend) }.serve();
    let (sender, _driver) = client(io).await;
    let (_send, mut recv) = open(&sender, "10.0.0.1:80").await;
    let (mut local, _) = soon(target.accept()).await.unwrap();
    local.write_all(b"late").await.unwrap();
    let early = tokio::time::timeout(Duration::from_millis(100), recv.data()).await;
    assert!(early.is_err());
    server.purse.give(1 << 20);
    assert_eq!(soon(recv.data()).await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn a_quiet_flow_holds_no_buffer() {
    let (target, backend) = listener().await;
    let (io, server) = ServerSetup::to(backend).serve();
    let (sender, _driver) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .initial_connection_window_size(1 << 20)
        .handshake::<_, Bytes>(io)
        .await
        .map(|(sender, connection)| (sender, tokio::spawn(connection)))
        .unwrap();
    let (_send, mut recv) = open(&sender, "10.0.0.1:80").await;
    let before = server.purse.taken();
    let (mut local, _) = soon(target.accept()).await.unwrap();
    local.write_all(b"hello").await.unwrap();
    assert_eq!(soon(recv.data()).await.unwrap().unwrap(), "hello");
    assert!(server.purse.taken() > before);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(server.purse.taken(), before);
    local.write_all(b"again").await.unwrap();
    assert_eq!(soon(recv.data()).await.unwrap().unwrap(), "again");
}
