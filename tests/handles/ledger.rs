//! Who holds a device, also where no descriptor shows it, and how it is taken away.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::hold::Holder;
use enforcer_lab::verdict::Verdict;
use enforcer_lab::wait;
use enforcer_tests::runner::{Case, Skip};
use serde_json::Value;

use crate::fixture::{OWNER, Wall};

pub(crate) const CASES: &[Case<Wall>] = &[
    Case { name: "ledger::a_descriptor_shows_its_holder", reasons: &[], run: descriptor },
    Case { name: "ledger::a_mapping_without_a_descriptor_shows_its_holder", reasons: &[], run: mapping },
    Case { name: "ledger::a_registration_with_io_uring_is_not_overlooked", reasons: &[], run: registration },
    // The last: it leaves the device closed.
    Case { name: "revoke::each_step_does_what_it_says", reasons: &[], run: step_by_step },
];

const LIMIT: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(8);
const GONE: Duration = Duration::from_secs(5);

fn descriptor(wall: &mut Wall) -> Result<()> {
    let holder = wall.hold(OWNER, &wall.node)?;
    let handle = handle(wall, &wall.name(), &holder)?.context("no line for its holder")?;
    ensure!(handle["holder"] == "t1" && handle["granted"] == true, "{handle}");
    ensure!(handle["command"] == "enforcer-probe", "{handle}");
    ensure!(handle["descriptors"].as_array().is_some_and(|all| all.len() == 1), "{handle}");
    ensure!(handle["access"] == "read+write", "{handle}");
    if wall.handles()?.is_ok() {
        ensure!(handle["openedBy"] == "t1", "the account does not know who opened it: {handle}");
    }
    Ok(())
}

fn mapping(wall: &mut Wall) -> Result<()> {
    let mut holder = wall.hold(OWNER, &wall.mapped)?;
    for word in ["map", "close", "look"] {
        ensure!(holder.tell(word)? == Verdict::Done, "{word}");
    }
    let name = wall.mapped_name();
    let handle = handle(wall, &name, &holder)?.context("no line for who maps it")?;
    ensure!(handle["via"] == "mapping" && handle["mappings"] == 1, "{handle}");
    ensure!(handle["descriptors"].as_array().is_some_and(Vec::is_empty), "{handle}");
    Ok(())
}

/// The walk over processes cannot see it. With the hooks the account does; without, the answer says that it is not whole.
fn registration(wall: &mut Wall) -> Result<()> {
    let mut holder = wall.hold(OWNER, &wall.node)?;
    if let Verdict::Absent(why) = holder.tell("register")? {
        return Err(Skip(why).into());
    }
    ensure!(holder.tell("close")? == Verdict::Done && holder.tell("fetch")? == Verdict::Done, "it is held");
    let name = wall.name();
    ensure!(handle(wall, &name, &holder)?.is_none(), "there is no descriptor any more");
    let pid = holder.process()?.pid;
    let hidden = |answer: &Value| {
        let all = answer["hidden"].as_array().cloned().unwrap_or_default();
        all.into_iter().any(|file| file["device"] == *name && file["openedBy"] == "t1" && file["pid"] == pid)
    };
    if wall.handles()?.is_err() {
        let answer = look(wall, &name)?;
        ensure!(answer["account"] == "descriptors" && !answer["accountReason"].is_null(), "{answer}");
        return Ok(());
    }
    wait::until_true("the hidden file is listed", LIMIT, || Ok(hidden(&look(wall, &name)?)))?;
    drop(holder);
    wait::until_true("it is listed no more", GONE, || Ok(!hidden(&look(wall, &name)?)))
}

fn step_by_step(wall: &mut Wall) -> Result<()> {
    let mut holder = wall.hold(OWNER, &wall.node)?;
    ensure!(holder.tell("read")? == Verdict::Done, "its own device");
    let name = wall.name();
    let refused = Verdict::Refused("EPERM".to_owned());
    let has_hooks = wall.handles()?.is_ok();

    let steps = revoke(wall, &name, "handles")?;
    ensure!(outcome(&steps, "gate") == "ok", "{steps:?}");
    ensure!(outcome(&steps, "handles") == if has_hooks { "ok" } else { "absent" }, "{steps:?}");
    ensure!(holder.tell("open")? == refused, "an open behind a closed gate");
    let held = if has_hooks { refused } else { Verdict::Done };
    let verdict = holder.tell("read")?;
    ensure!(verdict == held, "a read of what is held: {verdict}, and the revocation said {steps:?}");

    let steps = revoke(wall, &name, "kill")?;
    ensure!(holder.tell("read").is_err(), "the holder lives");
    if wall.is_held_by_this_process() {
        return names_the_outsider(&steps);
    }
    ensure!(outcome(&steps, "kill") == "ok", "{steps:?}");
    let strength = steps.last().map(|step| step["strength"].to_string()).unwrap_or_default();
    ensure!(strength.contains("gone"), "{steps:?}");
    let answer = look(wall, &name)?;
    let nobody = |list: &str| answer[list].as_array().is_some_and(Vec::is_empty);
    ensure!(nobody("handles") && nobody("hidden"), "{answer}");
    Ok(())
}

/// A disk stays open in this process, which no policy knows: it is named and left alone, and nothing is proven.
fn names_the_outsider(steps: &[Value]) -> Result<()> {
    let kill = steps.iter().find(|line| line["step"] == "kill").context("no step kill")?;
    let detail = kill["detail"].as_str().unwrap_or_default();
    let own = format!("process {}", std::process::id());
    ensure!(kill["outcome"] == "failed" && detail.contains(&own), "{steps:?}");
    ensure!(steps.last().is_some_and(|last| last["strength"] == "no new opens"), "{steps:?}");
    Ok(())
}

fn look(wall: &Wall, device: &str) -> Result<Value> {
    wall.ctl()?.json(&["get", "handles", "--device", device])
}

/// The line of a holder.
fn handle(wall: &Wall, device: &str, holder: &Holder) -> Result<Option<Value>> {
    let answer = look(wall, device)?;
    let handles = answer["handles"].as_array().with_context(|| answer.to_string())?;
    let pid = holder.process()?.pid;
    Ok(handles.iter().find(|handle| handle["device"] == device && handle["pid"] == pid).cloned())
}

/// The steps, whether or not all succeeded.
fn revoke(wall: &Wall, device: &str, to: &str) -> Result<Vec<Value>> {
    let (reason, deadline) = ("a test", format!("{}s", wait::patient(DEADLINE).as_secs()));
    let arguments = [
        "revoke",
        "device",
        device,
        "--to",
        to,
        "--deadline",
        &deadline,
        "--reason",
        reason,
        "--yes",
        "-o",
        "json",
    ];
    let answer = wall.ctl()?.call(&arguments, "")?;
    let steps = answer.out.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let steps = steps.with_context(|| format!("{}{}", answer.out, answer.err))?;
    ensure!(!steps.is_empty(), "no step: {}", answer.err);
    Ok(steps)
}

fn outcome<'a>(steps: &'a [Value], step: &str) -> &'a str {
    let found = steps.iter().find(|line| line["step"] == step);
    found.and_then(|line| line["outcome"].as_str()).unwrap_or("no such step")
}
