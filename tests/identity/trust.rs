//! A rule between two tenants is what makes each trust the other's authority, and its end is what ends that.

use anyhow::Result;
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::client::Said;
use crate::site::{Site, domain_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "trust::a_rule_federates_two_tenants_and_its_end_parts_them", reasons: &[], run: rule },
    Case { name: "trust::a_rule_that_denies_federates_nobody", reasons: &[], run: denying },
];

/// W-11: keyed by trust domain, beside the tenant's own.
fn rule(site: &mut Site) -> Result<()> {
    let watches = [("n1-t1-p1", "t1"), ("n1-t2-p1", "t2"), ("n1-t3-p1", "t3")];
    let mut streams = Vec::new();
    for (name, own) in watches {
        let stream = site.client(name)?.start(&["watch"])?;
        stream.hears("its own bundle alone", |said| trusts(said, &[own]))?;
        streams.push(stream);
    }
    let [one, two, three] = streams.as_slice() else { anyhow::bail!("three streams") };
    site.apply(&site.policy().with_rule("meet", "t1", "t2", "allow", &Value::Null))?;
    one.hears("t2's bundle too", |said| trusts(said, &["t1", "t2"]))?;
    two.hears("t1's bundle too", |said| trusts(said, &["t1", "t2"]))?;
    let heard = [one, two, three].map(|stream| stream.lines().len());
    site.apply(&site.policy())?;
    for (stream, known, own) in [(one, heard[0], "t1"), (two, heard[1], "t2")] {
        enforcer_lab::wait::until_true("the other bundle is withdrawn", crate::site::LIMIT, || {
            Ok(stream.said()?.iter().skip(known).any(|said| trusts(said, &[own])))
        })?;
    }
    let strayed = three.said()?.into_iter().find(|said| !trusts(said, &["t3"]));
    anyhow::ensure!(strayed.is_none(), "t3 was told {strayed:?}");
    Ok(())
}

fn denying(site: &mut Site) -> Result<()> {
    site.apply(&site.policy().with_rule("part", "t1", "t2", "deny", &Value::Null))?;
    for (name, own) in [("n1-t1-p1", "t1"), ("n1-t2-p1", "t2")] {
        let said = site.client(name)?.ask(&["fetch"])?;
        anyhow::ensure!(trusts(&said, &[own]), "{name} is told {said:?}");
    }
    Ok(())
}

/// True when it is told to trust exactly these tenants.
fn trusts(said: &Said, tenants: &[&str]) -> bool {
    let Said::Svid { bundles, .. } = said else { return false };
    bundles.keys().cloned().eq(tenants.iter().map(|tenant| domain_of(tenant)))
}
