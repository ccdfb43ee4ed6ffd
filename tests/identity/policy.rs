//! The policy gives identities, and takes them back.

use anyhow::{Result, ensure};
use enforcer_lab::policy::Kind;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::site::{Site, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "policy::a_workload_that_goes_loses_its_stream", reasons: &[], run: gone },
    Case {
        name: "policy::a_workload_without_a_name_is_denied_and_the_list_says_why",
        reasons: &[],
        run: nameless,
    },
    Case { name: "policy::another_service_account_is_another_identity", reasons: &[], run: renamed },
];

fn gone(site: &mut Site) -> Result<()> {
    let client = site.client("n1-t1-p1")?;
    let (watch, neighbour) = (client.start(&["watch"])?, site.client("n1-t1-p2")?.start(&["watch"])?);
    for stream in [&watch, &neighbour] {
        stream.svid_other_than(&[])?;
    }
    site.apply(&site.policy().without(Kind::Workload, "n1-t1-p1"))?;
    watch.is_denied()?;
    client.is_denied()?;
    ensure!(!neighbour.has_ended(), "its neighbour's stream has ended");
    site.apply(&site.policy())?;
    site.settle("n1")?;
    client.identity().map(drop)
}

fn nameless(site: &mut Site) -> Result<()> {
    site.apply(&site.policy().with_word(Kind::Workload, "n1-t1-p1", "serviceAccount", Value::Null))?;
    let listed = site.listed("n1-t1-p1", "denied", |one| one["state"] == "denied")?;
    ensure!(listed["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "no reason: {listed}");
    ensure!(listed["spiffeId"].is_null(), "{listed}");
    site.client("n1-t1-p1")?.is_denied()?;
    site.client("n1-t1-p2")?.identity().map(drop)
}

fn renamed(site: &mut Site) -> Result<()> {
    let client = site.client("n1-t1-p1")?;
    let (before, _) = client.identity()?;
    site.apply(&site.policy().with_word(Kind::Workload, "n1-t1-p1", "serviceAccount", json!("other")))?;
    let wanted = before.replace("/sa/n1-t1-p1", "/sa/other");
    site.listed("n1-t1-p1", "renamed", |one| one["spiffeId"] == wanted.as_str() && one["state"] == "valid")?;
    let (after, _) = client.identity()?;
    ensure!(after == wanted, "{before} became {after}");
    site.apply(&site.policy())?;
    let own = id_of(site.workload("n1-t1-p1")?);
    site.listed("n1-t1-p1", "its old name", |one| {
        one["spiffeId"] == own.as_str() && one["state"] == "valid"
    })?;
    ensure!(client.identity()?.0 == own, "it kept the other name");
    Ok(())
}
