//! py-spiffe: what a program in Python is told.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::heard::Heard;
use crate::outside;
use crate::site::{Site, domain_of, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "python::a_workload_is_given_its_own_identity", reasons: &[], run: own_identity },
    Case { name: "python::nobody_is_refused", reasons: &[], run: nobody },
    Case { name: "python::a_source_follows_a_rotation", reasons: &[], run: source },
    Case { name: "python::a_token_is_valid_for_its_audience_and_no_other", reasons: &[], run: tokens },
];

const AUDIENCE: &str = "https://db.example";

fn asked(mut command: Command, input: &str) -> Result<Value> {
    let out = outside::run(&mut command, input)?;
    let last = out.lines().rfind(|line| line.starts_with('{')).with_context(|| out.clone())?;
    serde_json::from_str(last).with_context(|| out.clone())
}

fn own_identity(site: &mut Site) -> Result<()> {
    for name in ["n1-t1-p1", "n1-t2-p2"] {
        let workload = site.workload(name)?;
        let said = asked(outside::python(&site.client(name)?, &["fetch"])?, "")?;
        ensure!(said["id"] == id_of(workload).as_str(), "{name} is told {said}");
        ensure!(said["chain"] == 3, "{name}: {said}");
        let domain = domain_of(&workload.tenant);
        ensure!(said["bundles"] == json!({ domain: 1 }), "{name} is told to trust {}", said["bundles"]);
        ensure!(said["serial"] == site.identity(name)?["serial"], "{name} is served {said}");
    }
    Ok(())
}

fn nobody(site: &mut Site) -> Result<()> {
    for place in ["n1", "world"] {
        let said = asked(outside::python(&site.client(place)?, &["fetch"])?, "")?;
        ensure!(said["error"].is_string() && said["id"].is_null(), "{place}: {said}");
        let said = asked(outside::python(&site.client(place)?, &["jwt", AUDIENCE])?, "")?;
        ensure!(said["error"].is_string() && said["token"].is_null(), "{place}: {said}");
    }
    Ok(())
}

fn source(site: &mut Site) -> Result<()> {
    let python = outside::python(&site.client("n1-t1-p1")?, &["source"])?;
    let source = Heard::start(python, "X509Source in n1-t1-p1")?;
    let first: Value = serde_json::from_str(&source.line("a first SVID", |line| line.starts_with('{'))?)?;
    let serial = first["serial"].as_str().with_context(|| first.to_string())?.to_owned();
    site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p1"], "")?;
    let is_other = |line: &str| {
        let said: Value = serde_json::from_str(line).unwrap_or_default();
        said["serial"].as_str().is_some_and(|other| other != serial)
    };
    let second: Value = serde_json::from_str(&source.line("another SVID", is_other)?)?;
    ensure!(second["id"] == first["id"], "{first} became {second}");
    ensure!(second["serial"] == site.identity("n1-t1-p1")?["serial"], "served {second}");
    Ok(())
}

fn tokens(site: &mut Site) -> Result<()> {
    let said = asked(outside::python(&site.client("n1-t1-p1")?, &["jwt", AUDIENCE])?, "")?;
    let id = id_of(site.workload("n1-t1-p1")?);
    ensure!(said["id"] == id.as_str() && said["audience"] == json!([AUDIENCE]), "{said}");
    let token = said["token"].as_str().with_context(|| said.to_string())?;
    let peer = site.client("n1-t1-p2")?;
    let said = asked(outside::python(&peer, &["validate", AUDIENCE])?, token)?;
    ensure!(said["id"] == id.as_str(), "a peer validates: {said}");
    let said = asked(outside::python(&peer, &["validate", "https://other.example"])?, token)?;
    ensure!(said["error"].is_string(), "a token for somebody else: {said}");
    let said = asked(outside::python(&site.client("n1-t2-p1")?, &["validate", AUDIENCE])?, token)?;
    ensure!(said["error"].is_string(), "another tenant validates: {said}");
    Ok(())
}
