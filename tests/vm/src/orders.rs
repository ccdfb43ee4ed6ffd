//! What the machine is to do: `/etc/enforcer-vm/orders.json` of its initramfs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where the orders are.
pub const ORDERS: &str = "/etc/enforcer-vm/orders.json";

/// Everything that the machine is to do, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orders {
    /// Kernel modules to load, each after those it needs.
    pub modules: Vec<PathBuf>,
    /// Programs to run, one after the other.
    pub jobs: Vec<Job>,
}

/// One program to run as root.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Under which it is reported.
    pub name: String,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// All of its environment.
    pub environment: BTreeMap<String, String>,
    /// After so many seconds it is killed.
    pub limit_s: u64,
    /// A person sits at the serial line: it is the program's terminal.
    pub interactive: bool,
}

impl Job {
    /// After so long it is killed.
    #[must_use]
    pub const fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_s)
    }
}
