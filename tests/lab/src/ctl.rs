//! `enforcerctl`, as a person at the node would call it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// `enforcerctl` for one agent.
#[derive(Clone, Debug)]
pub struct Ctl {
    program: PathBuf,
    socket: PathBuf,
}

/// What a call answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Exit code; -1 when it was killed.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Ctl {
    /// For the agent behind a socket.
    #[must_use]
    pub const fn new(program: PathBuf, socket: PathBuf) -> Self {
        Self { program, socket }
    }

    /// Calls it, whatever comes of it.
    ///
    /// # Errors
    /// It could not be started.
    pub fn call(&self, arguments: &[&str], input: &str) -> Result<Answer> {
        let mut command = Command::new(&self.program);
        command.arg("--socket").arg(&self.socket).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{}", self.program.display()))?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output()?;
        // A call that ends before it read everything is judged by its exit code.
        drop(written);
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Calls it; it must succeed.
    ///
    /// # Errors
    /// It did not.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<String> {
        let answer = self.call(arguments, input)?;
        if answer.code != 0 {
            let said = format!("{}{}", answer.out, answer.err);
            bail!("enforcerctl {}: exit code {}\n{}", arguments.join(" "), answer.code, said.trim());
        }
        Ok(answer.out)
    }

    /// Calls it with `-o json`; it must succeed and answer with one JSON value.
    ///
    /// # Errors
    /// It did not.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let out = self.run(&[arguments, &["-o", "json"]].concat(), "")?;
        serde_json::from_str(&out).with_context(|| format!("enforcerctl {}: {out}", arguments.join(" ")))
    }

    /// Calls it with `-o json`; it must succeed and answer with a JSON value a line.
    ///
    /// # Errors
    /// It did not.
    pub fn json_lines(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let out = self.run(&[arguments, &["-o", "json"]].concat(), "")?;
        let lines = out.lines().filter(|line| !line.trim().is_empty());
        lines.map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
    }
}
