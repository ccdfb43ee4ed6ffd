//! What a flow costs that waits.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::proxy::tls::Purse;

#[derive(Default)]
struct Counted {
    held: AtomicUsize,
    most: AtomicUsize,
}

impl Purse for Counted {
    fn take(&self, bytes: usize) -> bool {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.most.fetch_max(held, Ordering::Relaxed);
        true
    }

    fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_flow_that_waits_holds_no_buffer() {
    let purse = Arc::new(Counted::default());
    let mut pair = Pair::new(NATIVE_ONLY);
    pair.node.pool = Pool::new(Arc::clone(&purse) as Arc<dyn Purse>);
    let (near, far) = pair.met().await;
    let mut flow = Flow::over(near, far, PATIENT).await;
    for size in [5, 100_000, 5] {
        let said = vec![1; size];
        let mut heard = vec![0; size];
        let (said, heard) = tokio::join!(flow.client.write_all(&said), flow.server.read_exact(&mut heard));
        said.and(heard.map(|_| ())).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(purse.held.load(Ordering::Relaxed), 0);
    }
    assert!(purse.most.load(Ordering::Relaxed) > 0);
}

/// As many bytes as a tenant must be given at least.
struct Little(AtomicUsize);

impl Purse for Little {
    fn take(&self, bytes: usize) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_beyond_the_budget_wait_for_each_other_and_not_for_ever() {
    let pair = Pair::new(NATIVE_ONLY);
    let little = || Pool::new(Arc::new(Little(AtomicUsize::new(1 << 20))));
    let (near_pool, far_pool) = (little(), little());
    let mut talks = Vec::new();
    for _ in 0..12 {
        let (near, far) = pair.met_with(&near_pool, &far_pool).await;
        let Flow { client, server, .. } = Flow::over(near, far, PATIENT).await;
        for stream in [client, server] {
            let (mut reading, mut writing) = stream.into_split();
            talks.push(tokio::spawn(async move {
                writing.write_all(&vec![1; 4 << 20]).await.unwrap();
                writing.shutdown().await.unwrap();
            }));
            talks.push(tokio::spawn(async move {
                let mut heard = Vec::new();
                reading.read_to_end(&mut heard).await.unwrap();
                assert_eq!(heard.len(), 4 << 20);
            }));
        }
    }
    for talk in talks {
        talk.await.unwrap();
    }
}

#[tokio::test]
async fn a_relay_is_small() {
    let (mut near, _far) = Pair::new(NATIVE_ONLY).met().await;
    let (_client, local) = wire().await;
    let traffic = Traffic::default();
    let future = relay::<()>(&local, &mut near, Side::Client, &LIMITS, &traffic, pending());
    let (future, secured) = (size_of_val(&future), size_of::<Secured>());
    assert!(future <= 512, "{future} bytes");
    assert!(secured <= 640, "{secured} bytes");
}
