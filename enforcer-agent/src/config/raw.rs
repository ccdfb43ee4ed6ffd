//! The configuration file as it is written: every word optional, unknown words refused.

use std::path::PathBuf;

use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawConfig {
    /// The node's name in policies and records.
    pub node_name: Option<String>,
    /// Where the last good policy is kept.
    pub state_directory: Option<PathBuf>,
    /// The local door.
    pub socket: Option<RawSocket>,
    /// Where links and maps are pinned.
    pub pin_directory: Option<PathBuf>,
    /// The control group below which the hooks are attached.
    pub cgroup_root: Option<PathBuf>,
    /// Who may open accelerators.
    pub device_gate: Option<RawDeviceGate>,
    /// Where in the packet mark the tenant travels.
    pub tag: Option<RawTag>,
    /// Sizes of the kernel's tables.
    pub capacities: Option<RawCapacities>,
    /// A policy from files.
    pub policy: Option<RawPolicy>,
    /// The network door.
    pub listener: Option<RawListener>,
    /// What is logged, and how.
    pub log: Option<RawLog>,
    /// Records that are held for `observe`.
    pub records: Option<usize>,
}

/// The local door.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawSocket {
    /// Unix socket.
    pub path: Option<PathBuf>,
    /// Users beside root and the agent's own.
    pub allowed_uids: Option<Vec<u32>>,
}

/// The device gate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawDeviceGate {
    /// `enforce` or `audit`.
    pub mode: Option<String>,
    /// Control groups that may open gated devices.
    pub host_services: Option<Vec<RawHostService>>,
    /// Device classes beside the known ones.
    pub extra_classes: Option<Vec<RawExtraClass>>,
}

/// A driver daemon, a device plugin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawHostService {
    /// For records.
    pub name: Option<String>,
    /// Path below the cgroup root, with a leading slash.
    pub cgroup: Option<String>,
    /// Classes; all when absent.
    pub classes: Option<Vec<String>>,
}

/// A device class of the operator's own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawExtraClass {
    /// What grants call it.
    pub name: Option<String>,
    /// `char` or `block`.
    pub kind: Option<String>,
    /// Major number.
    pub major: Option<u32>,
    /// `accelerator`, `control` or `never`.
    pub role: Option<String>,
}

/// The tag in the packet mark.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawTag {
    /// Bits of the mark that are ours, decimal or `0x` hexadecimal.
    pub mask: Option<String>,
    /// How far the tag is shifted into them.
    pub shift: Option<u32>,
}

/// Entries that the tables hold.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawCapacities {
    /// Tenants.
    pub tenants: Option<u64>,
    /// What tenants say of peers.
    pub pairs: Option<u64>,
    /// Port entries.
    pub ports: Option<u64>,
    /// CIDR entries.
    pub cidrs: Option<u64>,
    /// Device grants.
    pub grants: Option<u64>,
    /// Addresses of workloads and bindings.
    pub addresses: Option<u64>,
    /// Host-side interfaces.
    pub interfaces: Option<u64>,
    /// Control groups.
    pub cgroups: Option<u64>,
    /// Tracked flows.
    pub flows: Option<u64>,
}

/// A policy from files.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawPolicy {
    /// A file, or a directory of `*.yaml` and `*.yml` files.
    pub path: Option<PathBuf>,
}

/// The network door.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawListener {
    /// `address:port`.
    pub address: Option<String>,
    /// The agent's certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
    /// Authorities that callers' certificates come from, PEM.
    pub client_ca: Option<PathBuf>,
    /// Who may call.
    pub allowed_spiffe_ids: Option<Vec<String>>,
}

/// What is logged.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RawLog {
    /// `text` or `json`.
    pub format: Option<String>,
    /// `info`, `debug`, `enforcer_agent::policy=debug,info`, ...
    pub filter: Option<String>,
}

/// Parses the file's text. This is the configuration door: pure, all or nothing.
///
/// # Errors
/// The first thing that is not understood, with its line.
pub fn parse(text: &str) -> Result<RawConfig, serde_norway::Error> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(RawConfig::default());
    }
    serde_norway::from_str(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_an_error_with_its_line() {
        let error = parse("nodeName: a\nsocket:\n  pfad: /x\n").unwrap_err();
        assert!(error.to_string().contains("pfad"), "{error}");
        assert_eq!(error.location().map(|place| place.line()), Some(3));
    }

    #[test]
    fn a_file_of_comments_is_empty_and_a_null_is_not_taken_for_a_map() {
        assert_eq!(parse("# nothing\n\n").unwrap(), RawConfig::default());
        assert!(parse("- a\n").is_err());
    }
}
