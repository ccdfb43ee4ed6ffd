//! Runs a test runner, shows what it prints as it prints it, and counts.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};

use super::tally::Tally;
use crate::shell;

/// Runs a command to its end.
pub(crate) fn tallied(command: &mut Command) -> Result<Tally> {
    eprintln!("+ {}", shell::line(command));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("test runner")?;
    let tally = Mutex::new(Tally::default());
    let (out, err) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        scope.spawn(|| out.map(|out| follow(out, &tally, |line| println!("{line}"))));
        scope.spawn(|| err.map(|err| follow(err, &tally, |line| eprintln!("{line}"))));
    });
    let status = child.wait().context("test runner")?;
    let mut tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.broken = !status.success();
    Ok(tally)
}

fn follow(stream: impl Read, tally: &Mutex<Tally>, show: impl Fn(&str)) {
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    while stream.read_until(b'\n', &mut bytes).is_ok_and(|length| length > 0) {
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches('\n');
        show(line);
        tally.lock().unwrap_or_else(PoisonError::into_inner).read(line);
        bytes.clear();
    }
}
