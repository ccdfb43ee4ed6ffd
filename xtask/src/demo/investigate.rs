//! The investigation: somebody was refused. Who was it, what did it want, by which certificate is it known, and which rule
//! refused it? Then somebody changes the evidence.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use enforcer_lab::wait;
use serde_json::Value;

use super::script::Script;
use super::stage::{LIMIT, PORT, Stage, word};
use crate::root;

const INTRUDER: &str = "n1-t2-p1";
const TENANT: &str = "t2";
const VICTIM: &str = "n1-t1-p1";
/// What the answer must come to.
const FOUND: &str = "t1, nvidia 195:0: no-rule-matched";
/// In the tenant's own files the other end is nobody's name.
const HALF: &str = "another tenant, nvidia 195:0: no-rule-matched";
/// Finds the same in the sealed files.
const SCRIPT: &str = "deploy/clients/find_refusals.py";
const PYTHON: &str = "target/python/bin/python";

pub(crate) fn play(stage: &Stage, script: &mut Script) {
    script.step("a process of t2 tries t1's server, then t1's GPU", "refused, refused", || intrude(stage));
    script.step("which process, by its certificate, wanted what? trace query", FOUND, || {
        found(stage, &ask(stage)?)
    });
    script.step("the same in pyarrow, in t2's own encrypted files", HALF, || {
        stage.ctl("n1")?.run(&["trace", "seal"], "")?;
        found(stage, &read(stage, &[])?)
    });
    script.step("pyarrow without t2's key", "unreadable", || {
        let none = stage.lab().node("n1")?.dir.join("no-keys").display().to_string();
        Ok(read(stage, &["--keys", &none])
            .map_or_else(|_| "unreadable".to_owned(), |_| "readable".to_owned()))
    });
    script.step("trace verify, without agent or key", "intact", || verify(stage));
    let sealed = sealed(stage);
    let whole = sealed.as_ref().ok().and_then(|file| fs::read(file).ok());
    script.step("a byte of t2's traces is flipped: trace verify", "names the file", || {
        let file = sealed.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let mut bytes = whole.clone().context("the file cannot be read")?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("an empty file")? ^= 1;
        fs::write(file, &bytes)?;
        let said = verify(stage)?;
        let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        Ok(if said.contains(name) { "names the file".to_owned() } else { said })
    });
    script.step("and flipped back", "intact", || {
        fs::write(sealed?, whole.context("the file cannot be read")?)?;
        verify(stage)
    });
}

/// One process, two attempts.
fn intrude(stage: &Stage) -> Result<String> {
    let to = format!("{}:{PORT}", stage.v4(VICTIM)?);
    let mut command = stage.place(INTRUDER)?.command(&stage.lab().binaries().probe)?;
    command.args(["intrude", &to]).arg(stage.gpu()).args(["--timeout-ms", "1500"]);
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let outcomes = said.lines().map(|line| {
        let outcome: enforcer_lab::outcome::Outcome = serde_json::from_str(line)?;
        Ok(if outcome.is_denied() { "refused".to_owned() } else { outcome.to_string() })
    });
    Ok(outcomes.collect::<Result<Vec<_>>>()?.join(", "))
}

/// What an investigator types.
fn ask(stage: &Stage) -> Result<Vec<Value>> {
    let ctl = stage.ctl("n1")?;
    wait::until("both refusals on disk", LIMIT, || {
        let words =
            ["trace", "query", "--tenant", TENANT, "--verdict", "deny", "--executable", "enforcer-probe"];
        let records = ctl.json_lines(&words)?;
        let has = |kind: &str| records.iter().any(|record| record["type"] == kind && is_last(record));
        Ok((has("flow") && has("device")).then_some(records))
    })
}

/// Of the process that tried both.
fn is_last(record: &Value) -> bool {
    let arguments = record["process"]["arguments"].as_array();
    arguments.is_some_and(|all| all.iter().any(|argument| argument == "intrude"))
}

/// What was refused, and by which rule, where one process with the certificate of that workload did both.
fn found(stage: &Stage, records: &[Value]) -> Result<String> {
    let last = |kind: &str| {
        let record = records.iter().rfind(|record| record["type"] == kind && is_last(record));
        record.with_context(|| format!("no {kind} of the process that tried both"))
    };
    let (flow, device) = (last("flow")?, last("device")?);
    ensure!(flow["process"]["pid"] == device["process"]["pid"], "two processes");
    let all = stage.ctl("n1")?.json(&["identity", "list"])?;
    let all = all["identities"].as_array().context("no identities")?;
    let own = all.iter().find(|one| one["workload"] == INTRUDER).context("no certificate")?;
    for record in [flow, device] {
        ensure!(
            record["source"]["svidSerial"] == own["serial"],
            "another certificate than {}",
            own["serial"]
        );
    }
    let (rule, device) = (word(flow, "rule"), &device["device"]);
    let wanted = word(&flow["destination"], "identity");
    let (class, major, minor) = (word(device, "class"), &device["major"], &device["minor"]);
    Ok(format!("{wanted}, {class} {major}:{minor}: {rule}"))
}

/// The same question, to pyarrow.
fn read(stage: &Stage, options: &[&str]) -> Result<Vec<Value>> {
    let mut command = Command::new(root::workspace().join(PYTHON));
    command.arg(root::workspace().join(SCRIPT)).arg(traces(stage)?);
    command.args([TENANT, "--executable", "enforcer-probe"]).args(options);
    command
        .arg("--enforcerctl")
        .arg(&stage.lab().binaries().ctl)
        .arg("--socket")
        .arg(&stage.lab().node("n1")?.socket);
    let output = command.output().context("python: is it installed?")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

/// `intact`, or what was found.
fn verify(stage: &Stage) -> Result<String> {
    let directory = traces(stage)?.display().to_string();
    let answer = stage.ctl("n1")?.call(&["trace", "verify", &directory], "")?;
    Ok(if answer.code == 0 {
        "intact".to_owned()
    } else {
        format!("{}{}", answer.out, answer.err).replace('\n', " ")
    })
}

fn traces(stage: &Stage) -> Result<PathBuf> {
    Ok(stage.lab().node("n1")?.dir.join("state").join("trace"))
}

/// A sealed file of the tenant that tried.
fn sealed(stage: &Stage) -> Result<PathBuf> {
    let mut open = vec![traces(stage)?.join(format!("tenant={TENANT}"))];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("{}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension() == Some(Path::new("parquet").as_os_str()) {
                return Ok(path);
            }
        }
    }
    bail!("nothing of {TENANT} is sealed")
}
