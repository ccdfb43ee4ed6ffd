//! Runs named cases one after the other on one fixture, and says what came of each in the words of cargo's own
//! runner. Building a lab for every case would take most of the time.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

/// A case: its name, and what it does.
pub struct Case<F> {
    /// `module::sentence_with_underscores`.
    pub name: &'static str,
    /// Drop reasons that may be counted while it runs; any other fails it.
    pub reasons: &'static [&'static str],
    /// The case.
    pub run: fn(&mut F) -> Result<()>,
}

impl<F> Clone for Case<F> {
    fn clone(&self) -> Self {
        Self { name: self.name, reasons: self.reasons, run: self.run }
    }
}

/// What a fixture does around each case.
pub trait Fixture {
    /// Brings it to the state in which every case starts.
    ///
    /// # Errors
    /// It could not.
    fn before(&mut self) -> Result<()>;

    /// Looks for what a case must not leave behind.
    ///
    /// # Errors
    /// It found some.
    fn after(&mut self, reasons: &[&str]) -> Result<()>;
}

/// A case that cannot run here, and why.
#[derive(Debug)]
pub struct Skip(pub String);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// What cargo's runner and nextest may ask of us on the command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    list: bool,
    exact: bool,
    ignored: bool,
    filters: Vec<String>,
}

impl Wish {
    fn parse(arguments: impl Iterator<Item = String>) -> Self {
        let mut wish = Self::default();
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--list" => wish.list = true,
                "--exact" => wish.exact = true,
                "--ignored" => wish.ignored = true,
                "--format" | "--test-threads" | "--color" => drop(arguments.next()),
                option if option.starts_with('-') => {}
                _ => wish.filters.push(argument),
            }
        }
        wish
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        self.filters.is_empty() || self.filters.iter().any(fits)
    }
}

/// Runs the cases that the command line asks for.
pub fn run<F: Fixture>(make: impl FnOnce() -> Result<F>, cases: &[Case<F>]) -> ExitCode {
    let wish = Wish::parse(std::env::args().skip(1));
    let wanted: Vec<&Case<F>> = cases.iter().filter(|case| wish.wants(case.name)).collect();
    if wish.list {
        // Nothing here is marked as ignored.
        wanted.iter().filter(|_| !wish.ignored).for_each(|case| println!("{}: test", case.name));
        return ExitCode::SUCCESS;
    }
    if wanted.is_empty() || wish.ignored {
        println!("0 passed, 0 failed, 0 skipped");
        return ExitCode::SUCCESS;
    }
    match make() {
        Ok(fixture) => run_all(fixture, &wanted),
        Err(error) => {
            println!("the fixture failed: {error:?}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Count {
    passed: usize,
    failed: Vec<&'static str>,
    skipped: usize,
}

fn run_all<F: Fixture>(mut fixture: F, cases: &[&Case<F>]) -> ExitCode {
    let start = Instant::now();
    let mut count = Count::default();
    for case in cases {
        let began = Instant::now();
        let outcome = run_one(&mut fixture, case);
        let seconds = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => {
                println!("test {} ... ok ({seconds:.2} s)", case.name);
                count.passed += 1;
            }
            Err(error) => match error.downcast_ref::<Skip>() {
                Some(skip) => {
                    println!("test {} ... skipped: {skip}", case.name);
                    count.skipped += 1;
                }
                None => {
                    println!("test {} ... FAILED ({seconds:.2} s)\n{}", case.name, indented(&error));
                    count.failed.push(case.name);
                }
            },
        }
    }
    drop(fixture);
    conclude(&count, start)
}

fn run_one<F: Fixture>(fixture: &mut F, case: &Case<F>) -> Result<()> {
    let caught = catch_unwind(AssertUnwindSafe(|| {
        fixture.before()?;
        (case.run)(fixture)?;
        fixture.after(case.reasons)
    }));
    caught.unwrap_or_else(|panic| Err(anyhow::anyhow!("panicked: {}", said(panic.as_ref()))))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

fn indented(error: &anyhow::Error) -> String {
    let text = error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\nbecause ");
    text.lines().map(|line| format!("    {line}\n")).collect()
}

fn conclude(count: &Count, start: Instant) -> ExitCode {
    let Count { passed, failed, skipped } = count;
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    for name in failed {
        println!("failed: {name}");
    }
    println!(
        "test result: {word}. {passed} passed; {} failed; {skipped} ignored; finished in {:.1} s",
        failed.len(),
        start.elapsed().as_secs_f64()
    );
    println!("{passed} passed, {} failed, {skipped} skipped", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(words: &[&str]) -> Wish {
        Wish::parse(words.iter().map(|word| (*word).to_owned()))
    }

    #[test]
    fn runners_options_are_understood() {
        let nextest = wish(&["--list", "--format", "terse", "--ignored"]);
        assert!(nextest.list && nextest.ignored && nextest.filters.is_empty());
        assert!(wish(&["--exact", "a::b", "--nocapture"]).wants("a::b"));
        assert!(!wish(&["--exact", "a::b"]).wants("a::bc"));
        assert!(wish(&["--test-threads=1", "b"]).wants("a::bc"));
    }
}
