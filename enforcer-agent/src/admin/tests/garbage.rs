//! Bytes that are no gRPC: cut off soon, at bounded memory, and nobody else notices.

use std::time::Duration;

use enforcer_proto::v1::ListRevisionsRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{client, serve};

/// Bytes that look like nothing, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn noise_is_cut_off_and_costs_no_memory() {
    let served = serve().await;
    let noise = noise(256 << 20);
    let before = resident_kib();
    for _ in 0..3 {
        let mut stream = UnixStream::connect(&served.socket).await.unwrap();
        // The agent hangs up long before the end: writing fails then.
        let written = timeout(Duration::from_secs(10), stream.write_all(&noise)).await.unwrap();
        assert!(written.is_err());
    }
    assert!(resident_kib() < before + (32 << 10), "{} KiB more", resident_kib() - before);
    client(&served).await.list_revisions(ListRevisionsRequest {}).await.unwrap();
}

#[tokio::test]
async fn noise_behind_a_good_beginning_is_cut_off() {
    let served = serve().await;
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let _closed_early = stream.write_all(&noise(1 << 20)).await;
    let mut answer = Vec::new();
    let _reset = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.len() < 64 << 10);
    client(&served).await.list_revisions(ListRevisionsRequest {}).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn silence_is_cut_off() {
    let served = serve().await;
    let mut stream = UnixStream::connect(&served.socket).await.unwrap();
    stream.write_all(b"PRI * HT").await.unwrap();
    let mut answer = Vec::new();
    let _reset = timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap();
    drop(served);
}
