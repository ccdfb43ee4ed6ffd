//! What is written down of a lab, so that another program can use it and take it down:
//! `/run/enforcer-lab/NAME/lab.json`, which is also what `cargo xtask lab up --json` prints.
//!
//! Fields: `topology` (names, addresses, control groups, sockets and pins of nodes and workloads; see
//! [`Topology`]), `agents` (node name → process number and start time), `owner` (the process that will take
//! the lab down when it ends; absent for a lab that stays until `lab down`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process::ProcessId;
use crate::spec::LabName;
use crate::topology::{RUN_DIR, Topology};

/// A lab, written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Everything it consists of.
    pub topology: Topology,
    /// Agents by node name.
    pub agents: BTreeMap<String, ProcessId>,
    /// Who takes it down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<ProcessId>,
}

impl Record {
    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// The file system refused.
    pub fn save(&self) -> Result<()> {
        let path = path_of(&self.topology.spec.name);
        let text = serde_json::to_string_pretty(self).context("lab.json")?;
        let new = path.with_extension("new");
        fs::write(&new, text).with_context(|| format!("{}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("{}", path.display()))
    }

    /// Reads what was written of a lab; `None` when there is no such lab.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn load(name: &LabName) -> Result<Option<Self>> {
        let path = path_of(name);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("{}", path.display()))?,
        };
        serde_json::from_str(&text).map(Some).with_context(|| format!("{}", path.display()))
    }

    /// True when somebody still uses the lab.
    #[must_use]
    pub fn is_owned(&self) -> bool {
        self.owner.is_none_or(|owner| owner.is_alive())
    }
}

fn path_of(name: &LabName) -> PathBuf {
    Path::new(RUN_DIR).join(name.as_str()).join("lab.json")
}
