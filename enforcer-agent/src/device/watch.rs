//! Keeps the latest look at the devices current: drivers come and go, and their numbers with them. `/proc`
//! tells nobody, so it is read every so often and when somebody asks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::discover::{Discover, Discovery};

/// Looks every `poll`, and whenever `ask` is notified, until nobody receives. `out` changes only when what was
/// found did; when the node cannot be read, what was known stands.
///
/// Between the loading of a driver with a number of its own and the next look its devices are not gated;
/// the majors that are assigned for ever always are.
pub async fn run(discover: Discover, poll: Duration, ask: Arc<Notify>, out: watch::Sender<Arc<Discovery>>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(poll) => {}
            () = ask.notified() => {}
            () = out.closed() => return,
        }
        let discover = discover.clone();
        match tokio::task::spawn_blocking(move || discover.discover()).await {
            Ok(Ok(found)) => publish(&out, found),
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot list devices; the gate stays as it was");
            }
            Err(error) => {
                tracing::error!(%error, "listing devices panicked; the gate stays as it was");
                return;
            }
        }
    }
}

fn publish(out: &watch::Sender<Arc<Discovery>>, found: Discovery) {
    out.send_if_modified(|last| {
        if **last == found {
            return false;
        }
        for warning in found.warnings.iter().filter(|warning| !last.warnings.contains(warning)) {
            tracing::warn!(what = %warning, "device gate");
        }
        let classes: Vec<&str> = found.table.classes().map(|(name, _)| name).collect();
        tracing::info!(classes = classes.join(","), services = found.services.len(), "devices looked up");
        *last = Arc::new(found);
        true
    });
}

#[cfg(test)]
mod tests {
    use super::super::discover::DeviceConfig;
    use super::*;

    #[tokio::test]
    async fn a_driver_that_loads_is_seen_and_one_that_cannot_be_read_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let devices = directory.path().join("devices");
        std::fs::write(directory.path().join("misc"), "").unwrap();
        std::fs::write(&devices, "Character devices:\n").unwrap();
        let config = DeviceConfig {
            proc_devices: devices.clone(),
            proc_misc: directory.path().join("misc"),
            ..DeviceConfig::new(Vec::new(), Vec::new())
        };
        let discover = Discover::new(config, Arc::new(|_| Ok(None)));
        let (out, mut seen) = watch::channel(Arc::new(discover.discover().unwrap()));
        let ask = Arc::new(Notify::new());
        let watching = tokio::spawn(run(discover, Duration::from_secs(3600), Arc::clone(&ask), out));

        std::fs::write(&devices, "Character devices:\n234 kfd\n").unwrap();
        ask.notify_one();
        seen.changed().await.unwrap();
        assert!(seen.borrow_and_update().table.resolve("kfd", None).is_ok());

        std::fs::write(&devices, "garbage").unwrap();
        ask.notify_one();
        tokio::task::yield_now().await;
        std::fs::write(&devices, "Character devices:\n235 kfd\n").unwrap();
        ask.notify_one();
        seen.changed().await.unwrap();
        let kfd = seen.borrow().table.resolve("kfd", None).unwrap();
        assert_eq!(kfd[0].major, 235, "the garbage was never published");
        drop(seen);
        watching.await.unwrap();
    }
}
