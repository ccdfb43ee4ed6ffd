//! `explain`: the verdict on a flow or a device, and the way to it.

use clap::{Args, Subcommand, ValueEnum};
use enforcer_proto::v1;
use enforcer_proto::v1::explain_request::What;

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::failure::Failure;
use crate::view::explanation::ExplanationView;

/// Tell the verdict on a flow or a device, and the way to it.
#[derive(Args, Debug)]
#[command(
    long_about = "Tells the verdict, the rule, the reason and the policy revision, from the very code that the \
                  kernel runs. The exit code is 0 whatever the verdict, unless --expect names another one or the \
                  live program disagrees.",
    after_help = "Examples:\n  enforcerctl explain flow team-a/web 10.0.1.7 --protocol tcp --port 5432 --prove\n  \
                  enforcerctl explain flow web db --protocol icmp --icmp-type 8\n  \
                  enforcerctl explain device web /dev/nvidia0 --expect deny"
)]
pub(crate) struct Explain {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// May one end open a flow to the other?
    #[command(after_help = "Example:\n  enforcerctl explain flow web db --protocol tcp --port 5432 --prove")]
    Flow(Flow),
    /// May a workload open a device?
    #[command(after_help = "Example:\n  enforcerctl explain device web /dev/nvidia0 --expect allow")]
    Device(Device),
}

#[derive(Args, Debug)]
struct Flow {
    /// Who opens the flow: a workload, a tenant or an address.
    from: String,

    /// To whom: a workload, a tenant or an address.
    to: String,

    /// Protocol of the flow.
    #[arg(long, value_enum, default_value = "tcp")]
    protocol: Protocol,

    /// Destination port, for tcp, udp and sctp.
    #[arg(long, value_parser = clap::value_parser!(u16), value_name = "N")]
    port: Option<u16>,

    /// Type of the message, for icmp and icmpv6.
    #[arg(long, value_name = "N", conflicts_with = "port")]
    icmp_type: Option<u8>,

    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Device {
    /// Who opens the device: a workload, a tenant or a cgroup path.
    subject: String,

    /// Which: /dev/nvidia0, "c 195:0" or nvidia:0.
    device: String,

    #[command(flatten)]
    common: Common,
}

#[derive(Args, Debug)]
struct Common {
    /// Also run the live kernel program on it, and say whether it agrees.
    #[arg(long)]
    prove: bool,

    /// End with exit code 1 when the verdict is another one.
    #[arg(long, value_enum, value_name = "VERDICT")]
    expect: Option<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Tcp,
    Udp,
    Sctp,
    Icmp,
    Icmpv6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Verdict {
    Allow,
    Deny,
    Audit,
}

impl Explain {
    /// Asks, prints, and compares with what was expected.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        let (what, common) = match &self.subject {
            Subject::Flow(flow) => (What::Flow(flow.question()?), &flow.common),
            Subject::Device(device) => (What::Device(device.question()), &device.common),
        };
        let session = open(global).await?;
        let request = v1::ExplainRequest { what: Some(what), prove: common.prove };
        let view = ExplanationView::from(session.answer(session.policy().explain(request)).await?);
        console.show(&view)?;
        if let Some(why) = view.disagreement() {
            return Err(Failure::Disagrees(why.to_owned()));
        }
        match common.expect {
            Some(expected) if expected.word() != view.verdict() => Err(Failure::Unexpected {
                expected: expected.word().to_owned(),
                verdict: view.verdict().to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

impl Flow {
    fn question(&self) -> Result<v1::ExplainFlow, Failure> {
        let is_icmp = matches!(self.protocol, Protocol::Icmp | Protocol::Icmpv6);
        if is_icmp && self.port.is_some() {
            return Err(Failure::Usage("ICMP has no ports: use --icmp-type".to_owned()));
        }
        if !is_icmp && self.icmp_type.is_some() {
            return Err(Failure::Usage("--icmp-type needs --protocol icmp or icmpv6".to_owned()));
        }
        if !is_icmp && self.port.is_none() {
            return Err(Failure::Usage("name the destination port with --port".to_owned()));
        }
        Ok(v1::ExplainFlow {
            source: self.from.clone(),
            destination: self.to.clone(),
            protocol: self.protocol.wire().into(),
            port: self.port.map(u32::from),
            icmp_type: self.icmp_type.map(u32::from),
        })
    }
}

impl Device {
    fn question(&self) -> v1::ExplainDevice {
        v1::ExplainDevice { subject: self.subject.clone(), device: self.device.clone() }
    }
}

impl Protocol {
    const fn wire(self) -> v1::Protocol {
        match self {
            Self::Tcp => v1::Protocol::Tcp,
            Self::Udp => v1::Protocol::Udp,
            Self::Sctp => v1::Protocol::Sctp,
            Self::Icmp => v1::Protocol::Icmp,
            Self::Icmpv6 => v1::Protocol::Icmpv6,
        }
    }
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Audit => "audit",
        }
    }
}
