//! Colour, and only where a person looks at it.

use clap::ValueEnum;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into pipes and files.
    Always,
    /// Not at all.
    Never,
}

/// Whether escape sequences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// None.
    Plain,
    /// ANSI colours.
    Ansi,
}

/// What a colour means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Nothing in particular.
    #[default]
    None,
    /// As it should be.
    Good,
    /// A person should look.
    Warn,
    /// Refused, or broken.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Strong,
}

impl Style {
    /// The style of a stream. `no_color` is the value of the variable (<https://no-color.org>): any value
    /// but the empty one counts.
    pub(crate) fn of(choice: ColorChoice, is_terminal: bool, no_color: Option<&std::ffi::OsStr>) -> Self {
        let asked_not = no_color.is_some_and(|value| !value.is_empty());
        match choice {
            ColorChoice::Always => Self::Ansi,
            ColorChoice::Auto if is_terminal && !asked_not => Self::Ansi,
            ColorChoice::Auto | ColorChoice::Never => Self::Plain,
        }
    }

    /// `text` in a colour.
    pub(crate) fn paint(self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::None => return text.to_owned(),
            Paint::Good => "32",
            Paint::Warn => "33",
            Paint::Bad => "31",
            Paint::Dim => "2",
            Paint::Strong => "1",
        };
        match self {
            Self::Plain => text.to_owned(),
            Self::Ansi => format!("\x1b[{code}m{text}\x1b[0m"),
        }
    }
}

/// The colour of a verdict's word.
pub(crate) fn of_verdict(verdict: &str) -> Paint {
    match verdict {
        "allow" => Paint::Good,
        "deny" => Paint::Bad,
        "audit" => Paint::Warn,
        _ => Paint::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    #[test]
    fn colour_is_for_terminals_that_did_not_say_no() {
        assert_eq!(Style::of(ColorChoice::Auto, true, None), Style::Ansi);
        assert_eq!(Style::of(ColorChoice::Auto, true, Some(OsStr::new(""))), Style::Ansi);
        assert_eq!(Style::of(ColorChoice::Auto, true, Some(OsStr::new("1"))), Style::Plain);
        assert_eq!(Style::of(ColorChoice::Auto, false, None), Style::Plain);
        assert_eq!(Style::of(ColorChoice::Always, false, Some(OsStr::new("1"))), Style::Ansi);
        assert_eq!(Style::of(ColorChoice::Never, true, None), Style::Plain);
    }

    #[test]
    fn plain_text_holds_no_escape() {
        assert_eq!(Style::Plain.paint(Paint::Bad, "no"), "no");
        assert_eq!(Style::Ansi.paint(Paint::Bad, "no"), "\x1b[31mno\x1b[0m");
    }
}
