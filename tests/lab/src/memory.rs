//! A disk that stands for the memory of an accelerator, and the way of a device from tenant to tenant.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sys::stat::{minor, stat};
use serde_json::{Value, json};

use crate::ctl::Ctl;
use crate::disk::MAJOR;
use crate::probe::{Probe, Running};
use crate::wait::until;

/// The class of such disks.
pub const CLASS: &str = "disk";
/// How much memory one has.
pub const BYTES: u64 = 1 << 20;
/// How long a handover may take in a lab.
const HANDOVER_MAX: Duration = Duration::from_secs(60);

/// A disk. It is open all along in the process that keeps it, as a driver's daemon has its device: that process must be
/// in the control group of a listed host service, or the disk never is free.
#[derive(Debug)]
pub struct Memory {
    /// Without somebody who has it open there is no disk.
    _keeper: Running,
    node: PathBuf,
    minor: u64,
}

impl Memory {
    /// Has a service keep a disk, which gets a node here.
    ///
    /// # Errors
    /// This machine has no loop devices, or none left.
    pub fn new(service: &Probe, node: PathBuf) -> Result<Self> {
        let kibibytes = (BYTES / 1024).to_string();
        let keeper = service.start(&["disk", "--kibibytes", &kibibytes, &node.display().to_string()])?;
        let minor = minor(stat(&node).with_context(|| node.display().to_string())?.st_rdev);
        Ok(Self { _keeper: keeper, node, minor })
    }

    /// The class, for the gate's `extraClasses`.
    #[must_use]
    pub fn class() -> Value {
        json!({ "name": CLASS, "kind": "block", "major": MAJOR, "role": "accelerator" })
    }

    /// As the command line names it.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{CLASS}:{}", self.minor)
    }

    /// A grant of this disk.
    #[must_use]
    pub fn grant(&self) -> Value {
        json!([{ "class": CLASS, "minors": [self.minor] }])
    }

    /// Its node.
    #[must_use]
    pub fn path(&self) -> String {
        self.node.display().to_string()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.node);
    }
}

/// Waits until a device in custody is in a state and fits, and hands back what is said of it then.
///
/// # Errors
/// It does not get there in time.
pub fn arrives(ctl: &Ctl, device: &str, wanted: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut last = Value::Null;
    let arrived = until("a handover", HANDOVER_MAX, || {
        let devices = ctl.json(&["get", "custody"])?["devices"].take();
        let own = devices.as_array().and_then(|all| all.iter().find(|found| found["device"] == device));
        last = own.cloned().unwrap_or_default();
        Ok((last["state"] == wanted && fits(&last)).then(|| last.clone()))
    });
    arrived.with_context(|| format!("expected {wanted}, saw {last}"))
}
