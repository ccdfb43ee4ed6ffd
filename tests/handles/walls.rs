//! What the matrix means as a whole, and what must go on working beside it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::policy::Kind;
use enforcer_lab::verdict::Verdict;
use enforcer_tests::runner::{Case, Skip};
use serde_json::Value;

use crate::fixture::{OTHER, OWNER, SIBLING, Wall};

pub(crate) const CASES: &[Case<Wall>] = &[
    Case { name: "matrix::agrees_with_the_golden_table", reasons: &[], run: |wall| wall.matrix()?.agrees() },
    Case { name: "matrix::hooks_are_used_where_the_kernel_runs_them", reasons: &[], run: used },
    Case { name: "matrix::tiers_that_need_the_hooks_are_refused_without_them", reasons: &[], run: refused },
    Case { name: "matrix::status_tells_what_is_not_stopped", reasons: &[], run: uncovered },
    Case { name: "passing::within_a_tenant_works", reasons: &[], run: within_a_tenant },
    Case { name: "passing::a_refused_receipt_is_on_record", reasons: &[], run: on_record },
    Case { name: "held::a_revoked_grant_stops_what_is_held", reasons: &[], run: revoked },
];

/// Which of the two golden tables holds is for the kernel to say: an agent that does without its hooks must not find
/// the table that forgives it.
fn used(wall: &mut Wall) -> Result<()> {
    match (wall.kernel_runs_hooks()?, wall.handles()?) {
        (true, Err(reason)) => {
            bail!("the kernel runs programs at its hooks, and the agent does without: {reason}")
        }
        (false, Ok(())) => bail!("the agent says that it has hooks, which this kernel does not run"),
        _ => Ok(()),
    }
}

fn refused(wall: &mut Wall) -> Result<()> {
    let handles = wall.handles()?;
    let refusals = &wall.matrix()?.refusals;
    match handles {
        Ok(()) => ensure!(refusals.is_empty(), "{refusals:?}"),
        Err(reason) => {
            let tiers: Vec<&str> = refusals.keys().copied().collect();
            ensure!(tiers == ["dedicated", "isolated"], "{refusals:?}");
            for (tier, said) in refusals {
                ensure!(said.contains(&reason), "{tier} is refused, but not because {reason:?}: {said}");
            }
        }
    }
    Ok(())
}

/// Of the attacks that are tried here: the status lists those that succeed, and no other.
fn uncovered(wall: &mut Wall) -> Result<()> {
    let status = wall.ctl()?.json(&["status"])?;
    let Some(listed) = status["uncovered"].as_array() else {
        return Err(Skip("the agent does not say what it does not stop".to_owned()).into());
    };
    let listed: BTreeSet<&str> = listed.iter().filter_map(|entry| entry["attack"].as_str()).collect();
    let matrix = wall.matrix()?;
    let succeed: BTreeSet<&str> = matrix.succeed("shared").into_iter().collect();
    let listed: BTreeSet<&str> = listed.into_iter().filter(|word| matrix.was_tried(word)).collect();
    ensure!(listed == succeed, "listed: {listed:?}\nsucceed: {succeed:?}");
    Ok(())
}

/// Collectives pass descriptors between the processes of a job.
fn within_a_tenant(wall: &mut Wall) -> Result<()> {
    for word in ["passed_by_socket", "pidfd_getfd", "seccomp_addfd", "inherited", "held_read", "held_mmap"] {
        let verdict = wall.attack(word, SIBLING)?;
        ensure!(verdict == Verdict::Done, "{word} within a tenant: {verdict}");
    }
    Ok(())
}

fn on_record(wall: &mut Wall) -> Result<()> {
    wall.need_handles()?;
    let mark = wall.mark()?;
    let verdict = wall.attack("passed_by_socket", OTHER)?;
    ensure!(verdict == Verdict::NoDescriptor, "{verdict}");
    let (class, minor) = (wall.class, wall.minor);
    let record = mark.record("the refused receipt", |record| {
        record["type"] == "device"
            && record["verdict"] == "deny"
            && record["hook"] == "file_receive"
            && record["device"]["class"] == class
            && record["device"]["minor"] == minor
            && record["source"]["identity"] == "t2"
    })?;
    ensure!(record["reason"] == "device_not_granted", "{record}");
    ensure!(record["process"]["pid"].as_u64() > Some(0), "no process: {record}");
    ensure!(record["process"]["command"] == "enforcer-probe", "another process: {record}");
    Ok(())
}

/// With the hooks, from the next call on; without them, what is held goes on working, as the status says.
fn revoked(wall: &mut Wall) -> Result<()> {
    let (mut gpu, mut disk) = (wall.hold(OWNER, &wall.node)?, wall.hold(OWNER, &wall.mapped)?);
    ensure!(disk.tell("map")? == Verdict::Done && gpu.tell("read")? == Verdict::Done, "its own device");
    let without = wall.policy("shared").with_word(Kind::Tenant, "t1", "devices", Value::Null);
    wall.push(&without)?.map_err(anyhow::Error::msg).context("a policy without grants")?;
    let refused = Verdict::Refused("EPERM".to_owned());
    ensure!(gpu.tell("open")? == refused, "an open after the grant went");
    let held = if wall.handles()?.is_ok() { refused } else { Verdict::Done };
    for (mapped, word) in [(false, "read"), (false, "write"), (false, "ioctl"), (true, "map")] {
        let holder = if mapped { &mut disk } else { &mut gpu };
        let verdict = holder.tell(word)?;
        ensure!(verdict == held, "{word} after the grant went: expected {held}, saw {verdict}");
    }
    // No hook sees what a process does with memory that it has already.
    ensure!(disk.tell("look")? == Verdict::Done, "a mapping from before");
    Ok(())
}
