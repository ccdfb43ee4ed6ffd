//! The command line of the node agent: what was asked for, how it ended.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use enforcer_agent::config::flags::{Cli, Command, KeyCommand, RunFlags, Shell, UninstallFlags};
use enforcer_agent::nvidia::{probe, read, scrub};
use enforcer_agent::{compose, config, kernel};

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(flags) => run(&flags),
        Command::Init(flags) => init(&flags),
        Command::Key(KeyCommand::Rotate(flags)) => key_rotate(&flags),
        Command::Key(KeyCommand::Prune(flags)) => key_prune(&flags),
        Command::CheckConfig(flags) => check_config(&flags),
        Command::Uninstall(flags) => uninstall(&flags),
        Command::ScrubNvidia(flags) => return scrub_nvidia(&flags),
        Command::ReadNvidia(flags) => read_nvidia(&flags),
        Command::CudaProbe(flags) => probe::probe(&flags.cuda_library)
            .map_err(|error| vec![error.to_string()])
            .and_then(|()| say("CUDA works here")),
        Command::Completion { shell } => completion(shell),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in error {
                eprintln!("enforcer-agent: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What to print before giving up, a line each.
type Lines = Vec<String>;

fn run(flags: &RunFlags) -> Result<(), Lines> {
    let settings = config::load(flags).map_err(lines)?;
    let logs = compose::start_logging(&settings.log);
    compose::run(&settings, logs).map_err(|error| vec![format!("{error:#}")])
}

fn init(flags: &RunFlags) -> Result<(), Lines> {
    let settings = config::load(flags).map_err(lines)?;
    say(compose::keys::init(&settings).map_err(one)?)
}

fn key_rotate(flags: &RunFlags) -> Result<(), Lines> {
    let settings = config::load(flags).map_err(lines)?;
    say(compose::keys::rotate(&settings).map_err(one)?)
}

fn key_prune(flags: &RunFlags) -> Result<(), Lines> {
    let settings = config::load(flags).map_err(lines)?;
    compose::keys::prune(&settings).map_err(one)?.into_iter().try_for_each(say)
}

fn check_config(flags: &RunFlags) -> Result<(), Lines> {
    let settings = config::load(flags).map_err(lines)?;
    say(format_args!("configuration of node {} is complete", settings.node_name))
}

fn uninstall(flags: &UninstallFlags) -> Result<(), Lines> {
    let removed = kernel::uninstall(&flags.pin_dir).map_err(|error| vec![error.to_string()])?;
    if removed.is_empty() {
        return say(format_args!("nothing of Enforcer is pinned below {}", flags.pin_dir.display()));
    }
    removed.iter().try_for_each(|line| say(format_args!("removed {line}")))
}

/// The exit status of `scrub-nvidia` where nothing is known.
const NOT_DONE: u8 = 3;

fn scrub_nvidia(flags: &scrub::ScrubFlags) -> ExitCode {
    let done = scrub::scrub(flags).map_err(|error| error.to_string());
    let told = done.and_then(|report| {
        let line = serde_json::to_string(&report).map_err(|error| error.to_string())?;
        writeln!(io::stdout(), "{line}").map_err(|error| error.to_string())?;
        Ok(report.verdict(flags.min_covered).code())
    });
    ExitCode::from(told.unwrap_or_else(|error| {
        eprintln!("enforcer-agent: {error}");
        NOT_DONE
    }))
}

fn read_nvidia(flags: &read::ReadFlags) -> Result<(), Lines> {
    let facts = read::read_from(flags).map_err(|error| vec![error.to_string()])?;
    say(serde_json::to_string(&facts).map_err(|error| vec![error.to_string()])?)
}

fn completion(shell: Shell) -> Result<(), Lines> {
    let mut script = Vec::new();
    clap_complete::generate(
        clap_complete::Shell::from(shell),
        &mut Cli::command(),
        "enforcer-agent",
        &mut script,
    );
    io::stdout().write_all(&script).map_err(|error| vec![error.to_string()])
}

fn say(line: impl Display) -> Result<(), Lines> {
    writeln!(io::stdout(), "{line}").map_err(|error| vec![error.to_string()])
}

fn one(error: anyhow::Error) -> Lines {
    vec![format!("{error:#}")]
}

fn lines(problems: Vec<config::ConfigProblem>) -> Lines {
    problems.iter().map(ToString::to_string).collect()
}
