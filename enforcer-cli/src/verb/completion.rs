//! `completion`: scripts for shells.

use clap::{Args, CommandFactory as _, ValueEnum};

use crate::cli::Cli;
use crate::console::Console;
use crate::failure::Failure;

/// Print a completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  source <(enforcerctl completion bash)\n  \
                        enforcerctl completion zsh > ~/.zfunc/_enforcerctl\n  \
                        enforcerctl completion fish | source")]
pub(crate) struct Completion {
    /// Which shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    /// Prints the script.
    pub(crate) fn run(&self, console: &mut Console<'_>) -> Result<(), Failure> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "enforcerctl", &mut script);
        console.print(&String::from_utf8_lossy(&script))
    }
}
