//! `revoke`: a device, or all of a tenant's, taken away step by step.

use std::fmt;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use enforcer_proto::v1;
use enforcer_proto::v1::revoke_request::Of;
use tokio::time::timeout;

use super::open;
use crate::cli::Global;
use crate::console::Console;
use crate::duration;
use crate::failure::Failure;
use crate::session::Session;
use crate::stdin::Stdin;
use crate::view::revoke::StepView;

/// How long the agent may take beyond the deadline to say how it ended.
const GRACE: Duration = Duration::from_secs(15);

/// Take a device, or every accelerator of a tenant, away: as far as the step that --to names.
#[derive(Args, Debug)]
#[command(
    long_about = "Takes a device away from everybody, or every accelerator of this node from a tenant, step by step:\n  \
                  gate     nobody opens it any more\n  \
                  handles  what is held is refused as well (where the kernel has BPF LSM)\n  \
                  freeze   whoever has it stands still\n  \
                  kill     whoever has it is ended, and it is proven that nobody has it\n  \
                  reset    the configured command has reset it\n\
                  Each step is printed when it is done, and is on record. The last line says what is true now. Whatever \
                  fails, a gate that was closed stays closed: the device is in quarantine. It goes on when this program \
                  is interrupted. From freeze on it asks first on a terminal; elsewhere it needs --yes.",
    after_help = "Examples:\n  enforcerctl revoke device nvidia:0 --to gate --reason 'looks stolen'\n  \
                  enforcerctl revoke tenant team-a --to kill --deadline 10s --reason 'contract ended' --yes"
)]
pub(crate) struct Revoke {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// From everybody who has it.
    #[command(after_help = "Examples:\n  enforcerctl revoke device nvidia:0 --to kill --deadline 30s --yes")]
    Device {
        /// CLASS:NUMBER, /dev/NAME or "c MAJOR:MINOR".
        device: String,
        #[command(flatten)]
        how: How,
    },
    /// Every accelerator of this node that a tenant was granted.
    #[command(after_help = "Examples:\n  enforcerctl revoke tenant team-a --to freeze --yes")]
    Tenant {
        /// Its name.
        tenant_name: String,
        #[command(flatten)]
        how: How,
    },
}

#[derive(Args, Debug)]
struct How {
    /// The last step.
    #[arg(long, value_enum, value_name = "STEP")]
    to: Step,

    /// How long all steps together may take.
    #[arg(long, value_parser = duration::parse, default_value = "30s", value_name = "DURATION")]
    deadline: Duration,

    /// Why, for the record.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,

    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Step {
    Gate,
    Handles,
    Freeze,
    Kill,
    Reset,
}

impl Step {
    const fn word(self) -> &'static str {
        match self {
            Self::Gate => "gate",
            Self::Handles => "handles",
            Self::Freeze => "freeze",
            Self::Kill => "kill",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device { device, .. } => write!(f, "device {device}"),
            Self::Tenant { tenant_name, .. } => write!(f, "tenant {tenant_name}"),
        }
    }
}

impl Verb {
    const fn how(&self) -> &How {
        match self {
            Self::Device { how, .. } | Self::Tenant { how, .. } => how,
        }
    }

    fn of(&self) -> Of {
        match self {
            Self::Device { device, .. } => Of::Device(device.clone()),
            Self::Tenant { tenant_name, .. } => Of::Tenant(tenant_name.clone()),
        }
    }
}

impl Revoke {
    /// Asks a person, then the agent, and prints the steps as they come.
    pub(crate) async fn run(
        &self,
        global: &Global,
        stdin: &mut Stdin<'_>,
        console: &mut Console<'_>,
    ) -> Result<(), Failure> {
        self.confirm(stdin, console)?;
        let session = open(global).await?;
        let how = self.verb.how();
        let late = || Failure::Timeout {
            what: format!(
                "the agent at {} has not said how it ended; its gate may be closed",
                session.target()
            ),
            after: how.deadline + GRACE,
        };
        timeout(how.deadline + GRACE, self.follow(&session, console)).await.map_err(|_| late())?
    }

    async fn follow(&self, session: &Session, console: &mut Console<'_>) -> Result<(), Failure> {
        let how = self.verb.how();
        let deadline_ms = u32::try_from(how.deadline.as_millis())
            .map_err(|_| Failure::Usage("--deadline: at most ten minutes".to_owned()))?;
        let request = v1::RevokeRequest {
            of: Some(self.verb.of()),
            to: how.to.word().to_owned(),
            deadline_ms: Some(deadline_ms),
            reason: how.reason.clone(),
        };
        let mut steps = session.answer(session.device().revoke(request)).await?;
        while let Some(step) = steps.message().await.map_err(|status| session.failed(&status))? {
            console.show_next(&StepView::from(step.clone()))?;
            if step.step != "done" {
                continue;
            }
            if step.outcome == "ok" {
                return Ok(());
            }
            let v1::RevokeStep { detail, strength, .. } = step;
            let (subject, to) = (self.verb.to_string(), how.to.word());
            return Err(Failure::Incomplete { subject, to, detail, strength });
        }
        Err(Failure::StreamEnded { target: session.target().to_owned() })
    }

    fn confirm(&self, stdin: &mut Stdin<'_>, console: &mut Console<'_>) -> Result<(), Failure> {
        let how = self.verb.how();
        if how.yes || how.to < Step::Freeze {
            return Ok(());
        }
        if !stdin.is_terminal() {
            return Err(Failure::Unconfirmed("there is no terminal to ask on, and --yes was not given"));
        }
        let what = if how.to == Step::Freeze { "stands still" } else { "is killed" };
        console.ask(&format!("Whoever has {} {what}. Go on? [y/N] ", self.verb));
        match stdin.says_yes()? {
            true => Ok(()),
            false => Err(Failure::Unconfirmed("the answer was not yes")),
        }
    }
}
