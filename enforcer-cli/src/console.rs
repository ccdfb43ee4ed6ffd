//! Where words go: data to one stream, everything else to the other.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::failure::Failure;
use crate::problem;
use crate::style::{Paint, Style};
use crate::table::plain;

/// `-o`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs; field names are stable.
    Json,
    /// The same as YAML; policy objects as documents that `apply -f` takes back.
    Yaml,
}

/// Something that is data.
pub(crate) trait Show: Serialize {
    /// For people: whole lines.
    fn text(&self, style: Style) -> String;
}

/// The two streams of a run.
pub(crate) struct Console<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    format: Format,
    out_style: Style,
    err_style: Style,
}

impl<'a> Console<'a> {
    /// Data to `out`, words about it to `err`.
    pub(crate) fn new(
        out: &'a mut dyn Write,
        err: &'a mut dyn Write,
        format: Format,
        out_style: Style,
        err_style: Style,
    ) -> Self {
        Self { out, err, format, out_style, err_style }
    }

    /// The form that data takes.
    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// Prints data in the form that was asked for.
    pub(crate) fn show<T: Show>(&mut self, view: &T) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => view.text(self.out_style),
            Format::Json => format!("{}\n", json(serde_json::to_string_pretty(view))?),
            Format::Yaml => yaml(view)?,
        };
        self.print(&text)
    }

    /// Prints one of many: JSON on a line of its own, YAML as a document of its own.
    pub(crate) fn show_next<T: Show>(&mut self, view: &T) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => view.text(self.out_style),
            Format::Json => format!("{}\n", json(serde_json::to_string(view))?),
            Format::Yaml => format!("---\n{}", yaml(view)?),
        };
        self.print(&text)
    }

    /// Prints data as it is.
    pub(crate) fn print(&mut self, text: &str) -> Result<(), Failure> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()?;
        Ok(())
    }

    /// Says something about the data; nobody has to read it.
    pub(crate) fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "{}", plain(text));
    }

    /// Says something that a person should look at.
    pub(crate) fn warn(&mut self, text: &str) {
        let word = self.err_style.paint(Paint::Warn, "warning:");
        let _ = writeln!(self.err, "{word} {}", plain(text));
    }

    /// Asks something, on the line of the answer.
    pub(crate) fn ask(&mut self, text: &str) {
        let _ = write!(self.err, "{}", plain(text)).and_then(|()| self.err.flush());
    }

    /// Says why the run did not end well. A refusal is data as well, for those who asked for JSON or YAML.
    pub(crate) fn report(&mut self, failure: &Failure) {
        if matches!(failure, Failure::OutputClosed) {
            return;
        }
        let message = failure.to_string();
        if let Failure::Refused { problems, .. } = failure {
            let refusal = problem::Refusal { error: &message, problems };
            let printed = match self.format {
                Format::Table => self.problem_table(problems),
                Format::Json => self.machine(serde_json::to_string_pretty(&refusal).map_err(io::Error::from)),
                Format::Yaml => self.machine(serde_norway::to_string(&refusal).map_err(io::Error::other)),
            };
            if printed.is_err() {
                self.note("the problems could not be printed");
            }
        }
        let word = self.err_style.paint(Paint::Bad, "error:");
        let _ = writeln!(self.err, "{word} {}", plain(&message));
    }

    fn problem_table(&mut self, problems: &[problem::Problem]) -> io::Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        self.err.write_all(problem::table(problems).render(self.err_style).as_bytes())
    }

    fn machine(&mut self, text: io::Result<String>) -> io::Result<()> {
        let text = text?;
        self.out.write_all(text.trim_end().as_bytes())?;
        self.out.write_all(b"\n")
    }
}

fn json(text: serde_json::Result<String>) -> Result<String, Failure> {
    text.map_err(|error| Failure::Output(error.into()))
}

/// YAML text, which ends with a line break.
pub(crate) fn yaml<T: Serialize>(view: &T) -> Result<String, Failure> {
    serde_norway::to_string(view).map_err(|error| Failure::Output(io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    /// Whoever reads has gone, as `head` does.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_error() {
        let (mut out, mut err) = (Gone, Vec::new());
        let mut console = Console::new(&mut out, &mut err, Format::Table, Style::Plain, Style::Plain);
        let failure = console.print("text").unwrap_err();
        assert_eq!(failure.exit(), Exit::Ok);
        console.report(&failure);
        assert!(err.is_empty());
    }

    #[test]
    fn an_agents_words_cannot_drive_the_terminal() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut console = Console::new(&mut out, &mut err, Format::Table, Style::Plain, Style::Plain);
        console.report(&Failure::Usage("a\x1b[2Jb".to_owned()));
        assert_eq!(String::from_utf8(err).unwrap(), "error: a\\u{1b}[2Jb\n");
    }
}
