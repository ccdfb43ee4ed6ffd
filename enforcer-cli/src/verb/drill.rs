//! `drill`: whether the wall holds, tried out.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::open;
use crate::cli::Global;
use crate::clock;
use crate::console::{Console, Format};
use crate::drill::{self, LIVE, Plan, Report, Row, SCRATCH, State, Tag, Weak, canary};
use crate::duration;
use crate::failure::Failure;
use crate::instant::rfc3339;

/// Try out whether the wall holds: hooks, containment, and everything that goes wrong on a node.
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = true,
    long_about = "Proves every hook and every verb of containment of the running agent on canaries. Then starts an \
                  agent of its own beside it, with its own control groups, pins, state and network, and kills it, \
                  fills its disk, withdraws its certificates and so on, while two tenants of its own attack each \
                  other without pause. Ends with 0 only when no attack crossed and nothing failed; what is absent \
                  here is listed. Needs root.",
    after_help = "Examples:\n  enforcerctl drill\n  enforcerctl drill --only live\n  \
                  enforcerctl drill --only agent-killed --only disk-full --seconds 10s -o json"
)]
pub(crate) struct Drill {
    #[command(subcommand)]
    part: Option<Part>,

    /// Only this; can be given several times.
    #[arg(long, value_name = "NAME", value_parser = known)]
    only: Vec<String>,

    /// Say what can be drilled, and do nothing.
    #[arg(long)]
    list: bool,

    /// How long the attacks go on in each state.
    #[arg(long, value_parser = duration::parse, default_value = "2s", value_name = "DURATION")]
    seconds: Duration,

    /// The agent's program [default: enforcer-agent beside this program]
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,

    /// Make the drill's control groups below this one [default: the cgroup2 mount]
    #[arg(long, value_name = "DIR")]
    cgroup_root: Option<PathBuf>,

    /// The half of the packet mark that the drill's tags take: not the one with the live wall's.
    #[arg(long, value_enum, default_value_t, value_name = "HALF")]
    tag: Tag,

    /// Also set the node's clock, a day ahead and back: only where nothing else runs.
    #[arg(long)]
    clock: bool,

    /// Build a wall that does not hold, to see that the drill notices.
    #[arg(long, value_enum, hide = true)]
    weak: Option<Weak>,
}

/// Parts of a drill that are programs of their own.
#[derive(Debug, Subcommand)]
enum Part {
    Canary(canary::Canary),
}

fn known(name: &str) -> Result<String, String> {
    if drill::known(name) { Ok(name.to_owned()) } else { Err("see enforcerctl drill --list".to_owned()) }
}

impl Drill {
    /// Drills, tells each row as it comes on a terminal, and prints the report.
    pub(crate) async fn run(&self, global: &Global, console: &mut Console<'_>) -> Result<(), Failure> {
        if let Some(Part::Canary(canary)) = &self.part {
            return canary.run(global, console).await;
        }
        if self.list {
            return list(console);
        }
        let mut stop = signal(SignalKind::terminate())?;
        let report = tokio::select! {
            report = self.drill(global, console) => report?,
            _ = tokio::signal::ctrl_c() => return Err(Failure::Interrupted),
            _ = stop.recv() => return Err(Failure::Interrupted),
        };
        console.show(&report)?;
        match (report.failed(), report.crossed()) {
            (0, 0) => Ok(()),
            (failed, crossed) => Err(Failure::Drill { failed, crossed }),
        }
    }

    async fn drill(&self, global: &Global, console: &mut Console<'_>) -> Result<Report, Failure> {
        let started = rfc3339(&clock::now());
        let (mut node, mut rows) = (None, Vec::new());
        if self.chosen(LIVE) {
            (node, rows) = live(global).await;
            rows.iter().for_each(|row| progress(console, row));
        }
        if SCRATCH.iter().any(|(name, _)| self.chosen(name)) {
            let tell = |row: Row| {
                progress(console, &row);
                rows.push(row);
            };
            drill::run_scratch(self.plan()?, |name| self.chosen(name), tell).await;
        }
        let [name, kernel] = ["hostname", "osrelease"].map(of_kernel);
        Ok(Report { node: node.unwrap_or(name), kernel, started, rows })
    }

    fn chosen(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }

    fn plan(&self) -> Result<Plan, Failure> {
        if !nix::unistd::geteuid().is_root() {
            return Err(Failure::Usage("a wall of one's own needs root; --only live does not".to_owned()));
        }
        let beside = || std::env::current_exe().map(|own| own.with_file_name("enforcer-agent"));
        let agent = self.agent.clone().map_or_else(beside, Ok)?;
        if !agent.is_file() {
            return Err(Failure::Usage(format!(
                "there is no {}: name the agent with --agent",
                agent.display()
            )));
        }
        let (cgroup_root, span) = (self.cgroup_root.clone(), self.seconds);
        Ok(Plan { agent, cgroup_root, span, tag: self.tag, clock: self.clock, weak: self.weak })
    }
}

/// An agent that does not answer guards nothing: that is a row, and the drill goes on.
async fn live(global: &Global) -> (Option<String>, Vec<Row>) {
    let start = std::time::Instant::now();
    let asked = async { drill::prove_live(&open(global).await?).await };
    match asked.await {
        Ok(rows) => rows,
        Err(failure) => (None, vec![Row::new(LIVE, State::Failed, failure.to_string(), start.elapsed())]),
    }
}

/// What the kernel says of itself.
fn of_kernel(what: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/sys/kernel/{what}")).unwrap_or_default();
    text.trim().to_owned()
}

/// For a person who waits; the report has it all once more.
fn progress(console: &mut Console<'_>, row: &Row) {
    if std::io::stderr().is_terminal() {
        console.note(&row.line());
    }
}

fn list(console: &mut Console<'_>) -> Result<(), Failure> {
    let live = (LIVE, "the running agent: every hook and every verb of containment, on canaries");
    let all: Vec<(&str, &str)> = std::iter::once(live).chain(SCRATCH).collect();
    match console.format() {
        Format::Table => {
            all.iter().try_for_each(|(name, what)| console.print(&format!("{name:20}  {what}\n")))
        }
        Format::Json | Format::Yaml => console.show(&Names(all.iter().map(|(name, _)| *name).collect())),
    }
}

/// Names alone, for programs.
#[derive(serde::Serialize)]
struct Names(Vec<&'static str>);

impl crate::console::Show for Names {
    fn text(&self, _: crate::style::Style) -> String {
        self.0.join("\n")
    }
}
