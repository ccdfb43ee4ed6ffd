//! Taken away: served no more, issued no more, believed no more; and given back.

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::client::Said;
use crate::openssl::{Papers, openssl};
use crate::outside::outcome;
use crate::site::{LIMIT, Site, domain_of, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "revocation::a_workload_loses_its_stream_and_every_call_and_nobody_else_does",
        reasons: &[],
        run: workload,
    },
    Case {
        name: "revocation::a_list_names_what_was_revoked_and_openssl_refuses_it",
        reasons: &[],
        run: list,
    },
    Case {
        name: "revocation::a_token_of_a_workload_that_is_revoked_by_name_is_believed_no_more",
        reasons: &[],
        run: by_name,
    },
    Case { name: "revocation::a_spiffe_id_is_revoked_wherever_it_is", reasons: &[], run: by_id },
    Case { name: "revocation::a_tenant_loses_everything_and_its_bundle_is_empty", reasons: &[], run: tenant },
    Case { name: "revocation::it_is_in_force_after_a_restart", reasons: &[], run: restarted },
    Case { name: "revocation::nobody_and_everybody_are_not_revoked", reasons: &[], run: nobody },
];

const AUDIENCE: &str = "https://db.example";

fn revoke(site: &Site, target: &[&str]) -> Result<()> {
    let words = [&["identity", "revoke"], target, &["--reason", "a test", "--yes"]].concat();
    site.ctl("n1")?.run(&words, "").map(drop)
}

fn restore(site: &Site, target: &[&str]) -> Result<()> {
    site.ctl("n1")?.run(&[&["identity", "restore"], target].concat(), "").map(drop)
}

fn workload(site: &mut Site) -> Result<()> {
    let client = site.client("n1-t1-p1")?;
    let (_, serial) = client.identity()?;
    let watch = client.start(&["watch"])?;
    let neighbour = site.client("n1-t1-p2")?.start(&["watch"])?;
    for stream in [&watch, &neighbour] {
        stream.svid_other_than(&[])?;
    }
    revoke(site, &["n1-t1-p1"])?;
    watch.is_denied()?;
    client.is_denied()?;
    let said = client.ask(&["jwt", AUDIENCE])?;
    ensure!(crate::heard::is_denial(&said), "a token all the same: {said:?}");
    let listed = site.identity("n1-t1-p1")?;
    ensure!(listed["state"] == "revoked" && listed["serial"].is_null(), "{listed}");
    ensure!(!neighbour.has_ended(), "its neighbour's stream has ended");
    site.client("n1-t1-p2")?.identity()?;
    restore(site, &["n1-t1-p1"])?;
    site.listed("n1-t1-p1", "valid again", |one| one["state"] == "valid")?;
    let (id, after) = client.identity()?;
    ensure!(id == id_of(site.workload("n1-t1-p1")?), "{id}");
    ensure!(after != serial, "the very certificate that was revoked came back");
    Ok(())
}

/// Peers that do their own TLS learn it from the list that comes with their own certificate.
fn list(site: &mut Site) -> Result<()> {
    let papers = Papers::of(site, "n1-t1-p1")?;
    revoke(site, &["n1-t1-p1"])?;
    let mut peer = Papers::of(site, "n1-t1-p2")?;
    wait::until_true("a list comes with the peer's files", LIMIT, || {
        peer = Papers::of(site, "n1-t1-p2")?;
        Ok(peer.dir.join("crl.pem").exists())
    })?;
    let checked = |papers: &Papers| -> Result<(bool, String)> {
        let (svid, crl, bundle) = (papers.file("svid.pem")?, peer.file("crl.pem")?, peer.file("bundle.pem")?);
        let words =
            ["verify", "-crl_check", "-CRLfile", &crl, "-CAfile", &bundle, "-untrusted", &svid, &svid];
        outcome(&mut openssl(&words), "")
    };
    let (good, said) = checked(&papers)?;
    ensure!(!good && said.contains("certificate revoked"), "what was revoked: {said}");
    let (good, said) = checked(&peer)?;
    ensure!(good, "the peer's own: {said}");
    let other = Papers::of(site, "n1-t2-p1")?;
    ensure!(!other.dir.join("crl.pem").exists(), "t2 is told of t1's revocations");
    restore(site, &["n1-t1-p1"])?;
    site.settle("n1")
}

fn by_id(site: &mut Site) -> Result<()> {
    let id = id_of(site.workload("n1-t2-p1")?);
    let said = site.client("n1-t2-p1")?.ask(&["jwt", AUDIENCE])?;
    let Said::Token { token, .. } = said else { bail!("no token: {said:?}") };
    let valid = |site: &Site| site.client("n1-t2-p2")?.ask(&["validate", AUDIENCE, &token]);
    ensure!(matches!(valid(site)?, Said::Token { .. }), "before: {:?}", valid(site)?);
    revoke(site, &["--spiffe-id", &id])?;
    site.listed("n1-t2-p1", "revoked", |one| one["state"] == "revoked")?;
    site.client("n1-t2-p1")?.is_denied()?;
    site.client("n1-t2-p2")?.identity()?;
    ensure!(matches!(valid(site)?, Said::Refused { .. }), "its token is still believed: {:?}", valid(site)?);
    let answer = site.ctl("n1")?.call(&["identity", "restore", "n1-t2-p1"], "")?;
    ensure!(answer.code != 0, "restored in other words than it was revoked in: {}", answer.out);
    restore(site, &["--spiffe-id", &id])?;
    site.listed("n1-t2-p1", "valid again", |one| one["state"] == "valid")?;
    site.client("n1-t2-p1")?.identity().map(drop)
}

/// What a verifier goes by is the ID, which is revoked with the workload.
fn by_name(site: &mut Site) -> Result<()> {
    let said = site.client("n1-t2-p1")?.ask(&["jwt", AUDIENCE])?;
    let Said::Token { token, .. } = said else { bail!("no token: {said:?}") };
    let valid = |site: &Site| site.client("n1-t2-p2")?.ask(&["validate", AUDIENCE, &token]);
    ensure!(matches!(valid(site)?, Said::Token { .. }), "before: {:?}", valid(site)?);
    revoke(site, &["n1-t2-p1"])?;
    ensure!(matches!(valid(site)?, Said::Refused { .. }), "its token is still believed: {:?}", valid(site)?);
    restore(site, &["n1-t2-p1"])?;
    site.settle("n1")?;
    ensure!(matches!(valid(site)?, Said::Token { .. }), "after: {:?}", valid(site)?);
    Ok(())
}

/// B-4, seen by a tenant that is told to trust it, by way of a rule.
fn tenant(site: &mut Site) -> Result<()> {
    site.apply(&site.policy().with_rule("meet", "t1", "t2", "allow", &Value::Null))?;
    let streams = ["n1-t1-p1", "n1-t1-p2"].map(|name| site.client(name)?.start(&["watch"]));
    let streams = streams.into_iter().collect::<Result<Vec<_>>>()?;
    for stream in &streams {
        stream.svid_other_than(&[])?;
    }
    let other = site.client("n1-t2-p1")?;
    let has = |bundles: &std::collections::BTreeMap<String, usize>| bundles.get(&domain_of("t1")).copied();
    trusts(
        &other,
        "t1's authority",
        |said| matches!(said, Said::Svid { bundles, .. } if has(bundles) == Some(1)),
    )?;
    revoke(site, &["--tenant", "t1"])?;
    for stream in &streams {
        stream.is_denied()?;
    }
    for name in ["n1-t1-p1", "n1-t1-p2", "n1-t1-host"] {
        site.client(name)?.is_denied()?;
    }
    trusts(
        &other,
        "nothing of t1",
        |said| matches!(said, Said::Svid { bundles, .. } if has(bundles).unwrap_or_default() == 0),
    )?;
    let domain = site.trust_domain("n1", "t1")?;
    ensure!(domain["revoked"] == true, "{domain}");
    let keys: Value = serde_json::from_str(domain["bundle"].as_str().context("no bundle")?)?;
    ensure!(keys["keys"].as_array().is_some_and(Vec::is_empty), "B-1, B-4: {keys}");
    restore(site, &["--tenant", "t1"])?;
    site.settle("n1")?;
    site.client("n1-t1-p1")?.identity()?;
    trusts(
        &other,
        "t1's authority again",
        |said| matches!(said, Said::Svid { bundles, .. } if has(bundles) == Some(1)),
    )
}

fn trusts(client: &crate::heard::Client, what: &str, fits: impl Fn(&Said) -> bool) -> Result<()> {
    let mut last = None;
    let waited = wait::until_true(&format!("it is told to trust {what}"), LIMIT, || {
        let said = client.ask(&["fetch"])?;
        let is_right = fits(&said);
        last = Some(said);
        Ok(is_right)
    });
    waited.with_context(|| format!("{last:?}"))
}

fn restarted(site: &mut Site) -> Result<()> {
    revoke(site, &["n1-t1-p1"])?;
    site.client("n1-t1-p1")?.is_denied()?;
    site.mark_changed();
    site.kill("n1")?;
    site.resume("n1", &enforcer_lab::config::Config::default())?;
    site.listed("n1-t1-p2", "valid", |one| one["state"] == "valid")?;
    site.client("n1-t1-p1")?.is_denied()?;
    let listed = site.identity("n1-t1-p1")?;
    ensure!(listed["state"] == "revoked", "{listed}");
    restore(site, &["n1-t1-p1"])?;
    site.listed("n1-t1-p1", "valid again", |one| one["state"] == "valid").map(drop)
}

fn nobody(site: &mut Site) -> Result<()> {
    for target in [&["nobody"][..], &["--tenant", "nobody"], &[]] {
        let words = [&["identity", "revoke"], target, &["--reason", "a test", "--yes"]].concat();
        let answer = site.ctl("n1")?.call(&words, "")?;
        ensure!(answer.code != 0, "{target:?} was revoked: {}", answer.out);
    }
    site.settle("n1")
}
