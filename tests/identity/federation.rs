//! The endpoint for other fleets (SPIFFE Federation, profile `https_web`): anybody may have the bundles that
//! are listed, and nobody the others.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::heard::Heard;
use crate::openssl::{text, web};
use crate::site::{LIMIT, Site, domain_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "federation::a_listed_bundle_is_for_everybody_and_another_for_nobody",
        reasons: &[],
        run: listed,
    },
    Case { name: "federation::a_new_authority_and_a_revocation_are_published", reasons: &[], run: changes },
];

const PORT: u16 = 9443;

/// An HTTP response.
struct Response {
    status: String,
    head: String,
    body: String,
}

/// Opens the endpoint of `n1` for t1, and hands back its web certificate.
fn publish(site: &mut Site) -> Result<String> {
    let address = site.node("n1")?.v4.to_string();
    let (certificate, key) = web(&site.scratch("web")?, &address)?;
    let words = json!({
        "address": format!("{address}:{PORT}"), "certificate": certificate, "key": key, "tenants": ["t1"],
    });
    site.again("n1", &Config::default().with_identity(&json!({ "federation": words })))?;
    text(&certificate)
}

/// GET by way of `openssl s_client`, from a process of the node, with no certificate of its own (F-3).
fn get(site: &Site, ca: &str, path: &str) -> Result<Response> {
    let address = format!("{}:{PORT}", site.node("n1")?.v4);
    let mut command = site.place("n1")?.command("openssl")?;
    command.args(["s_client", "-quiet", "-connect", &address, "-CAfile", ca, "-verify_return_error"]);
    let errors = site.scratch("get")?.join("stderr");
    command.stderr(File::create(&errors)?);
    let mut client = Heard::start(command, &format!("GET {path}"))?;
    client.tell(&format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r"))?;
    wait::until_true("the response ends", LIMIT, || Ok(client.has_ended()))?;
    // A head without a body ends with an empty line, too.
    let all = format!("{}\n", client.lines().join("\n").replace('\r', ""));
    let (head, body) = all.split_once("\n\n").with_context(|| said(&errors))?;
    let status = head.split(' ').nth(1).context("no status")?;
    Ok(Response { status: status.to_owned(), head: head.to_ascii_lowercase(), body: body.to_owned() })
}

fn said(errors: &Path) -> String {
    std::fs::read_to_string(errors).unwrap_or_default()
}

/// B-1 to B-3, F-3, F-4.
fn listed(site: &mut Site) -> Result<()> {
    let ca = publish(site)?;
    let path = format!("/{}", domain_of("t1"));
    let response = get(site, &ca, &path)?;
    ensure!(response.status == "200", "{path}: {}", response.head);
    ensure!(response.head.contains("content-type: application/json"), "{}", response.head);
    let published: Value = serde_json::from_str(&response.body).with_context(|| response.body.clone())?;
    let own: Value =
        serde_json::from_str(site.trust_domain("n1", "t1")?["bundle"].as_str().context("no bundle")?)?;
    ensure!(published == own, "published {published}, in force {own}");
    let keys = published["keys"].as_array().context("B-1: no keys")?;
    let of = |used: &str| keys.iter().filter(|key| key["use"] == used).count();
    ensure!(of("x509-svid") == 1 && of("jwt-svid") >= 1, "X-11, J-5: {published}");
    let is_right = |key: &Value| {
        let x5c = key["x5c"].as_array().map(Vec::len);
        if key["use"] == "x509-svid" {
            x5c == Some(1) && key["kid"].is_null()
        } else {
            key["kid"].is_string()
        }
    };
    ensure!(keys.iter().all(is_right), "X-11, J-5: {published}");
    ensure!(
        published["spiffe_sequence"].is_u64() && published["spiffe_refresh_hint"].is_u64(),
        "{published}"
    );
    for other in [domain_of("t2"), "lab.internal".to_owned(), "nobody".to_owned(), "../agent.yaml".to_owned()]
    {
        let response = get(site, &ca, &format!("/{other}"))?;
        ensure!(response.status == "404", "{other}: {} {}", response.head, response.body);
        ensure!(!response.body.contains("keys"), "{other}: {}", response.body);
    }
    Ok(())
}

fn changes(site: &mut Site) -> Result<()> {
    let ca = publish(site)?;
    let path = format!("/{}", domain_of("t1"));
    let authorities = |site: &Site| -> Result<(usize, u64)> {
        let bundle: Value = serde_json::from_str(&get(site, &ca, &path)?.body)?;
        let keys = bundle["keys"].as_array().context("no keys")?;
        let count = keys.iter().filter(|key| key["use"] == "x509-svid").count();
        Ok((count, bundle["spiffe_sequence"].as_u64().context("no sequence")?))
    };
    let (count, first) = authorities(site)?;
    ensure!(count == 1, "{count} authorities");
    site.ctl("n1")?.run(&["identity", "rotate", "--tenant", "t1", "--authority"], "")?;
    wait::until_true("the new authority is published beside the old one", LIMIT, || {
        let (count, sequence) = authorities(site)?;
        Ok(count == 2 && sequence > first)
    })?;
    site.ctl("n1")?.run(&["identity", "revoke", "--tenant", "t1", "--reason", "a test", "--yes"], "")?;
    wait::until_true("nothing of a revoked tenant is published", LIMIT, || Ok(authorities(site)?.0 == 0))
}
