//! Which records are meant: the words that every verb about records takes.

use clap::{Args, ValueEnum};
use enforcer_core::event::filter::Filter;
use enforcer_proto::v1;

use crate::failure::Failure;

/// Which records.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Which records")]
pub(crate) struct Which {
    /// Only with this tenant on either end.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,

    /// Only with this verdict.
    #[arg(long, value_enum)]
    verdict: Option<Verdict>,

    /// Only with this drop reason, by its word.
    #[arg(long, value_name = "WORD", value_parser = known_reason)]
    reason: Option<String>,

    /// Only of this type.
    #[arg(long = "type", value_enum)]
    kind: Option<Kind>,

    /// Only with this workload on either end.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,

    /// Only with this IP address, or one within this prefix, on either end (`--address` is where the agent is).
    #[arg(long, value_name = "PREFIX")]
    ip: Option<String>,

    /// Only with this port on either end.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,

    /// Only of the process with this id.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,

    /// Only of this executable: the whole path, or its last component.
    #[arg(long, value_name = "PATH")]
    executable: Option<String>,

    /// Only of this device class.
    #[arg(long, value_name = "CLASS")]
    device: Option<String>,

    /// Only by this rule.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,

    /// Only with the certificate of this serial number (hexadecimal) on either end.
    #[arg(long, value_name = "HEX")]
    serial: Option<String>,
}

impl Which {
    /// As the agent is asked for them.
    pub(crate) fn request(&self) -> v1::ObserveRequest {
        v1::ObserveRequest {
            tenant: self.tenant.clone(),
            verdict: self.verdict.map(Verdict::word),
            reason: self.reason.clone(),
            r#type: self.kind.map(Kind::word),
            workload: self.workload.clone(),
            address: self.ip.clone(),
            port: self.port.map(u32::from),
            pid: self.pid,
            executable: self.executable.clone(),
            device: self.device.clone(),
            rule: self.rule.clone(),
            serial: self.serial.clone(),
            ..v1::ObserveRequest::default()
        }
    }
}

/// Refuses what means nothing, by the same code as the agent's, before anybody is asked.
pub(crate) fn check(request: &v1::ObserveRequest) -> Result<(), Failure> {
    let Err(errors) = Filter::parse(request) else { return Ok(()) };
    let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
    Err(Failure::Usage(words.join("; ")))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
    Audit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Flow,
    Tunnel,
    Device,
    Service,
    Guard,
    Process,
    Identity,
    Policy,
    Totals,
    Alert,
    Response,
    Key,
    Log,
    Loss,
}

/// A misspelt reason would match nothing, and look like "nothing was refused".
fn known_reason(word: &str) -> Result<String, String> {
    let all = enforcer_common::reason::ALL;
    if all.iter().any(|(_, known, _)| *known == word) {
        return Ok(word.to_owned());
    }
    let words: Vec<&str> = all.iter().map(|(_, known, _)| *known).collect();
    Err(format!("no such reason; they are: {}", words.join(", ")))
}

impl Verdict {
    fn word(self) -> String {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
        }
        .to_owned()
    }
}

impl Kind {
    fn word(self) -> String {
        match self {
            Self::Flow => "flow",
            Self::Tunnel => "tunnel",
            Self::Device => "device",
            Self::Service => "service",
            Self::Guard => "guard",
            Self::Process => "process",
            Self::Identity => "identity",
            Self::Policy => "policy",
            Self::Totals => "totals",
            Self::Alert => "alert",
            Self::Response => "response",
            Self::Key => "key",
            Self::Log => "log",
            Self::Loss => "loss",
        }
        .to_owned()
    }
}
