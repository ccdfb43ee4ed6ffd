//! Raw words → settings. Reports everything that is wrong, not only the first.

mod custody;
mod detection;
mod export;
mod gate;
mod handles;
mod hubble;
pub mod identity;
mod listener;
mod numbers;
mod posture;
mod trace;
mod tunnel;

use std::path::{Path, PathBuf};
use std::time::Duration;

use enforcer_core::duration::parse_seconds;

use super::host::Host;
use super::raw::{RawConfig, RawLog, RawSocket};
use super::settings::{LogFormat, LogSettings, SocketSettings};
use super::{ConfigProblem, Settings};

const STATE_DIRECTORY: &str = "/var/lib/enforcer";
const SOCKET: &str = "/run/enforcer/agent.sock";
const PIN_DIRECTORY: &str = "/sys/fs/bpf/enforcer";

/// Collects what is wrong while resolving goes on.
#[derive(Debug, Default)]
struct Problems(Vec<ConfigProblem>);

impl Problems {
    fn push(&mut self, problem: ConfigProblem) {
        self.0.push(problem);
    }
}

/// Resolves.
///
/// # Errors
/// Everything that is wrong.
pub fn resolve(raw: RawConfig, host: &Host) -> Result<Settings, Vec<ConfigProblem>> {
    let mut problems = Problems::default();
    let RawConfig {
        node_name: name,
        state_directory,
        socket: raw_socket,
        pin_directory,
        cgroup_root: raw_cgroup_root,
        device_gate,
        tag,
        capacities,
        policy,
        listener,
        identity: raw_identity,
        tunnel: raw_tunnel,
        detection,
        export: raw_export,
        trace: raw_trace,
        hubble: raw_hubble,
        log: raw_log,
        records,
    } = raw;
    let identity = identity::identity(raw_identity.unwrap_or_default(), &mut problems);
    let has_identity = identity.is_some();
    let fleet = identity.as_ref().map(|identity| identity.trust_domain.clone());
    let has_listener = listener.is_some();
    let (capacity, flows) = numbers::capacities(&capacities.unwrap_or_default(), &mut problems);
    let state_directory = absolute("stateDirectory", state_directory, STATE_DIRECTORY, &mut problems);
    let (recording, trace) = trace::trace(raw_trace, &state_directory, has_identity, &mut problems);
    let settings = Settings {
        node_name: node_name(name, host, &mut problems),
        state_directory,
        socket: socket(raw_socket.unwrap_or_default(), &mut problems),
        pin_directory: absolute("pinDirectory", pin_directory, PIN_DIRECTORY, &mut problems),
        cgroup_root: cgroup_root(raw_cgroup_root, host, &mut problems),
        device_gate: gate::device_gate(device_gate.unwrap_or_default(), &mut problems),
        tag: numbers::tag(&tag.unwrap_or_default(), &mut problems),
        capacity,
        flows,
        policy_path: policy.and_then(|policy| policy_path(policy.path, &mut problems)),
        listener: listener.and_then(|listener| listener::listener(listener, fleet.as_ref(), &mut problems)),
        tunnel: tunnel::tunnel(raw_tunnel, has_identity, &mut problems),
        hubble: hubble::hubble(raw_hubble, has_listener, &mut problems),
        identity,
        detection: detection::detection(detection.unwrap_or_default(), &mut problems),
        export: export::export(raw_export.unwrap_or_default(), fleet.as_ref(), &mut problems),
        recording,
        trace,
        log: log(raw_log.unwrap_or_default(), &mut problems),
        records: numbers::records(records, &mut problems),
    };
    if problems.0.is_empty() { Ok(settings) } else { Err(problems.0) }
}

/// Node names are DNS-1123 subdomains, as workloads spell them.
fn node_name(name: Option<String>, host: &Host, problems: &mut Problems) -> String {
    let from_host = name.is_none();
    let Some(name) = name.or_else(|| host.name.as_ref().map(|name| name.to_ascii_lowercase())) else {
        problems.push(ConfigProblem::HostName("the kernel gives none".to_owned()));
        return String::new();
    };
    if is_subdomain(&name) {
        return name;
    }
    problems.push(if from_host {
        ConfigProblem::HostName(format!("{name:?} is no DNS-1123 subdomain"))
    } else {
        ConfigProblem::Word {
            path: "nodeName".to_owned(),
            value: name,
            expected: "a DNS-1123 subdomain: lower-case letters, digits, '-' and '.', at most 253 bytes",
        }
    });
    String::new()
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        })
}

fn socket(raw: RawSocket, problems: &mut Problems) -> SocketSettings {
    SocketSettings {
        path: absolute("socket.path", raw.path, SOCKET, problems),
        allowed_uids: raw.allowed_uids.unwrap_or_default().into_iter().collect(),
    }
}

fn cgroup_root(path: Option<PathBuf>, host: &Host, problems: &mut Problems) -> PathBuf {
    match (path, &host.cgroup_mount) {
        (Some(path), _) => checked("cgroupRoot", path, problems),
        (None, Some(mount)) => mount.clone(),
        (None, None) => {
            problems.push(ConfigProblem::NoCgroupMount);
            PathBuf::new()
        }
    }
}

fn policy_path(path: Option<PathBuf>, problems: &mut Problems) -> Option<PathBuf> {
    match path {
        Some(path) => Some(checked("policy.path", path, problems)),
        None => {
            problems.push(ConfigProblem::Missing {
                path: "policy.path".to_owned(),
                hint: "name a file or a directory, or leave `policy` out",
            });
            None
        }
    }
}

fn log(raw: RawLog, problems: &mut Problems) -> LogSettings {
    let format = match raw.format.as_deref() {
        None | Some("text") => LogFormat::Text,
        Some("json") => LogFormat::Json,
        Some(other) => {
            problems.push(ConfigProblem::Word {
                path: "log.format".to_owned(),
                value: other.to_owned(),
                expected: "text or json",
            });
            LogFormat::Text
        }
    };
    let filter = raw.filter.unwrap_or_else(|| "info".to_owned());
    if tracing_subscriber::EnvFilter::try_new(&filter).is_err() {
        problems.push(ConfigProblem::Word {
            path: "log.filter".to_owned(),
            value: filter.clone(),
            expected: "tracing directives, such as info or enforcer_agent=debug",
        });
    }
    LogSettings { format, filter }
}

/// A duration, or the default in seconds; `low` and `high` are in seconds too.
fn span(
    path: &str,
    value: Option<String>,
    default: u64,
    (low, high): (u64, u64),
    problems: &mut Problems,
) -> Duration {
    let seconds = match value {
        None => default,
        Some(text) => match parse_seconds(&text).and_then(|seconds| u64::try_from(seconds).ok()) {
            Some(seconds) => seconds,
            None => {
                let expected = "a duration: 90s, 5m or 1h30m";
                problems.push(ConfigProblem::Word { path: path.to_owned(), value: text, expected });
                default
            }
        },
    };
    if seconds < low || seconds > high {
        problems.push(ConfigProblem::Range { path: format!("{path} (seconds)"), value: seconds, low, high });
    }
    Duration::from_secs(seconds)
}

fn absolute(path: &str, value: Option<PathBuf>, default: &str, problems: &mut Problems) -> PathBuf {
    match value {
        Some(value) => checked(path, value, problems),
        None => PathBuf::from(default),
    }
}

fn checked(path: &str, value: PathBuf, problems: &mut Problems) -> PathBuf {
    if !Path::is_absolute(&value) {
        problems.push(ConfigProblem::Relative { path: path.to_owned(), value: value.clone() });
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw;
    use crate::config::settings::GateMode;

    fn host() -> Host {
        Host { name: Some("Node-1".to_owned()), cgroup_mount: Some("/sys/fs/cgroup".into()) }
    }

    fn problems(text: &str) -> Vec<String> {
        let raw = raw::parse(text).unwrap();
        resolve(raw, &host()).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nothing_configured_gives_the_documented_defaults() {
        let settings = resolve(RawConfig::default(), &host()).unwrap();
        assert_eq!(settings.node_name, "node-1");
        assert_eq!(settings.socket.path, Path::new("/run/enforcer/agent.sock"));
        assert_eq!(settings.cgroup_root, Path::new("/sys/fs/cgroup"));
        assert_eq!(settings.device_gate.mode, GateMode::Enforce);
        assert_eq!((settings.tag.mask, settings.tag.shift), (0xffff_0000, 16));
        assert_eq!(settings.tag.limit(), 0xffff);
        assert_eq!(settings.listener, None);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let all = problems(
            "nodeName: Über\nstateDirectory: state\ndeviceGate: {mode: maybe}\n\
             tag: {mask: \"0x00ff00ff\", shift: 0}\ncapacities: {tenants: 0}\nlog: {format: xml}\n",
        );
        assert_eq!(all.len(), 6, "{all:#?}");
    }

    #[test]
    fn a_listener_without_certificates_or_callers_is_refused() {
        let all = problems("identity: {enabled: false}\nlistener: {address: \"127.0.0.1:7443\"}\n");
        for word in ["certificate", "key", "clientCa", "allowedSpiffeIds"] {
            assert!(
                all.iter().any(|problem| problem.contains(&format!("listener.{word}"))),
                "{word}: {all:?}"
            );
        }
    }

    #[test]
    fn a_listener_with_an_empty_list_of_callers_is_refused() {
        let all = problems(
            "listener: {address: \"127.0.0.1:7443\", certificate: /c, key: /k, clientCa: /a, \
             allowedSpiffeIds: []}\n",
        );
        assert_eq!(all.len(), 1);
        assert!(all[0].contains("listener.allowedSpiffeIds is empty"), "{all:?}");
    }

    #[test]
    fn a_caller_that_is_no_spiffe_id_is_named() {
        let all = problems(
            "listener: {address: \"127.0.0.1:7443\", certificate: /c, key: /k, clientCa: /a, \
             allowedSpiffeIds: [\"spiffe://a/b\", \"https://a/b\"]}\n",
        );
        assert_eq!(all.len(), 1);
        assert!(all[0].contains("listener.allowedSpiffeIds[1]"), "{all:?}");
    }
}
