//! From a refusal to who did it: the process, its certificate, the device it wanted and the rule, in one question.

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::site::{INTRUDER, OWNER, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "investigation::one_question_names_process_flow_device_certificate_and_rule",
        reasons: &[],
        run: one_question,
    },
    Case {
        name: "investigation::an_allowed_flow_names_its_process_and_both_ends",
        reasons: &[],
        run: allowed,
    },
    Case {
        name: "investigation::what_a_tenant_executes_is_told_with_its_arguments",
        reasons: &[],
        run: executed,
    },
    Case { name: "investigation::summaries_say_who_talked_and_who_held", reasons: &[], run: summaries },
    Case { name: "investigation::a_filter_that_is_nonsense_is_an_error", reasons: &[], run: nonsense },
];

/// What an investigator asks first.
pub(crate) const QUESTION: [&str; 4] = ["--executable", "enforcer-probe", "--verdict", "deny"];

/// The record of a type among those that answer the question.
pub(crate) fn of_type<'a>(records: &'a [Value], kind: &str) -> Result<&'a Value> {
    records
        .iter()
        .rfind(|record| record["type"] == kind)
        .with_context(|| format!("no {kind} in {records:#?}"))
}

fn one_question(site: &mut Site) -> Result<()> {
    site.intrude()?;
    let records = site.stored(&[&QUESTION[..], &["--tenant", "t2"]].concat(), 2)?;
    let (flow, device) = (of_type(&records, "flow")?, of_type(&records, "device")?);
    let serial = serial(site, INTRUDER)?;
    for record in [flow, device] {
        let (source, process) = (&record["source"], &record["process"]);
        ensure!(source["identity"] == "t2" && source["workload"] == INTRUDER, "{record:#}");
        ensure!(source["svidSerial"] == serial.as_str(), "not certificate {serial}: {record:#}");
        ensure!(source["spiffeId"] == site.id(INTRUDER)?.as_str(), "{record:#}");
        let executable = process["executable"].as_str().unwrap_or_default();
        ensure!(executable.ends_with("/enforcer-probe"), "{record:#}");
        let arguments = process["arguments"].as_array().context("no arguments")?;
        ensure!(arguments.iter().any(|argument| argument == "intrude"), "{record:#}");
        ensure!(process["pid"].as_u64() > Some(0) && process["startBootNs"].as_u64() > Some(0), "{record:#}");
        ensure!(process["ancestors"].as_array().is_some_and(|all| !all.is_empty()), "{record:#}");
        ensure!(record["rule"] == "no-rule-matched" && record["revision"].as_u64() > Some(0), "{record:#}");
        ensure!(record["bootNs"].as_u64() > Some(0) && record["time"].is_string(), "{record:#}");
        ensure!(record["cpu"].is_u64() && record["cpuSequence"].as_u64() > Some(0), "{record:#}");
    }
    ensure!(flow["process"]["pid"] == device["process"]["pid"], "two processes: {records:#?}");
    ensure!(flow["reason"] == "cross_tenant_no_rule", "{flow:#}");
    ensure!(flow["destination"]["identity"] == "t1" && flow["destination"]["workload"] == OWNER, "{flow:#}");
    ensure!(
        flow["destination"]["svidSerial"] == super::investigation::serial(site, OWNER)?.as_str(),
        "{flow:#}"
    );
    ensure!(device["reason"] == "device_not_granted", "{device:#}");
    ensure!(device["device"]["class"] == "nvidia" && device["device"]["major"] == 195, "{device:#}");
    Ok(())
}

/// The serial number of the certificate that a workload has now.
pub(crate) fn serial(site: &Site, workload: &str) -> Result<String> {
    let all = site.ctl()?.json(&["identity", "list"])?;
    let all = all["identities"].as_array().context("no identities")?;
    let one = all.iter().find(|one| one["workload"] == workload).with_context(|| workload.to_owned())?;
    Ok(one["serial"].as_str().context("no serial")?.to_owned())
}

fn allowed(site: &mut Site) -> Result<()> {
    let outcome = site.dial("n1-t1-p1", "n1-t3-p1")?;
    ensure!(outcome.to_string() == "ok", "{outcome}");
    let filter = ["--type", "flow", "--workload", "n1-t3-p1"];
    let records = site.stored(&filter, 2)?;
    let opened =
        records.iter().find(|record| record["flow"]["event"] == "opened").context("no first packet")?;
    ensure!(opened["rule"] == "t1-to-t3", "{opened:#}");
    let executable = opened["process"]["executable"].as_str().unwrap_or_default();
    ensure!(executable.ends_with("/enforcer-probe"), "whose packet is it? {opened:#}");
    let closed = records.iter().find(|record| record["flow"]["event"] == "closed").context("no end")?;
    ensure!(closed["flow"]["bytesSent"].as_u64() >= Some(32), "{closed:#}");
    ensure!(closed["flow"]["bytesReceived"].as_u64() >= Some(32), "{closed:#}");
    Ok(())
}

fn executed(site: &mut Site) -> Result<()> {
    site.intrude()?;
    let filter = ["--type", "process", "--tenant", "t2", "--executable", "enforcer-probe"];
    let records = site.stored(&filter, 2)?;
    let events: Vec<&str> = records.iter().filter_map(|record| record["note"]["event"].as_str()).collect();
    ensure!(events.contains(&"exec") && events.contains(&"exit"), "{records:#?}");
    Ok(())
}

fn summaries(site: &mut Site) -> Result<()> {
    site.intrude()?;
    site.lab().probe(OWNER)?.run(&["open", &site.gpu()])?;
    site.stored(&["--type", "device", "--tenant", "t1"], 1)?;
    site.stored(&[&QUESTION[..], &["--tenant", "t2"]].concat(), 2)?;
    let said = site.ctl()?.json(&["trace", "summary", "talks"])?;
    let talks = said["talks"].as_array().context("no talks")?;
    let refused =
        |talk: &&Value| talk["source"]["workload"] == INTRUDER && talk["destination"]["workload"] == OWNER;
    let talk = talks.iter().find(refused).with_context(|| format!("{said:#}"))?;
    ensure!(talk["refused"].as_u64() > Some(0) && talk["allowed"] == 0, "{talk:#}");
    let said = site.ctl()?.json(&["trace", "summary", "devices"])?;
    let holds = said["holds"].as_array().context("no holds")?;
    let of = |tenant: &str| holds.iter().find(|hold| hold["holder"]["identity"] == tenant);
    ensure!(of("t1").is_some_and(|hold| hold["opens"].as_u64() > Some(0)), "{said:#}");
    ensure!(
        of("t2").is_some_and(|hold| hold["opens"] == 0 && hold["refused"].as_u64() > Some(0)),
        "{said:#}"
    );
    Ok(())
}

fn nonsense(site: &mut Site) -> Result<()> {
    let ctl = site.ctl()?;
    for words in [
        &["trace", "query", "--ip", "10.0.0.0/99"][..],
        &["trace", "query", "--reason", "because"],
        &["trace", "query", "--serial", "xyz"],
        &["trace", "query", "--from", "yesterday-ish"],
        &["trace", "query", "--type", "packet"],
    ] {
        let answer = ctl.call(words, "")?;
        ensure!(
            answer.code != 0 && !answer.err.trim().is_empty() && answer.out.is_empty(),
            "{words:?}: {answer:?}"
        );
    }
    Ok(())
}
