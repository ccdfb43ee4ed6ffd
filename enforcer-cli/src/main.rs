//! `enforcerctl`: policy, status, explanations and records of a node, from a shell.

mod backoff;
mod cause;
mod certificate;
mod cli;
mod clock;
mod console;
mod document;
mod door;
mod drill;
mod duration;
mod enroll;
mod exit;
mod failure;
mod fields;
mod files;
mod hex;
mod instant;
mod notice;
mod pem;
mod pidfd;
mod problem;
mod run;
mod session;
mod stdin;
mod style;
mod svid;
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
use crate::stdin::Stdin;
use crate::style::Style;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let no_color = std::env::var_os("NO_COLOR");
    let (mut out, mut err) = (io::stdout(), io::stderr());
    let out_style = Style::of(cli.global.color, out.is_terminal(), no_color.as_deref());
    let err_style = Style::of(cli.global.color, err.is_terminal(), no_color.as_deref());
    let mut console = Console::new(&mut out, &mut err, cli.global.output, out_style, err_style);
    let exit = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let mut read = io::stdin();
            let is_terminal = read.is_terminal();
            let mut stdin = Stdin::new(&mut read, is_terminal);
            runtime.block_on(run::run(&cli, &mut stdin, &mut console))
        }
        Err(error) => {
            console.note(&format!("error: cannot start: {error}"));
            Exit::Refused
        }
    };
    ExitCode::from(exit.code())
}
