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
    let mut flow = Flow::over(near, far).await;
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
