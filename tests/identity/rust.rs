//! The `spiffe` crate: what a program in Rust is told, inside of a workload and outside.

use anyhow::{Result, bail, ensure};
use enforcer_tests::runner::Case;

use crate::client::Said;
use crate::site::{Site, domain_of, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "rust::a_workload_is_given_its_own_identity", reasons: &[], run: own_identity },
    Case { name: "rust::nobody_is_refused", reasons: &[], run: nobody },
    Case { name: "rust::a_call_without_the_security_header_is_refused", reasons: &[], run: headless },
    Case { name: "rust::a_token_is_valid_for_its_audience_and_no_other", reasons: &[], run: tokens },
    Case { name: "rust::a_token_of_another_tenant_is_refused", reasons: &[], run: foreign_token },
];

const AUDIENCE: &str = "https://db.example";

/// W-5, W-10: one SVID, the chain of three, and the bundle of its own trust domain alone.
fn own_identity(site: &mut Site) -> Result<()> {
    for name in ["n1-t1-p1", "n1-t1-p2", "n1-t2-p1", "n1-t3-host"] {
        let workload = site.workload(name)?;
        let said = site.client(name)?.ask(&["fetch"])?;
        let Said::Svid { id, serial, chain, bundles, not_before, not_after } = said else {
            bail!("{name}: {said:?}");
        };
        ensure!(id == id_of(workload), "{name} is told that it is {id}");
        ensure!(chain == 3, "{name}: leaf, node CA and tenant CA, not {chain}");
        let domains: Vec<&str> = bundles.keys().map(String::as_str).collect();
        ensure!(domains == [domain_of(&workload.tenant)], "{name} is told to trust {domains:?}");
        ensure!(bundles.values().all(|authorities| *authorities == 1), "B-6: {bundles:?}");
        ensure!(not_before < not_after, "{name}: valid from {not_before} to {not_after}");
        let listed = site.identity(name)?;
        ensure!(listed["serial"] == serial.as_str(), "served {serial}, listed {}", listed["serial"]);
    }
    Ok(())
}

/// E-5, for processes of the node and of the outside that can reach the socket all the same.
fn nobody(site: &mut Site) -> Result<()> {
    for place in ["n1", "world"] {
        let client = site.client(place)?;
        client.is_denied()?;
        for verb in [&["jwt", AUDIENCE][..], &["watch"]] {
            let said = client.ask(verb)?;
            ensure!(crate::heard::is_denial(&said), "{place}, {verb:?}: {said:?}");
        }
    }
    Ok(())
}

/// E-2: in a workload just as outside of one.
fn headless(site: &mut Site) -> Result<()> {
    for place in ["n1-t1-p1", "n1"] {
        let said = site.client(place)?.ask(&["headless"])?;
        let is_right = matches!(&said, Said::Refused { code, .. } if code == "InvalidArgument");
        ensure!(is_right, "{place} forgot the header: {said:?}");
    }
    Ok(())
}

/// W-7, W-9, J-4.
fn tokens(site: &mut Site) -> Result<()> {
    let said = site.client("n1-t1-p1")?.ask(&["jwt", AUDIENCE])?;
    let Said::Token { token, id, audience, key_id } = said else { bail!("no token: {said:?}") };
    ensure!(id == id_of(site.workload("n1-t1-p1")?), "the token names {id}");
    ensure!(audience == [AUDIENCE] && !key_id.is_empty(), "for {audience:?}, signed with {key_id:?}");
    let peer = site.client("n1-t1-p2")?;
    let valid = peer.ask(&["validate", AUDIENCE, &token])?;
    ensure!(matches!(&valid, Said::Token { id: of, .. } if *of == id), "a peer validates: {valid:?}");
    for (what, audience, token) in [
        ("for somebody else", "https://other.example", token.clone()),
        ("with a broken signature", AUDIENCE, broken(&token)),
    ] {
        let said = peer.ask(&["validate", audience, &token])?;
        let is_right = matches!(&said, Said::Refused { code, .. } if code == "InvalidArgument");
        ensure!(is_right, "a token {what}: {said:?}");
    }
    Ok(())
}

/// A validator knows the keys of its own trust domain and of those it federates with, and no others.
fn foreign_token(site: &mut Site) -> Result<()> {
    let said = site.client("n1-t2-p1")?.ask(&["jwt", AUDIENCE])?;
    let Said::Token { token, .. } = said else { bail!("no token: {said:?}") };
    let own = site.client("n1-t2-p2")?.ask(&["validate", AUDIENCE, &token])?;
    ensure!(matches!(own, Said::Token { .. }), "t2 validates its own: {own:?}");
    let said = site.client("n1-t1-p1")?.ask(&["validate", AUDIENCE, &token])?;
    ensure!(matches!(said, Said::Refused { .. }), "t1 validates a token of t2: {said:?}");
    Ok(())
}

/// The same token with one letter of its signature changed: one in the middle, since the lowest bits of the last
/// one may say nothing.
fn broken(token: &str) -> String {
    let start = token.rfind('.').map_or(0, |dot| dot + 1) + 10;
    let other = if token.get(start..=start) == Some("A") { "B" } else { "A" };
    let (head, tail) = (token.get(..start).unwrap_or(token), token.get(start + 1..).unwrap_or_default());
    format!("{head}{other}{tail}")
}
