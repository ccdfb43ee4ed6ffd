//! What somebody does to traces who can write to the disk, and that `trace verify` names the place. Without an agent, without
//! a key.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::outside;
use crate::site::{INTRUDER, LIMIT, OWNER, Site, files};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "tamper::what_nobody_touched_is_intact_also_while_the_agent_writes",
        reasons: &[],
        run: intact,
    },
    Case { name: "tamper::a_flipped_byte_is_named_wherever_it_is", reasons: &[], run: flipped },
    Case { name: "tamper::what_is_removed_cut_or_exchanged_is_named", reasons: &[], run: removed },
    Case {
        name: "tamper::an_older_copy_is_found_by_a_checkpoint_that_was_kept_elsewhere",
        reasons: &[],
        run: rolled_back,
    },
    Case {
        name: "tamper::another_signer_is_found_by_the_key_that_was_kept_elsewhere",
        reasons: &[],
        run: other_signer,
    },
];

/// Two sealed files of a tenant, and a log that is not sealed; the agent is ended without warning. Answers with a copy.
fn evidence(site: &mut Site, name: &str) -> Result<PathBuf> {
    for round in 0..2 {
        for _ in 0..20 {
            site.lab().probe(INTRUDER)?.run(&["open", &site.gpu()])?;
        }
        site.dial(INTRUDER, OWNER)?;
        site.stored(&["--tenant", "t2", "--verdict", "deny"], 21 * (round + 1))?;
        site.seal()?;
    }
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 44)?;
    signed(site)?;
    site.is_spoilt();
    site.kill()?;
    copy_of(site, &site.traces()?, name)
}

/// Waits until everything that is on disk is signed for.
fn signed(site: &Site) -> Result<()> {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    wait::until_true("a checkpoint of everything", LIMIT, || {
        let checkpoint: Value = serde_json::from_slice(&fs::read(site.traces()?.join("checkpoint.json"))?)?;
        let status = site.ctl()?.json(&["trace", "status"])?;
        Ok(number(&checkpoint["body"]["sequence"]) >= number(&status["durableSequence"]))
    })
}

fn copy_of(site: &Site, traces: &Path, name: &str) -> Result<PathBuf> {
    let copy = site.scratch(name)?.join("trace");
    outside::run(std::process::Command::new("cp").arg("-a").arg(traces).arg(&copy))?;
    Ok(copy)
}

/// What `trace verify` finds; the exit code must say the same.
pub(crate) fn findings(site: &Site, directory: &Path, options: &[&str]) -> Result<Vec<Value>> {
    let directory = directory.display().to_string();
    let words = [&["trace", "verify", &directory, "-o", "json"], options].concat();
    let answer = site.ctl()?.call(&words, "")?;
    let report: Value = serde_json::from_str(&answer.out).with_context(|| format!("{answer:?}"))?;
    let findings = report["findings"].as_array().context("no list of findings")?.clone();
    ensure!((answer.code == 0) == findings.is_empty(), "exit code {} for {findings:#?}", answer.code);
    Ok(findings)
}

/// The finding must name the file.
fn names(findings: &[Value], file: &Path) -> Result<()> {
    let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
    ensure!(!findings.is_empty(), "nothing was found in {}", file.display());
    let named = findings.iter().any(|finding| finding.to_string().contains(name));
    ensure!(named, "{} is not named: {findings:#?}", file.display());
    Ok(())
}

fn intact(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    for _ in 0..5 {
        let found = findings(site, &site.traces()?, &[])?;
        ensure!(found.is_empty(), "a false alarm: {found:#?}");
        site.intrude()?;
    }
    site.seal()?;
    let found = findings(site, &site.traces()?, &[])?;
    ensure!(found.is_empty(), "a false alarm: {found:#?}");
    Ok(())
}

/// Not the lock, nor the room that is kept for a full disk: neither says anything.
fn is_evidence(file: &Path) -> bool {
    !file.ends_with("lock") && !file.ends_with("reserve")
}

/// Bytes that are spread over a file.
fn places(length: usize) -> Vec<usize> {
    let step = (length / 12).max(1);
    (0..length).step_by(step).chain([length - 1]).collect()
}

fn flipped(site: &mut Site) -> Result<()> {
    let copy = evidence(site, "flipped")?;
    ensure!(findings(site, &copy, &[])?.is_empty(), "damaged before it was touched");
    let all = files(&copy)?;
    ensure!(all.len() > 5, "too few files: {all:?}");
    for file in all.iter().filter(|file| is_evidence(file)) {
        let whole = fs::read(file)?;
        for place in places(whole.len()) {
            let mut changed = whole.clone();
            let Some(byte) = changed.get_mut(place) else { bail!("{} is empty", file.display()) };
            *byte ^= 0x20;
            fs::write(file, &changed)?;
            let found = findings(site, &copy, &[])?;
            names(&found, file).with_context(|| format!("byte {place} of {}", file.display()))?;
        }
        fs::write(file, &whole)?;
    }
    ensure!(findings(site, &copy, &[])?.is_empty(), "damaged though it was put back");
    Ok(())
}

fn sealed(copy: &Path) -> Result<Vec<PathBuf>> {
    let mut all = files(&copy.join("tenant=t2"))?;
    all.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    ensure!(all.len() >= 2, "too few sealed files: {all:?}");
    Ok(all)
}

fn removed(site: &mut Site) -> Result<()> {
    let copy = evidence(site, "removed")?;
    let [first, second] = &sealed(&copy)?[..2] else { bail!("no two files") };
    let (one, other) = (fs::read(first)?, fs::read(second)?);

    fs::remove_file(first)?;
    names(&findings(site, &copy, &[])?, first)?;
    fs::write(first, &one)?;

    fs::write(first, one.get(..one.len() / 2).unwrap_or_default())?;
    names(&findings(site, &copy, &[])?, first)?;

    fs::write(first, &other)?;
    fs::write(second, &one)?;
    names(&findings(site, &copy, &[])?, first)?;
    fs::write(first, &one)?;
    fs::write(second, &other)?;

    let chain = copy.join("tenant=t2").join("chain.jsonl");
    let lines = fs::read_to_string(&chain)?;
    let all: Vec<&str> = lines.lines().collect();
    for changed in [all.get(1..), all.get(..all.len() - 1)].into_iter().flatten() {
        fs::write(&chain, format!("{}\n", changed.join("\n")))?;
        ensure!(!findings(site, &copy, &[])?.is_empty(), "a chain that lost a line: {changed:?}");
    }
    let mut turned = all.clone();
    turned.reverse();
    fs::write(&chain, format!("{}\n", turned.join("\n")))?;
    names(&findings(site, &copy, &[])?, &chain)?;
    fs::write(&chain, &lines)?;

    for log in files(&copy.join("wal"))? {
        let whole = fs::read(&log)?;
        if whole.len() < 200 {
            continue;
        }
        fs::write(&log, whole.get(..whole.len() / 2).unwrap_or_default())?;
        ensure!(!findings(site, &copy, &[])?.is_empty(), "a log that was cut: {}", log.display());
        fs::remove_file(&log)?;
        ensure!(!findings(site, &copy, &[])?.is_empty(), "a log that is gone: {}", log.display());
        fs::write(&log, &whole)?;
    }
    ensure!(findings(site, &copy, &[])?.is_empty(), "damaged though it was put back");
    Ok(())
}

fn rolled_back(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    site.seal()?;
    let old = copy_of(site, &site.traces()?, "old")?;
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 4)?;
    site.seal()?;
    let anchor = site.scratch("anchor")?.join("checkpoint.json");
    fs::copy(site.traces()?.join("checkpoint.json"), &anchor)?;
    let anchor = anchor.display().to_string();
    ensure!(findings(site, &old, &[])?.is_empty(), "an older copy is consistent in itself");
    ensure!(
        !findings(site, &old, &["--checkpoint", &anchor])?.is_empty(),
        "an older copy passes for the latest"
    );
    ensure!(findings(site, &site.traces()?, &["--checkpoint", &anchor])?.is_empty(), "the latest does not");
    Ok(())
}

fn other_signer(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    site.seal()?;
    let key = site.scratch("key")?.join("signer.pub");
    fs::copy(site.traces()?.join("signer.pub"), &key)?;
    let key = key.display().to_string();
    ensure!(findings(site, &site.traces()?, &["--signer", &key])?.is_empty(), "its own key does not fit");
    // Another node's traces, whole and signed by another.
    let config = site.config()?;
    site.again(&config)?;
    let node = site.lab().node(crate::site::NODE)?.dir.join("state");
    ensure!(node.exists());
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    site.seal()?;
    ensure!(
        !findings(site, &site.traces()?, &["--signer", &key])?.is_empty(),
        "another signer passes for the node"
    );
    Ok(())
}
