//! The client against an agent that only repeats what it was told to say. What an agent really says is
//! tested where there is one.

mod changes;
mod detecting;
mod enrolling;
mod explaining;
mod fake;
mod getting;
mod handing;
mod holding;
mod identifying;
mod keeping;
pub(crate) mod material;
mod reaching;
mod round_trip;
pub(crate) mod sleeper;
mod streaming;
mod tracing;
mod trusting;
mod tunnelling;
mod wall;
mod workload;

use std::io::Write;

use clap::Parser as _;

use crate::cli::Cli;
use crate::console::Console;
use crate::exit::Exit;
use crate::run;
use crate::stdin::Stdin;
use crate::style::Style;

/// How a run ended, and what it printed.
struct Ran {
    exit: Exit,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in {:?}", self.out))
    }
}

/// Runs `enforcerctl` with these arguments, and a pipe for standard input.
async fn enforcerctl(args: &[&str], stdin: &str) -> Ran {
    run_on(args, &mut Stdin::new(&mut stdin.as_bytes(), false)).await
}

/// The same where a person sits, who types `answer`.
async fn on_terminal(args: &[&str], answer: &str) -> Ran {
    run_on(args, &mut Stdin::new(&mut answer.as_bytes(), true)).await
}

async fn run_on(args: &[&str], stdin: &mut Stdin<'_>) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run_into(args, stdin, &mut out, &mut err).await;
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

async fn run_into(args: &[&str], stdin: &mut Stdin<'_>, out: &mut dyn Write, err: &mut dyn Write) -> Exit {
    let cli = Cli::try_parse_from([&["enforcerctl"], args].concat()).unwrap();
    let mut console = Console::new(out, err, cli.global.output, Style::Plain, Style::Plain);
    run::run(&cli, stdin, &mut console).await
}
