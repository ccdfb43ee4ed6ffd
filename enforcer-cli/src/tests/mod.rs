//! The client against an agent that only repeats what it was told to say. What an agent really says is
//! tested where there is one.

mod changes;
mod explaining;
mod fake;
mod getting;
mod reaching;
mod round_trip;
mod streaming;
mod trusting;

use clap::Parser as _;

use crate::cli::Cli;
use crate::console::Console;
use crate::exit::Exit;
use crate::run;
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

/// Runs `enforcerctl` with these arguments.
async fn enforcerctl(args: &[&str], stdin: &str) -> Ran {
    let cli = Cli::try_parse_from([&["enforcerctl"], args].concat()).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut console = Console::new(&mut out, &mut err, cli.global.output, Style::Plain, Style::Plain);
    let exit = run::run(&cli, &mut stdin.as_bytes(), &mut console).await;
    Ran { exit, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}
