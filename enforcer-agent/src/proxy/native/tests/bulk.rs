//! Many bytes, both ways at once; and a reader that stops.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const BYTES: u64 = 100_000_000;

/// A stream of bytes in which every place is told apart.
fn fill(part: &mut [u8], at: u64) {
    for (byte, at) in part.iter_mut().zip(at..) {
        *byte = (at ^ (at >> 8) ^ (at >> 16)).to_le_bytes()[0];
    }
}

async fn send(writer: &mut (impl AsyncWriteExt + Unpin)) {
    let (mut part, mut at) = (vec![0; 123_457], 0);
    while at < BYTES {
        let length = usize::try_from(BYTES - at).map_or(part.len(), |left| left.min(part.len()));
        fill(&mut part[..length], at);
        writer.write_all(&part[..length]).await.unwrap();
        at += u64::try_from(length).unwrap();
    }
    writer.shutdown().await.unwrap();
}

async fn receive(reader: &mut (impl AsyncReadExt + Unpin)) -> u64 {
    let (mut part, mut expected, mut at) = (vec![0; 200_000], vec![0; 200_000], 0);
    loop {
        let count = reader.read(&mut part).await.unwrap();
        if count == 0 {
            return at;
        }
        fill(&mut expected[..count], at);
        assert!(part[..count] == expected[..count], "behind byte {at}");
        at += u64::try_from(count).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_megabytes_arrive_whole_both_ways_at_once() {
    let mut flow = Flow::new(PATIENT).await;
    let ((mut client_in, mut client_out), (mut server_in, mut server_out)) =
        (flow.client.split(), flow.server.split());
    let (_, heard, _, answered) = tokio::join!(
        send(&mut client_out),
        receive(&mut server_in),
        send(&mut server_out),
        receive(&mut client_in)
    );
    assert_eq!((heard, answered), (BYTES, BYTES));
    let (ended, _, traffic) = flow.near.await.unwrap();
    assert!(matches!(ended, Ended::Clean), "{ended:?}");
    assert_eq!((traffic.sent(), traffic.received()), (BYTES, BYTES));
}

/// What a stopped reader costs is what sockets and two buffers hold.
#[tokio::test]
async fn a_reader_that_stops_stops_the_sender() {
    let flow = Flow::new(PATIENT).await;
    let part = vec![1; 64 * 1024];
    let mut accepted: usize = 0;
    loop {
        let written = tokio::time::timeout(Duration::from_millis(300), flow.client.writable()).await;
        if written.is_err() {
            break;
        }
        accepted += flow.client.try_write(&part).unwrap_or(0);
    }
    // Three connections with a sending and a receiving buffer each, that the kernel may let grow to 6 MiB and 4 MiB.
    assert!(accepted < 32 << 20, "{accepted} bytes were accepted");
    assert!(!flow.near.is_finished() && !flow.far.is_finished());
}
