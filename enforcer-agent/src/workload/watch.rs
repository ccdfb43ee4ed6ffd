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

use super::resolve::{Resolution, Resolver};
use crate::netlink::{drain, subscribe};

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

#[cfg(test)]
mod tests {
    use super::super::cgroup::CgroupTree;
    use super::*;

    /// With an hour between polls, only the kernel's word can be in time.
    #[test]
    #[ignore = "makes a network namespace: needs root and ip(8)"]
    fn a_new_address_is_seen_without_waiting_for_the_poll() {
        std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(new_address());
        })
        .join()
        .unwrap();
    }

    async fn new_address() {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
        let tree = CgroupTree::new(mount.split(' ').nth(4).unwrap().as_ref()).unwrap();
        let config = WatchConfig { poll: Duration::from_secs(3600), ..WatchConfig::default() };
        let (policy, policies) = watch::channel(Arc::new(Policy::default()));
        let (out, mut found) = watch::channel(Arc::new(Resolution::default()));
        let watching = tokio::spawn(run(Resolver::new(String::new(), tree), config, policies, out));
        ip("link add veth-a type veth peer name veth-b");
        for last in [7, 8] {
            ip(&format!("addr add 192.0.2.{last}/24 dev veth-a"));
            // The first look may come after the first address; the second address needs the kernel's word.
            let seen = found.wait_for(|found| found.addresses.contains(&[192, 0, 2, last].into()));
            tokio::time::timeout(Duration::from_secs(10), seen).await.expect("word in time").unwrap();
        }
        drop(policy);
        watching.await.unwrap();
    }

    fn ip(arguments: &str) {
        let status = std::process::Command::new("ip").args(arguments.split(' ')).status().unwrap();
        assert!(status.success(), "ip {arguments}");
    }
}
