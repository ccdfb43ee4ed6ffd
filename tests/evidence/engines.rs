//! Engines that people have, on sealed files: with the key they find what our own command finds, without it nothing.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::outside;
use crate::site::{INTRUDER, NODE, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "engines::pyarrow_finds_what_the_command_finds_and_nothing_without_the_key",
        reasons: &[],
        run: pyarrow,
    },
    Case {
        name: "engines::duckdb_reads_an_export_and_a_sealed_file_with_its_key",
        reasons: &[],
        run: duckdb,
    },
];

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/clients/find_refusals.py");

fn find(site: &Site, options: &[&str]) -> Result<Command> {
    let mut command = Command::new(outside::of_python("python")?);
    command.arg(SCRIPT).arg(site.traces()?).args(["t2", "--executable", "enforcer-probe"]);
    command.arg("--enforcerctl").arg(&site.lab().binaries().ctl);
    command.arg("--socket").arg(&site.lab().node(NODE)?.socket).args(options);
    Ok(command)
}

/// What both must agree on.
fn facts(record: &Value) -> Value {
    serde_json::json!([
        record["sequence"],
        record["type"],
        record["verdict"],
        record["reason"],
        record["rule"],
        record["process"]["pid"],
        record["process"]["executable"],
        record["source"]["workload"],
        record["source"]["svidSerial"],
        record["device"]["major"],
    ])
}

fn pyarrow(site: &mut Site) -> Result<()> {
    site.intrude()?;
    let filter = ["--tenant", "t2", "--verdict", "deny", "--executable", "enforcer-probe"];
    site.stored(&filter, 2)?;
    site.seal()?;
    let ours: Vec<Value> = site.stored(&filter, 2)?.iter().map(facts).collect();
    let said = outside::run(&mut find(site, &[])?)?;
    let theirs = said.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let theirs: Vec<Value> = theirs.iter().map(facts).collect();
    ensure!(ours == theirs, "we find {ours:#?}, pyarrow finds {theirs:#?}");
    ensure!(said.contains(INTRUDER), "{said}");
    let none = site.scratch("no-keys")?.display().to_string();
    let (succeeded, out, _) = outside::outcome(&mut find(site, &["--keys", &none])?)?;
    ensure!(!succeeded && out.trim().is_empty(), "read without a key: {out}");
    let unwrapped = site.stored(&["--type", "key"], 1)?;
    ensure!(unwrapped.iter().any(|record| record["note"]["event"] == "unwrapped"), "{unwrapped:#?}");
    Ok(())
}

fn duckdb(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    site.seal()?;
    let file = site.scratch("duckdb")?.join("export.parquet");
    let text = file.display().to_string();
    site.ctl()?.run(&["trace", "export", "--format", "parquet", "--file", &text, "--tenant", "t2"], "")?;
    let said = outside::json(outside::client("duck.py")?.arg(&file))?;
    let records = site.ctl()?.json_lines(&["trace", "query", "--tenant", "t2"])?;
    let refused = records.iter().filter(|record| record["verdict"] == "deny").count();
    ensure!(said["denied"].as_u64() >= Some(u64::try_from(refused)?) && refused > 0, "{said} and {refused}");
    let sealed = site.sealed("t2")?;
    let mut command = outside::client("duck.py")?;
    command.arg(&sealed).arg("--enforcerctl").arg(&site.lab().binaries().ctl);
    command.arg("--socket").arg(&site.lab().node(NODE)?.socket);
    let said = outside::json(&mut command).context("DuckDB, on a sealed file with its data key")?;
    ensure!(said["denied"].as_u64() > Some(0), "{said}");
    let (succeeded, out, _) = outside::outcome(outside::client("duck.py")?.arg(&sealed))?;
    ensure!(!succeeded, "DuckDB reads a sealed file without a key: {out}");
    Ok(())
}
