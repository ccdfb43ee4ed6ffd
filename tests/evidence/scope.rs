//! Who may see what: a tenant its own records, and of others not even that they are.

use anyhow::{Result, ensure};
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::site::{INTRUDER, OPERATOR, OWNER, READERS, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "scope::a_reader_sees_its_own_half_and_no_word_of_another_tenant",
        reasons: &[],
        run: halves,
    },
    Case { name: "scope::an_operator_sees_both_halves_as_one", reasons: &[], run: whole },
    Case { name: "scope::a_reader_reads_and_does_nothing_else", reasons: &[], run: reads_only },
    Case { name: "scope::who_is_on_no_list_reads_nothing", reasons: &[], run: strangers },
    Case { name: "scope::a_revoked_reader_reads_no_more", reasons: &[], run: revoked },
];

/// What the other tenant would not want to be read by this one: its name, its workloads, its addresses.
fn secrets(site: &Site, of: &str) -> Vec<String> {
    let workloads = site.lab().topology().workloads.iter().filter(|workload| workload.tenant == of);
    let mut all: Vec<String> = workloads
        .flat_map(|workload| {
            let v4 = workload.v4.map(|address| address.to_string());
            let v6 = workload.v6.map(|address| address.to_string());
            [Some(workload.name.clone()), v4, v6].into_iter().flatten().collect::<Vec<_>>()
        })
        .collect();
    all.push(format!("{of}.lab.internal"));
    all
}

fn lines(site: &Site, reader: &str, words: &[&str]) -> Result<Vec<Value>> {
    let answer = site.remote(reader, &[words, &["-o", "json"]].concat())?;
    ensure!(answer.code == 0, "{reader} {words:?}: {}", answer.err);
    answer.out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn halves(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 2)?;
    site.seal()?;
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--verdict", "deny"], 4)?;
    for (reader, own, other) in [(READERS[0], "t1", "t2"), (READERS[1], "t2", "t1")] {
        for words in [&["trace", "query"][..], &["observe"], &["trace", "query", "--verdict", "deny"]] {
            let records = lines(site, reader, words)?;
            ensure!(!records.is_empty(), "{own} sees nothing by {words:?}");
            for record in &records {
                let mut said = record.clone();
                // What its own process was started with is the tenant's own word.
                if let Some(process) = said.get_mut("process").and_then(Value::as_object_mut) {
                    process.remove("arguments");
                }
                let text = said.to_string();
                for secret in secrets(site, other).iter().chain(&secrets(site, "t3")) {
                    ensure!(!text.contains(secret.as_str()), "{own} reads {secret} by {words:?}: {record:#}");
                }
                let ends = [&record["source"], &record["destination"]];
                let others = ["another tenant", "host", "world", "remote-node", "unknown"];
                let is_known = |end: &&Value| {
                    end["identity"]
                        .as_str()
                        .is_none_or(|who| who == own || others.contains(&who) || who.is_empty())
                };
                ensure!(ends.iter().all(is_known), "{own} reads of somebody: {record:#}");
            }
            let crossing = records
                .iter()
                .find(|record| record["half"] == true && record["reason"] == "cross_tenant_no_rule");
            ensure!(
                crossing.is_some(),
                "{own} is not told that it was refused, or reached for: {records:#?}"
            );
        }
    }
    Ok(())
}

fn whole(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.stored(&["--tenant", "t2", "--type", "flow", "--verdict", "deny"], 1)?;
    site.seal()?;
    let records = lines(site, OPERATOR, &["trace", "query", "--type", "flow", "--verdict", "deny"])?;
    let crossing = records.iter().find(|record| {
        record["source"]["workload"] == INTRUDER && record["destination"]["workload"] == OWNER
    });
    ensure!(crossing.is_some_and(|record| record["half"] != true), "{records:#?}");
    let mut numbers: Vec<u64> = records.iter().filter_map(|record| record["sequence"].as_u64()).collect();
    let all = numbers.len();
    numbers.dedup();
    ensure!(numbers.len() == all, "a record comes twice: {records:#?}");
    ensure!(numbers.is_sorted(), "out of order: {numbers:?}");
    Ok(())
}

fn reads_only(site: &mut Site) -> Result<()> {
    for words in [
        &["status"][..],
        &["counters"],
        &["get", "tenants"],
        &["identity", "list"],
        &["tunnel", "list"],
        &["trace", "seal"],
        &["trace", "destroy", "t1", "--reason", "because", "--yes"],
        &["trace", "unwrap", "--master-key-id", "t1/1", "--wrapped-key", "AAAA"],
        &["detect", "rules"],
    ] {
        let answer = site.remote(READERS[0], words)?;
        ensure!(answer.code != 0 && answer.out.is_empty(), "a reader does {words:?}: {}", answer.out);
        ensure!(answer.err.contains("permission denied"), "{words:?}: {}", answer.err);
    }
    let status = site.remote(READERS[0], &["trace", "status", "-o", "json"])?;
    ensure!(status.code == 0, "{}", status.err);
    for secret in ["\"t2\"", "\"t3\"", "_node"] {
        ensure!(!status.out.contains(secret), "a reader is told of {secret}: {}", status.out);
    }
    Ok(())
}

fn strangers(site: &mut Site) -> Result<()> {
    for words in [&["trace", "query"][..], &["observe"], &["trace", "status"]] {
        let answer = site.remote("n1-t2-p1", words)?;
        ensure!(answer.code != 0 && answer.out.is_empty(), "a stranger reads {words:?}: {}", answer.out);
    }
    Ok(())
}

fn revoked(site: &mut Site) -> Result<()> {
    let ctl = site.ctl()?;
    let (papers, _) = site.papers(READERS[1])?;
    ensure!(papers.exists());
    ensure!(site.remote(READERS[1], &["trace", "status"])?.code == 0, "a reader is not let in");
    ctl.run(&["identity", "revoke", READERS[1], "--reason", "a test", "--yes"], "")?;
    // With what it was given before: it is given nothing now.
    let answer = site.remote_with(&papers, &["trace", "status"])?;
    let restored = ctl.run(&["identity", "restore", READERS[1]], "");
    ensure!(answer.code != 0 && answer.out.is_empty(), "a revoked reader reads: {}", answer.out);
    restored.map(drop)
}
