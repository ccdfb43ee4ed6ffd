//! What is kept is kept: over kills, full disks and restarts. What is destroyed is gone.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::outside;
use crate::site::{INTRUDER, LIMIT, OWNER, Site};
use crate::tamper::findings;

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "store::what_was_acknowledged_survives_kill_9_and_numbers_go_on",
        reasons: &[],
        run: killed,
    },
    Case { name: "store::a_stream_goes_on_where_it_broke_off", reasons: &[], run: resumed },
    Case {
        name: "store::a_destroyed_key_takes_its_tenants_traces_and_leaves_a_receipt",
        reasons: &[],
        run: destroyed,
    },
    Case { name: "store::retention_takes_the_oldest_and_says_so", reasons: &[], run: retention },
    Case { name: "store::a_full_disk_is_told_and_the_walls_stand", reasons: &[], run: full },
    Case { name: "store::nothing_of_it_is_readable_by_others", reasons: &[], run: modes },
];

fn status(site: &Site) -> Result<Value> {
    site.ctl()?.json(&["trace", "status"])
}

fn durable(site: &Site) -> Result<u64> {
    status(site)?["durableSequence"].as_u64().context("no durable sequence")
}

fn killed(site: &mut Site) -> Result<()> {
    for round in 0..3 {
        for _ in 0..10 {
            site.dial(INTRUDER, OWNER)?;
        }
        let acknowledged = durable(site)?;
        let before = site.ctl()?.json_lines(&["trace", "query"])?;
        let before: Vec<&Value> =
            before.iter().filter(|record| record["sequence"].as_u64() <= Some(acknowledged)).collect();
        site.kill()?;
        let config = site.config()?;
        site.start(&config)?;
        let after = site.ctl()?.json_lines(&["trace", "query"])?;
        for record in &before {
            ensure!(
                after.contains(record),
                "round {round}: a record was acknowledged and is gone: {record:#}"
            );
        }
        let next = after.iter().filter_map(|record| record["sequence"].as_u64()).max();
        ensure!(next > Some(acknowledged), "numbers begin anew: {acknowledged}, then {next:?}");
        let found = findings(site, &site.traces()?, &[])?;
        ensure!(found.is_empty(), "after a kill: {found:#?}");
    }
    Ok(())
}

/// Sequence numbers of a stream's first records.
fn first_of(site: &Site, after: u64, count: usize) -> Result<Vec<u64>> {
    let mut command = Command::new(&site.lab().binaries().ctl);
    command.arg("--socket").arg(&site.lab().node(crate::site::NODE)?.socket);
    command.args(["trace", "stream", "--after", &after.to_string(), "-o", "json"]);
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn()?;
    let out = child.stdout.take().context("no output")?;
    let lines = std::io::BufRead::lines(std::io::BufReader::new(out)).take(count);
    let numbers: Result<Vec<u64>> = lines
        .map(|line| serde_json::from_str::<Value>(&line?)?["sequence"].as_u64().context("no number"))
        .collect();
    child.kill()?;
    child.wait()?;
    numbers
}

fn resumed(site: &mut Site) -> Result<()> {
    for _ in 0..10 {
        site.dial(INTRUDER, OWNER)?;
    }
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 10)?;
    let all = first_of(site, 0, 12)?;
    ensure!(all.is_sorted() && all.len() == 12, "{all:?}");
    let (last, rest) = (all[5], &all[6..]);
    site.seal()?;
    ensure!(first_of(site, last, rest.len())? == rest, "the stream goes on elsewhere than behind {last}");
    let config = site.config()?;
    site.stop()?;
    site.start(&config)?;
    ensure!(
        first_of(site, last, rest.len())? == rest,
        "after a restart it goes on elsewhere than behind {last}"
    );
    Ok(())
}

fn destroyed(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    site.seal()?;
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 4)?;
    site.is_spoilt();
    let words = ["trace", "destroy", "t2", "--reason", "the contract ended", "--yes"];
    let receipt: Value =
        serde_json::from_str(&site.ctl()?.run(&[&words[..], &["-o", "json"]].concat(), "")?)?;
    ensure!(receipt.to_string().contains("the contract ended"), "{receipt:#}");
    let receipts = fs::read_dir(site.traces()?.join("receipts"))?.count();
    ensure!(receipts == 1, "{receipts} receipts");
    let mut left = site.ctl()?.json_lines(&["trace", "query", "--workload", INTRUDER])?;
    ensure!(left.iter().any(|record| record["type"] == "loss"), "what is gone is not told: {left:#?}");
    left.retain(|record| record["type"] != "loss");
    ensure!(left.is_empty(), "traces of t2 are read after its key is gone: {left:#?}");
    let others = site.ctl()?.json_lines(&["trace", "query", "--tenant", "t1"])?;
    ensure!(!others.is_empty(), "another tenant's traces went with it");
    ensure!(
        !others.iter().any(|record| record.to_string().contains(INTRUDER)),
        "t1's half names t2: {others:#?}"
    );
    let found = findings(site, &site.traces()?, &[])?;
    ensure!(found.is_empty(), "what cannot be read any more is still in its chain: {found:#?}");
    Ok(())
}

fn retention(site: &mut Site) -> Result<()> {
    let config = site.config()?.with("trace", json!({ "tenants": { "t2": { "maxBytes": 1_048_576 } } }));
    site.again(&config)?;
    for _ in 0..40 {
        site.intrude()?;
        site.seal()?;
    }
    let of = |status: &Value| {
        let tenants = status["tenants"].as_array().cloned().unwrap_or_default();
        tenants.into_iter().find(|one| one["tenant"] == "t2").unwrap_or_default()
    };
    wait::until_true("the oldest files of t2 go", LIMIT, || {
        let one = of(&status(site)?);
        Ok(one["removed"].as_u64() > Some(0) && one["bytes"].as_u64() <= Some(1_048_576))
    })
    .with_context(|| format!("{:#}", status(site).unwrap_or_default()))?;
    let found = findings(site, &site.traces()?, &[])?;
    ensure!(found.is_empty(), "retention is no tampering: {found:#?}");
    Ok(())
}

/// A file system of a few megabytes, until it is dropped.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn mount(at: &'a Path) -> Result<Self> {
        let mut mount = Command::new("mount");
        outside::run(mount.args(["-t", "tmpfs", "-o", "size=2m,mode=0700", "enforcer-test"]).arg(at))?;
        Ok(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        if let Err(error) = outside::run(Command::new("umount").arg("--lazy").arg(self.0)) {
            eprintln!("{error:#}");
        }
    }
}

fn full(site: &mut Site) -> Result<()> {
    let directory = site.scratch("small")?;
    let small = Small::mount(&directory)?;
    let config = site.config()?.with("trace", json!({ "directory": directory }));
    site.again(&config)?;
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    let filler = directory.join("filler");
    let _full = fs::write(&filler, vec![0; 4 << 20]);
    site.expect_errors();
    for _ in 0..40 {
        site.dial(INTRUDER, OWNER)?;
        let outcome = site.lab().probe(INTRUDER)?.run(&["open", &site.gpu()])?;
        ensure!(outcome.to_string() == "not-permitted", "with a full disk the GPU is open: {outcome}");
    }
    let outcome = site.dial(INTRUDER, OWNER)?;
    ensure!(outcome.is_denied(), "with a full disk t2 reaches t1: {outcome}");
    let told = || -> Result<bool> {
        let status = status(site)?;
        let problems = status["problems"].as_array().cloned().unwrap_or_default();
        Ok(!problems.is_empty())
    };
    // The log may have had room in its own pages; then nothing was lost and nothing is to be told.
    let was_told = wait::until_true("the full disk is told", LIMIT, told).is_ok();
    fs::remove_file(&filler)?;
    wait::until_true("what comes after is stored again", LIMIT, || {
        let before = durable(site)?;
        site.dial(INTRUDER, OWNER)?;
        Ok(durable(site)? > before && status(site)?["problems"].as_array().is_some_and(Vec::is_empty))
    })?;
    ensure!(was_told, "a full disk was not told");
    let losses = site.ctl()?.json(&["status"])?["losses"].clone();
    ensure!(losses.to_string().contains("store_"), "what a full disk took was not counted: {losses:#}");
    site.stop()?;
    drop(small);
    Ok(())
}

fn modes(site: &mut Site) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    site.intrude()?;
    site.seal()?;
    for file in crate::site::files(&site.traces()?)? {
        let mode = fs::metadata(&file)?.permissions().mode() & 0o7777;
        ensure!(mode == 0o600, "{} has mode {mode:o}", file.display());
        let folder = file.parent().context("no folder")?;
        let mode = fs::metadata(folder)?.permissions().mode() & 0o7777;
        ensure!(mode == 0o700, "{} has mode {mode:o}", folder.display());
    }
    Ok(())
}
