//! One run: the verb is done, and its end becomes an exit code.

use crate::cli::{Cli, Command};
use crate::console::Console;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdin::Stdin;

/// Does what the command line asks.
pub(crate) async fn run(cli: &Cli, stdin: &mut Stdin<'_>, console: &mut Console<'_>) -> Exit {
    match perform(cli, stdin, console).await {
        Ok(()) => Exit::Ok,
        Err(failure) => {
            console.report(&failure);
            failure.exit()
        }
    }
}

async fn perform(cli: &Cli, stdin: &mut Stdin<'_>, console: &mut Console<'_>) -> Result<(), Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Apply(verb) => verb.run(global, stdin.reader(), console).await,
        Command::Validate(verb) => verb.run(global, stdin.reader(), console).await,
        Command::Diff(verb) => verb.run(global, stdin.reader(), console).await,
        Command::Get(verb) => verb.run(global, console).await,
        Command::Handover(verb) => verb.run(global, console).await,
        Command::Receipt(verb) => verb.run(console),
        Command::Revoke(verb) => verb.run(global, stdin, console).await,
        Command::Rollback(verb) => verb.run(global, console).await,
        Command::Explain(verb) => verb.run(global, console).await,
        Command::Status(verb) => verb.run(global, console).await,
        Command::Counters(verb) => verb.run(global, console).await,
        Command::Observe(verb) => verb.run(global, console).await,
        Command::Wait(verb) => verb.run(global, console).await,
        Command::Identity(verb) => verb.run(global, stdin, console).await,
        Command::Svid(verb) => verb.run(global, stdin, console).await,
        Command::Tunnel(verb) => verb.run(global, console).await,
        Command::Detect(verb) => verb.run(global, stdin, console).await,
        Command::Trace(verb) => verb.run(global, stdin, console).await,
        Command::Drill(verb) => verb.run(global, console).await,
        Command::Completion(verb) => verb.run(console),
        Command::Version(verb) => verb.run(console),
    }
}
