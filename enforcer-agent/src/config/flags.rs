//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::nvidia::probe::ProbeFlags;
use crate::nvidia::read::ReadFlags;
use crate::nvidia::scrub::ScrubFlags;

use super::raw::{RawConfig, RawDeviceGate, RawListener, RawLog, RawPolicy, RawSocket};

/// The node agent of Enforcer: keeps the tenants of this node apart, in the kernel.
///
/// It attaches the network wall and the device gate, puts the last good policy in force before anything
/// else, and then takes policy from a control plane (gRPC) or from files. The walls are pinned: they stay
/// when the agent stops or dies, and only `uninstall` takes them away.
#[derive(Debug, Parser)]
#[command(name = "enforcer-agent", version, propagate_version = true, max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the agent can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run until SIGTERM. The walls stay when it stops.
    ///
    /// Needs root, or CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN (to enter network namespaces),
    /// and a mounted bpffs. SIGHUP reads policy files again.
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunFlags),
    /// Make the key-encryption key that seals every other key of this node.
    ///
    /// Needed once, before the first `run`: the agent refuses to start without one rather than make one up. Writes
    /// a new file of mode 0600 where the configuration says (`identity.key.file`), never over an existing one. Not
    /// needed where the key is a systemd credential or in a token, nor with `identity.enabled: false`.
    Init(RunFlags),
    /// Change the key-encryption key.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Say everything that is wrong with the configuration, change nothing.
    ///
    /// Exit status 0 when it could run with it, 1 when not.
    CheckConfig(RunFlags),
    /// Remove every link, map and pin of Enforcer from this node, and print what was removed.
    ///
    /// This is the only way the walls come down. Policy files and the journal stay on disk.
    Uninstall(UninstallFlags),
    /// Overwrite a GPU's memory, look at samples, and print one line of JSON.
    ///
    /// Exit status 0 when it is clean, 3 when it could not be done, 4 when something else was read than was written, 5
    /// when too little was covered.
    #[command(hide = true)]
    ScrubNvidia(ScrubFlags),
    /// Print what NVML says of every GPU, as one line of JSON.
    #[command(hide = true)]
    ReadNvidia(ReadFlags),
    /// Run a tiny CUDA job on the first GPU.
    #[command(hide = true)]
    CudaProbe(ProbeFlags),
    /// Print shell completion.
    Completion {
        /// For which shell.
        shell: Shell,
    },
}

/// What can be done with the key-encryption key.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Add a new key to the key file: it seals from now on, the older ones still open.
    ///
    /// A running agent notices within seconds and seals its data keys anew, without a pause;
    /// `enforcerctl identity list` says when nothing needs an older key any more.
    Rotate(RunFlags),
    /// Drop the keys that nothing is sealed with any more.
    Prune(RunFlags),
}

const RUN_EXAMPLES: &str = "Examples:
  enforcer-agent init && enforcer-agent run
      The key-encryption key, once; then every default: configuration from /etc/enforcer/agent.yaml if it exists, socket in /run/enforcer.
  enforcer-agent run --policy /etc/enforcer/policy.d
      A policy from files, read again when they change.
  enforcer-agent run --device-gate audit
      On a node with running workloads: record what the gate would refuse, refuse nothing yet.

Configuration file (every word optional):
  nodeName: gpu-17
  socket: {path: /run/enforcer/agent.sock, allowedUids: [1000]}
  deviceGate:
    mode: enforce
    hostServices: [{name: device-plugin, cgroup: /kubelet/device-plugin}]
    handles: {sweepSeconds: 10, podResources: /var/lib/kubelet/pod-resources/kubelet.sock}
    revoke: {resetCommand: [/usr/bin/nvidia-smi, --gpu-reset, -i, \"{number}\"], seconds: 30}
  tag: {mask: \"0xffff0000\", shift: 16}
  identity:
    trustDomain: fleet.example
    upstream: {disk: {certificate: /etc/enforcer/ca.crt, key: /etc/enforcer/ca.key}}
  trace:
    retention: {days: 30, maxBytes: 17179869184}
    tenants: {team-a: {retentionDays: 90, aggregation: states}}
  listener:
    address: 10.0.0.5:7443
    readers: [\"spiffe://team-a.fleet.example/ns/ops/sa/auditor\"]
    allowedSpiffeIds: [\"spiffe://platform.fleet.example/ns/control/sa/plane\"]";

/// Words that win over the file's.
#[derive(Clone, Debug, Default, Args)]
pub struct RunFlags {
    /// Configuration file [default: /etc/enforcer/agent.yaml, if it exists]
    #[arg(long, value_name = "FILE", env = "ENFORCER_CONFIG")]
    pub config: Option<PathBuf>,
    /// Name of this node in policies and records [default: host name]
    #[arg(long, value_name = "NAME", env = "ENFORCER_NODE_NAME")]
    pub node_name: Option<String>,
    /// Where the last good policy is kept [default: /var/lib/enforcer]
    #[arg(long, value_name = "DIR", env = "ENFORCER_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// Unix socket for local callers [default: /run/enforcer/agent.sock]
    #[arg(long, value_name = "PATH", env = "ENFORCER_SOCKET")]
    pub socket: Option<PathBuf>,
    /// Where links and maps are pinned; on a bpffs [default: /sys/fs/bpf/enforcer]
    #[arg(long, value_name = "DIR", env = "ENFORCER_PIN_DIR")]
    pub pin_dir: Option<PathBuf>,
    /// Attach the hooks below this control group [default: the cgroup2 mount]
    #[arg(long, value_name = "DIR", env = "ENFORCER_CGROUP_ROOT")]
    pub cgroup_root: Option<PathBuf>,
    /// Take the policy from this file, or from the *.yaml and *.yml files of this directory
    #[arg(long, value_name = "PATH", env = "ENFORCER_POLICY")]
    pub policy: Option<PathBuf>,
    /// Whether refusals of the device gate are refusals: enforce or audit [default: enforce]
    #[arg(long, value_name = "MODE", env = "ENFORCER_DEVICE_GATE")]
    pub device_gate: Option<String>,
    /// Listen for control planes on this address; needs the listener's certificates in the file
    #[arg(long, value_name = "ADDRESS:PORT", env = "ENFORCER_LISTEN")]
    pub listen: Option<String>,
    /// Log lines: text or json [default: text]
    #[arg(long, value_name = "FORMAT", env = "ENFORCER_LOG_FORMAT")]
    pub log_format: Option<String>,
    /// What to log, as tracing directives [default: info]
    #[arg(long, value_name = "FILTER", env = "ENFORCER_LOG")]
    pub log: Option<String>,
}

/// What `uninstall` needs to know.
#[derive(Clone, Debug, Args)]
pub struct UninstallFlags {
    /// Where links and maps are pinned
    #[arg(long, value_name = "DIR", env = "ENFORCER_PIN_DIR", default_value = "/sys/fs/bpf/enforcer")]
    pub pin_dir: PathBuf,
}

/// Shells that completion is made for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Shell {
    /// GNU bash.
    Bash,
    /// Z shell.
    Zsh,
    /// fish.
    Fish,
}

impl From<Shell> for clap_complete::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

impl RunFlags {
    /// The file's words with these over them.
    #[must_use]
    pub fn over(&self, mut raw: RawConfig) -> RawConfig {
        set(&mut raw.node_name, &self.node_name);
        set(&mut raw.state_directory, &self.state_dir);
        set(&mut raw.pin_directory, &self.pin_dir);
        set(&mut raw.cgroup_root, &self.cgroup_root);
        if self.socket.is_some() {
            set(&mut raw.socket.get_or_insert_with(RawSocket::default).path, &self.socket);
        }
        if self.policy.is_some() {
            set(&mut raw.policy.get_or_insert_with(RawPolicy::default).path, &self.policy);
        }
        if self.device_gate.is_some() {
            set(&mut raw.device_gate.get_or_insert_with(RawDeviceGate::default).mode, &self.device_gate);
        }
        if self.listen.is_some() {
            set(&mut raw.listener.get_or_insert_with(RawListener::default).address, &self.listen);
        }
        if self.log_format.is_some() || self.log.is_some() {
            let log = raw.log.get_or_insert_with(RawLog::default);
            set(&mut log.format, &self.log_format);
            set(&mut log.filter, &self.log);
        }
        raw
    }
}

fn set<T: Clone>(word: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        word.clone_from(flag);
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_flag_wins_over_the_file_and_leaves_the_rest() {
        let raw = RawConfig {
            node_name: Some("file".to_owned()),
            log: Some(RawLog { format: Some("json".to_owned()), filter: None }),
            ..RawConfig::default()
        };
        let flags = RunFlags { log: Some("debug".to_owned()), ..RunFlags::default() };
        let merged = flags.over(raw);
        assert_eq!(merged.node_name.as_deref(), Some("file"));
        let log = merged.log.unwrap();
        assert_eq!((log.format.as_deref(), log.filter.as_deref()), (Some("json"), Some("debug")));
    }
}
