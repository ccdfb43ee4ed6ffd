//! `observe`: what was refused and allowed.

use clap::{Args, ValueEnum};
use enforcer_core::event::filter::Filter;
use enforcer_proto::v1;

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::view::record::RecordView;

/// Print what was refused and allowed, as it was recorded.
#[derive(Args, Debug)]
#[command(
    long_about = "Prints records, a line each; -o json prints one JSON object a line. Where records were lost, the \
                  next one says how many. With -f it goes on until it is interrupted.",
    after_help = "Examples:\n  enforcerctl observe -f --verdict deny\n  \
                  enforcerctl observe --last 100 --tenant team-a --type device -o json\n  \
                  enforcerctl observe -f --type tunnel --tenant team-a\n  \
                  enforcerctl observe --executable curl --address 10.1.0.0/16 --port 5432\n  \
                  enforcerctl observe -f --after 41 -o json\n  \
                  enforcerctl observe --reason cross_tenant_no_rule"
)]
pub(crate) struct Observe {
    /// Go on with new records.
    #[arg(short, long)]
    follow: bool,

    /// Start with the last N records; without it, with all that are still held.
    #[arg(long, value_name = "N")]
    last: Option<u32>,

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

    /// Go on behind this sequence number, as far as records are still held.
    #[arg(long, value_name = "N", conflicts_with = "last")]
    after: Option<u64>,

    /// Only with this workload on either end.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,

    /// Only with an address within this prefix on either end.
    #[arg(long, value_name = "PREFIX")]
    address: Option<String>,

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

impl Observe {
    /// Asks, and prints each record as it comes.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        // Said by the same code as the agent's, before anybody is asked.
        if let Err(errors) = Filter::parse(&self.request()) {
            let words: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Err(Failure::Usage(words.join("; ")));
        }
        let session = open(global).await?;
        let mut records = session.answer(session.node().observe(self.request())).await?;
        loop {
            match records.message().await {
                Ok(Some(record)) => console.show_next(&RecordView::from(record))?,
                Ok(None) if self.follow => {
                    return Err(Failure::StreamEnded { target: session.target().to_owned() });
                }
                Ok(None) => return Ok(()),
                Err(status) => return Err(session.failed(&status)),
            }
        }
    }

    fn request(&self) -> v1::ObserveRequest {
        v1::ObserveRequest {
            follow: self.follow,
            last: self.last,
            tenant: self.tenant.clone(),
            verdict: self.verdict.map(Verdict::word),
            reason: self.reason.clone(),
            r#type: self.kind.map(Kind::word),
            after: self.after,
            workload: self.workload.clone(),
            address: self.address.clone(),
            port: self.port.map(u32::from),
            pid: self.pid,
            executable: self.executable.clone(),
            device: self.device.clone(),
            rule: self.rule.clone(),
            serial: self.serial.clone(),
        }
    }
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
