//! `enforcerctl`: policy, status, explanations and records of a node, from a shell.

mod cause;
mod cli;
mod clock;
mod console;
mod document;
mod duration;
mod exit;
mod failure;
mod files;
mod hex;
mod instant;
mod problem;
mod run;
mod session;
mod style;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod verb;
mod view;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::console::Console;
use crate::exit::Exit;
use crate::style::Style;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let no_color = std::env::var_os("NO_COLOR");
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let out_style = Style::of(cli.global.color, out.is_terminal(), no_color.as_deref());
    let err_style = Style::of(cli.global.color, err.is_terminal(), no_color.as_deref());
    let mut console = Console::new(&mut out, &mut err, cli.global.output, out_style, err_style);
    let exit = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run::run(&cli, &mut io::stdin(), &mut console)),
        Err(error) => {
            console.note(&format!("error: cannot start: {error}"));
            Exit::Refused
        }
    };
    ExitCode::from(exit.code())
}
