//! A certificate is followed by another before it ends, and the other comes by itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, bail, ensure};
use enforcer_lab::config::Config;
use enforcer_tests::runner::Case;
use serde_json::json;

use crate::client::Said;
use crate::openssl::{Papers, verifies};
use crate::site::Site;

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "rotation::a_stream_is_given_a_successor_before_its_certificate_ends",
        reasons: &[],
        run: successors,
    },
    Case {
        name: "rotation::an_operator_can_ask_for_it_and_only_whom_it_names_is_touched",
        reasons: &[],
        run: by_hand,
    },
    Case { name: "rotation::a_new_authority_overlaps_with_the_old_one", reasons: &[], run: authority },
];

const LIFETIME: Duration = Duration::from_secs(20);

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// At half life, more or less: what comes early enough to be in time, and is no faster than it needs to be.
fn successors(site: &mut Site) -> Result<()> {
    let words = json!({ "lifetimes": { "svid": format!("{}s", LIFETIME.as_secs()) } });
    site.anew("n1", &Config::default().with_identity(&words))?;
    let papers = Papers::of(site, "n1-t1-p1")?;
    let watch = site.client("n1-t1-p1")?.start(&["watch"])?;
    let mut known: Vec<String> = Vec::new();
    let mut end = i64::MAX;
    for round in 0..3 {
        let serials: Vec<&str> = known.iter().map(String::as_str).collect();
        let said = watch.svid_other_than(&serials)?;
        let Said::Svid { serial, not_after, .. } = said else { bail!("{said:?}") };
        let now = now();
        ensure!(now < end, "certificate {round} had ended when its successor came");
        ensure!(not_after - now <= i64::try_from(LIFETIME.as_secs())?, "now {now}, and until {not_after}");
        if round == 1 {
            let (good, said) = verifies(&papers, &papers.dir.join("bundle.pem"))?;
            ensure!(good, "the first one is no longer good when the second is there: {said}");
        }
        end = not_after;
        known.push(serial);
    }
    let listed = site.identity("n1-t1-p1")?;
    ensure!(listed["issued"].as_u64() < Some(12), "three were enough: {listed}");
    Ok(())
}

fn by_hand(site: &mut Site) -> Result<()> {
    let before = site.serials("n1")?;
    let watch = site.client("n1-t1-p1")?.start(&["watch"])?;
    watch.svid_other_than(&[])?;
    site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p1"], "")?;
    let said = watch.svid_other_than(&[before["n1-t1-p1"].as_str()])?;
    let Said::Svid { serial, .. } = said else { bail!("{said:?}") };
    let after = site.serials("n1")?;
    ensure!(after["n1-t1-p1"] == serial, "served {serial}, listed {}", after["n1-t1-p1"]);
    let touched = after.iter().filter(|(name, serial)| before.get(*name) != Some(serial));
    let touched: Vec<&str> = touched.map(|(name, _)| name.as_str()).collect();
    ensure!(touched == ["n1-t1-p1"], "{touched:?}");
    let answer = site.ctl("n1")?.call(&["identity", "rotate", "nobody"], "")?;
    ensure!(answer.code != 0, "nobody was rotated: {}", answer.out);
    Ok(())
}

/// F-9: the new key is published first, beside the old one, and what the old one signed stays good.
fn authority(site: &mut Site) -> Result<()> {
    let old = Papers::of(site, "n1-t1-p1")?;
    let watch = site.client("n1-t1-p1")?.start(&["watch"])?;
    watch.svid_other_than(&[])?;
    let sequence = site.trust_domain("n1", "t1")?["sequence"].clone();
    site.ctl("n1")?.run(&["identity", "rotate", "--tenant", "t1", "--authority"], "")?;
    watch.hears(
        "two authorities",
        |said| matches!(said, Said::Svid { bundles, .. } if bundles.values().eq([&2])),
    )?;
    let domain = site.trust_domain("n1", "t1")?;
    ensure!(domain["sequence"].as_u64() > sequence.as_u64(), "B-2: {sequence} became {}", domain["sequence"]);
    let bundle = site.scratch("overlap")?.join("bundle.pem");
    std::fs::write(&bundle, domain["authoritiesPem"].as_str().unwrap_or_default())?;
    let (good, said) = verifies(&old, &bundle)?;
    ensure!(good, "what the old authority signed: {said}");
    let other = site.trust_domain("n1", "t2")?;
    ensure!(
        other["authoritiesNotAfter"].as_array().map(Vec::len) == Some(1),
        "t2 has a new one too: {other}"
    );
    site.mark_changed();
    Ok(())
}
