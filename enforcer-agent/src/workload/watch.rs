//! Keeps the latest look at the node current: after a new policy, after a change of interfaces or addresses,
//! and every so often, because a control group that comes or goes tells nobody reliably.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::policy::model::Policy;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::netlink::{drain, subscribe};
use super::resolve::{Resolution, Resolver};

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchConfig {
    /// At least every so often.
    pub poll: Duration,
    /// At most every so often, however much changes.
    pub pause: Duration,
}

impl Default for WatchConfig {
    fn default() -> Self {
        Self { poll: Duration::from_secs(1), pause: Duration::from_millis(20) }
    }
}

/// Looks again and again until the policy's sender is gone. `out` changes only when what was found did.
pub async fn run(
    mut resolver: Resolver,
    config: WatchConfig,
    mut policy: watch::Receiver<Arc<Policy>>,
    out: watch::Sender<Arc<Resolution>>,
) {
    let changes = Changes::open();
    loop {
        let began = Instant::now();
        let now = Arc::clone(&policy.borrow_and_update());
        // Entering namespaces and reading tables blocks, so it is not done on a thread that serves others.
        let Ok((back, found)) = tokio::task::spawn_blocking(move || {
            let found = resolver.resolve(&now);
            (resolver, found)
        })
        .await
        else {
            tracing::error!("looking for workloads panicked; what was found before stands");
            return;
        };
        resolver = back;
        match found {
            Ok(found) => publish(&out, found),
            Err(error) => tracing::warn!(%error, "cannot look for workloads; what was found before stands"),
        }
        tokio::select! {
            changed = policy.changed() => if changed.is_err() { return },
            () = changes.wait() => {}
            () = sleep_until(began + config.poll) => {}
        }
        sleep_until(began + config.pause).await;
    }
}

fn publish(out: &watch::Sender<Arc<Resolution>>, found: Resolution) {
    out.send_if_modified(|last| {
        if **last == found {
            return false;
        }
        for warning in found.warnings.iter().filter(|warning| !last.warnings.contains(warning)) {
            tracing::warn!(workload = %warning.workload, what = %warning.what, "workload not in place");
        }
        tracing::info!(
            workloads = found.attachments.len(),
            addresses = found.addresses.len(),
            missing = found.warnings.len(),
            "workloads looked up"
        );
        *last = Arc::new(found);
        true
    });
}

/// Word from the kernel that an interface or an address changed; without it the polls have to do.
struct Changes(Option<AsyncFd<OwnedFd>>);

impl Changes {
    fn open() -> Self {
        let subscription = subscribe().map_err(io::Error::other).and_then(|socket| {
            // SAFETY: an owned descriptor stays open, and the same, until it is dropped.
            unsafe { AsyncFd::register(socket) }.map_err(io::Error::from)
        });
        if let Err(error) = &subscription {
            tracing::warn!(%error, "no word of interface changes; they are seen at the next poll");
        }
        Self(subscription.ok())
    }

    async fn wait(&self) {
        let Some(subscription) = &self.0 else { return std::future::pending().await };
        match subscription.readable().await {
            Ok(mut ready) => {
                if let Err(error) = drain(subscription.get_ref()) {
                    tracing::warn!(%error, "word of interface changes is lost; they are seen at the next poll");
                    return std::future::pending().await;
                }
                ready.clear_ready();
            }
            Err(_) => std::future::pending().await,
        }
    }
}
