//! What is unusual is noticed, and what an operator wrote is done about it, for as long as he wrote.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::site::{INTRUDER, LIMIT, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "detection::a_port_scan_raises_an_alert_that_explains_itself", reasons: &[], run: scanned },
    Case { name: "detection::new_flows_are_denied_until_the_response_expires", reasons: &[], run: denied },
    Case { name: "detection::a_dry_run_does_nothing_and_says_what_it_would_do", reasons: &[], run: dry },
];

/// Forty ports of another tenant's workload, one after the other.
fn scan(site: &Site, from: &str, to: &str) -> Result<()> {
    let ip = site.address(to)?.ip();
    for port in 9_000..9_040 {
        site.lab().probe(from)?.run(&["tcp", &format!("{ip}:{port}"), "--timeout-ms", "50"])?;
    }
    Ok(())
}

fn rule(response: &Value) -> String {
    let rule = json!({
        "apiVersion": "enforcer.dev/v1",
        "kind": "DetectionRule",
        "metadata": { "name": "port-scan" },
        "spec": {
            "pattern": "port-scan",
            "window": "5m",
            "threshold": 30,
            "level": "high",
            "cooldown": "10m",
            "response": response,
        },
    });
    rule.to_string()
}

/// Starts over with a response to port scans.
fn with_response(site: &mut Site, response: &Value) -> Result<()> {
    let file = site.scratch("rules")?.join("scan.yaml");
    fs::write(&file, rule(response))?;
    let config = site.config()?.with("detection", json!({ "rules": file }));
    site.again(&config)
}

fn scanned(site: &mut Site) -> Result<()> {
    scan(site, INTRUDER, "n1-t1-p1")?;
    let alerts = site.stored(&["--type", "alert", "--tenant", "t2"], 1)?;
    let alert = alerts.iter().find(|alert| alert["note"]["subject"] == "port-scan");
    let alert = alert.with_context(|| format!("{alerts:#?}"))?;
    ensure!(alert["note"]["level"] == "high", "{alert:#}");
    ensure!(alert["note"]["message"].as_str().is_some_and(|text| text.contains("30")), "{alert:#}");
    let others = site.ctl()?.json_lines(&["trace", "query", "--type", "alert", "--tenant", "t3"])?;
    ensure!(others.is_empty(), "who scanned nothing is alerted of: {others:#?}");
    Ok(())
}

fn responses(site: &Site) -> Result<Vec<Value>> {
    let said = site.ctl()?.json(&["detect", "responses"])?;
    let list = if said.is_array() { &said } else { &said["responses"] };
    Ok(list.as_array().context("no list of responses")?.clone())
}

/// The first tenant may reach the third, until it scans somebody.
fn denied(site: &mut Site) -> Result<()> {
    with_response(site, &json!({ "kind": "deny-new", "expires": "6s" }))?;
    ensure!(site.dial("n1-t1-p1", "n1-t3-p1")?.to_string() == "ok", "refused before anything happened");
    let ip = site.address("n1-t3-p1")?.ip().to_string();
    let talk = site.lab().probe("n1-t3-p1")?;
    drop((ip, talk));
    scan(site, "n1-t1-p2", INTRUDER)?;
    wait::until_true("a response", LIMIT, || Ok(!responses(site)?.is_empty()))?;
    let outcome = site.dial("n1-t1-p1", "n1-t3-p1")?;
    ensure!(outcome.is_denied(), "a new flow passes: {outcome}");
    let refused = site.stored(&["--reason", "response_denied", "--tenant", "t1"], 1)?;
    ensure!(refused.iter().all(|record| record["verdict"] == "deny"), "{refused:#?}");
    wait::until_true("the response expires", LIMIT, || {
        Ok(site.dial("n1-t1-p1", "n1-t3-p1")?.to_string() == "ok")
    })?;
    wait::until_true("it is ended", LIMIT, || Ok(responses(site)?.is_empty()))?;
    let told = site.stored(&["--type", "response", "--tenant", "t1"], 2)?;
    let events: Vec<&str> = told.iter().filter_map(|record| record["note"]["event"].as_str()).collect();
    ensure!(events.contains(&"started") && events.contains(&"ended"), "{events:?}");
    Ok(())
}

fn dry(site: &mut Site) -> Result<()> {
    with_response(site, &json!({ "kind": "deny-new", "expires": "1m", "dryRun": true }))?;
    scan(site, "n1-t1-p2", INTRUDER)?;
    let told = site.stored(&["--type", "response", "--tenant", "t1"], 1)?;
    ensure!(told.iter().any(|record| record.to_string().contains("would")), "{told:#?}");
    let outcome = site.dial("n1-t1-p1", "n1-t3-p1")?;
    ensure!(outcome.to_string() == "ok", "a dry run refuses: {outcome}");
    Ok(())
}
