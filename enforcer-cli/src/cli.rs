//! The command line: what can be asked, and how it is explained.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::console::Format;
use crate::style::ColorChoice;
use crate::verb;
use crate::{duration, exit};

/// Speaks to the Enforcer agent of a node.
#[derive(Debug, Parser)]
#[command(
    name = "enforcerctl",
    version,
    about = "Policy, status, explanations and records of a node that Enforcer guards.",
    long_about = "Policy, status, explanations and records of a node that Enforcer guards.\n\n\
                  Data goes to standard output, progress and errors go to standard error. Times are UTC.",
    after_help = exit::HELP,
    after_long_help = exit::HELP,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every verb.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection and output")]
pub(crate) struct Global {
    /// Unix socket of the agent on this machine.
    #[arg(
        long,
        global = true,
        env = "ENFORCER_SOCKET",
        value_name = "PATH",
        default_value = "/run/enforcer/agent.sock"
    )]
    pub(crate) socket: PathBuf,

    /// Address of an agent elsewhere; needs --cert, --key and --ca.
    #[arg(long, global = true, env = "ENFORCER_ADDRESS", value_name = "https://HOST:PORT")]
    pub(crate) address: Option<String>,

    /// Our certificate chain (PEM); its SPIFFE ID must be among those the agent allows.
    #[arg(long, global = true, env = "ENFORCER_CERT", value_name = "PATH")]
    pub(crate) cert: Option<PathBuf>,

    /// Private key of --cert (PEM).
    #[arg(long, global = true, env = "ENFORCER_KEY", value_name = "PATH")]
    pub(crate) key: Option<PathBuf>,

    /// Authorities (PEM) that vouch for the agent.
    #[arg(long, global = true, env = "ENFORCER_CA", value_name = "PATH")]
    pub(crate) ca: Option<PathBuf>,

    /// Name in the agent's certificate, when it is not the host of --address.
    #[arg(long, global = true, env = "ENFORCER_SERVER_NAME", value_name = "NAME")]
    pub(crate) server_name: Option<String>,

    /// Form of the data.
    #[arg(short, long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// When to colour. NO_COLOR in the environment is honoured.
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub(crate) color: ColorChoice,

    /// How long one answer may take.
    #[arg(long, global = true, value_parser = duration::parse, default_value = "60s", value_name = "DURATION")]
    pub(crate) request_timeout: Duration,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Apply(verb::apply::Apply),
    Validate(verb::validate::Validate),
    Diff(verb::diff::Diff),
    Get(verb::get::Get),
    Revoke(verb::revoke::Revoke),
    Handover(verb::handover::Handover),
    Receipt(verb::receipt::ReceiptVerbs),
    Rollback(verb::rollback::Rollback),
    Explain(verb::explain::Explain),
    Status(verb::status::Status),
    Counters(verb::counters::Counters),
    Observe(verb::observe::Observe),
    Wait(verb::wait::Wait),
    Identity(verb::identity::Identity),
    Svid(verb::svid::SvidVerbs),
    Tunnel(verb::tunnel::Tunnel),
    Detect(verb::detect::Detect),
    Trace(verb::trace::Trace),
    Drill(verb::drill::Drill),
    Completion(verb::completion::Completion),
    Version(verb::version::Version),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    fn shadows(command: &clap::Command, global: &[String]) {
        for verb in command.get_subcommands() {
            let own: Vec<String> = verb.get_arguments().map(|option| option.get_id().to_string()).collect();
            let taken: Vec<&String> = own.iter().filter(|id| global.contains(id)).collect();
            assert!(taken.is_empty(), "{} has options of every verb once more: {taken:?}", verb.get_name());
            shadows(verb, global);
        }
    }

    /// clap would take the one for the other, and stop.
    #[test]
    fn no_verb_has_an_option_of_every_verb_once_more() {
        let command = Cli::command();
        let global = command.get_arguments().filter(|option| option.is_global_set());
        let global: Vec<String> = global.map(|option| option.get_id().to_string()).collect();
        assert!(global.len() > 5);
        shadows(&command, &global);
    }

    fn teaches_with_an_example(command: &clap::Command) {
        for verb in command.get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("enforcerctl "), "{} has no example", verb.get_name());
            teaches_with_an_example(verb);
        }
    }

    #[test]
    fn every_verb_teaches_with_an_example() {
        teaches_with_an_example(&Cli::command());
    }

    #[test]
    fn the_help_tells_the_exit_codes() {
        assert!(Cli::command().render_help().to_string().contains(exit::HELP));
        assert!(Cli::command().render_long_help().to_string().contains(exit::HELP));
    }

    /// Verbs, verbs below them, and every option.
    fn collect(command: &clap::Command, words: &mut Vec<String>) {
        let options = command.get_arguments().filter_map(clap::Arg::get_long);
        words.extend(options.filter(|option| *option != "help").map(|option| format!("--{option}")));
        for verb in command.get_subcommands() {
            words.push(verb.get_name().to_owned());
            collect(verb, words);
        }
    }

    /// clap takes such a word apart by the type of either, and gives up when it runs.
    fn shares_no_word_with_every_verb(command: &clap::Command, global: &[String]) {
        for verb in command.get_subcommands() {
            for word in verb.get_arguments().map(|argument| argument.get_id().to_string()) {
                assert!(!global.contains(&word), "{} has a {word} of its own", verb.get_name());
            }
            shares_no_word_with_every_verb(verb, global);
        }
    }

    #[test]
    fn no_verb_has_an_option_of_every_verb_for_itself() {
        let command = Cli::command();
        let global =
            command.get_arguments().map(|argument| argument.get_id().to_string()).collect::<Vec<_>>();
        assert!(global.contains(&"output".to_owned()), "{global:?}");
        shares_no_word_with_every_verb(&command, &global);
    }

    #[test]
    fn every_verb_and_option_is_documented() {
        let page = include_str!("../../docs/cli.md");
        let mut all = Vec::new();
        collect(&Cli::command(), &mut all);
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let told: Vec<&str> = page.split(|c| !is_word(c)).collect();
        let missing: Vec<&String> = all.iter().filter(|word| !told.contains(&word.as_str())).collect();
        assert!(missing.is_empty(), "docs/cli.md does not mention {missing:?}");
        for verb in Cli::command().get_subcommands() {
            let heading = format!("\n### {}\n", verb.get_name());
            assert!(page.contains(&heading), "docs/cli.md has no section {heading:?}");
        }
    }
}
