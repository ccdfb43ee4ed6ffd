//! `enforcerctl drill` beside a live wall, and below it: the drill's groups are in the live wall's own tree. A drill
//! of a wall that does not hold must fail, or a drill proves nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::cgroup;
use enforcer_lab::guard;
use enforcer_lab::process::ProcessId;
use enforcer_lab::wait;
use enforcer_tests::runner::{Case, Skip};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::fixture::{Gate, NODE};

pub(crate) const CASES: &[Case<Gate>] = &[
    Case { name: "drill::nothing_crosses_whatever_goes_wrong", reasons: &[], run: holds },
    Case { name: "drill::a_wall_that_does_not_hold_fails_it", reasons: &[], run: weak },
    Case { name: "drill::one_that_was_killed_is_swept_up_by_the_next", reasons: &[], run: killed },
    Case { name: "drill::one_that_is_stopped_leaves_nothing", reasons: &[], run: stopped },
    Case { name: "drill::a_clock_that_is_a_day_ahead_changes_nothing", reasons: &[], run: skewed },
];

/// Rows of the scratch wall that can be drilled on every machine.
const SCRATCH: [&str; 7] = [
    "steady",
    "agent-killed",
    "control-plane-away",
    "disk-full",
    "certificate-revoked",
    "certificate-expired",
    "map-full",
];
const LIMIT: Duration = Duration::from_secs(60);

fn holds(gate: &mut Gate) -> Result<()> {
    let ctl = gate.net().ctl(NODE)?;
    let root = root(gate)?.display().to_string();
    let report = ctl.json(&["drill", "--seconds", "500ms", "--cgroup-root", &root])?;
    ensure!(report["node"] == NODE && !text(&report["kernel"]).is_empty(), "{report}");
    for name in SCRATCH {
        let row = row(&report, name)?;
        let counted =
            ["attempts", "controls", "elapsed_us"].map(|word| row[word].as_u64().unwrap_or_default());
        ensure!(row["state"] == "verified" && row["crossed"] == 0, "{row}");
        ensure!(counted.iter().all(|count| *count > 0), "a row that did nothing: {row}");
        for way in ["tcp", "udp", "open", "mknod"] {
            ensure!(row["ways"][way]["attempts"].as_u64() > Some(0), "nothing was tried by {way}: {row}");
        }
    }
    let clock = row(&report, "clock-skew")?;
    ensure!(clock["state"] == "absent" && text(&clock["reason"]).contains("--clock"), "{clock}");
    live(&report)?;
    left_nothing(gate)
}

/// What the live agent proves; one that drills nothing says so, and nothing of it counts as proven now.
fn live(report: &Value) -> Result<()> {
    let gate = row(report, "hook cgroup/device")?;
    let expected = if row(report, "live").is_ok() { "declared" } else { "verified" };
    ensure!(gate["state"] == expected, "{gate}");
    Ok(())
}

fn weak(gate: &mut Gate) -> Result<()> {
    let root = root(gate)?.display().to_string();
    for (weak, ways) in [("device", ["open", "mknod"]), ("network", ["tcp", "udp"])] {
        let arguments = ["drill", "--only", "steady", "--seconds", "500ms", "--weak", weak];
        let arguments = [&arguments[..], &["--cgroup-root", &root, "-o", "json"]].concat();
        let answer = gate.net().ctl(NODE)?.call(&arguments, "")?;
        ensure!(answer.code == 1, "exit code {}: {}{}", answer.code, answer.out, answer.err);
        let report: Value = serde_json::from_str(&answer.out).with_context(|| answer.out.clone())?;
        let row = row(&report, "steady")?;
        ensure!(row["state"] == "failed" && text(&row["reason"]).contains("crossed"), "{row}");
        let crossed = row["ways"].as_object().context("no ways")?.iter();
        let crossed = crossed.filter(|(_, count)| count["crossed"].as_u64() > Some(0));
        let crossed: BTreeSet<&str> = crossed.map(|(way, _)| way.as_str()).collect();
        ensure!(crossed == BTreeSet::from(ways), "weak is {weak}, and {crossed:?} crossed: {row}");
    }
    left_nothing(gate)
}

fn killed(gate: &mut Gate) -> Result<()> {
    let mut drill = start(gate)?;
    drill.kill()?;
    drill.wait()?;
    let inside = format!("{}/enforcer-drill-{}", gate.net().lab().node(NODE)?.cgroup, drill.id());
    wait::until_true("agent and canaries go with it", LIMIT, || Ok(cgroup::processes(&inside)?.is_empty()))?;
    ensure!(!groups(gate)?.is_empty(), "the case kills too early");
    let root = root(gate)?.display().to_string();
    gate.net().ctl(NODE)?.json(&[
        "drill",
        "--only",
        "steady",
        "--seconds",
        "200ms",
        "--cgroup-root",
        &root,
    ])?;
    left_nothing(gate)
}

fn stopped(gate: &mut Gate) -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let mut drill = start(gate)?;
        ProcessId::of(i32::try_from(drill.id())?)?.signal(signal)?;
        let status = drill.wait()?;
        ensure!(status.code() == Some(1), "{signal}: {status}");
        left_nothing(gate)?;
    }
    Ok(())
}

/// The node's clock is everybody's: this needs a machine that is there for it.
fn skewed(gate: &mut Gate) -> Result<()> {
    if std::env::var_os(guard::DISPOSABLE).is_none() {
        return Err(
            Skip("it sets the machine's clock: run in the machines of `cargo xtask vm`".to_owned()).into()
        );
    }
    let root = root(gate)?.display().to_string();
    let arguments = ["drill", "--only", "clock-skew", "--clock", "--seconds", "5s", "--cgroup-root", &root];
    let report = gate.net().ctl(NODE)?.json(&arguments)?;
    let row = row(&report, "clock-skew")?;
    ensure!(row["state"] == "verified" && row["crossed"] == 0, "{row}");
    left_nothing(gate)
}

/// A drill in the middle of its attacks.
fn start(gate: &Gate) -> Result<Child> {
    let mut command = Command::new(&gate.net().lab().binaries().ctl);
    command.args(["drill", "--only", "steady", "--seconds", "60s", "--cgroup-root"]).arg(root(gate)?);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let canary = format!("{}/enforcer-drill-{}/b", gate.net().lab().node(NODE)?.cgroup, child.id());
    wait::until_true("canaries attack", LIMIT, || Ok(!cgroup::processes(&canary)?.is_empty()))?;
    Ok(child)
}

fn left_nothing(gate: &Gate) -> Result<()> {
    let groups = groups(gate)?;
    ensure!(groups.is_empty(), "left behind: {groups:?}");
    Ok(())
}

fn groups(gate: &Gate) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(root(gate)?)?.collect::<std::io::Result<Vec<_>>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    Ok(paths.filter(|path| path.display().to_string().contains("/enforcer-drill-")).collect())
}

/// The live wall's own root.
fn root(gate: &Gate) -> Result<PathBuf> {
    cgroup::dir(&gate.net().lab().node(NODE)?.cgroup)
}

fn row<'a>(report: &'a Value, name: &str) -> Result<&'a Value> {
    let rows = report["rows"].as_array().context("no rows")?;
    rows.iter().find(|row| row["name"] == name).with_context(|| format!("no row {name}: {report}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
