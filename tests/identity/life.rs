//! The agent may end in any way; what it has given out, it serves again.

use anyhow::{Result, ensure};
use enforcer_lab::config::Config;
use enforcer_tests::runner::Case;

use crate::site::Site;

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "life::a_restart_keys_nobody_anew", reasons: &[], run: restarted },
    Case { name: "life::a_killed_agent_keys_nobody_anew", reasons: &[], run: killed },
    Case { name: "life::a_rotation_just_before_the_end_is_not_lost", reasons: &[], run: late },
];

fn restarted(site: &mut Site) -> Result<()> {
    same(site, Site::stop)
}

fn killed(site: &mut Site) -> Result<()> {
    same(site, Site::kill)
}

fn same(site: &mut Site, end: fn(&mut Site, &str) -> Result<()>) -> Result<()> {
    let (before, trust) = (site.serials("n1")?, site.trust_domain("n1", "t1")?);
    ensure!(before.len() > 6, "few are served: {before:?}");
    let watch = site.client("n1-t1-p1")?.start(&["watch"])?;
    watch.svid_other_than(&[])?;
    end(site, "n1")?;
    // E-5: it may come back, which is not the same as having no identity.
    let said = watch.hears("the stream ends", |said| matches!(said, crate::client::Said::Refused { .. }))?;
    ensure!(!crate::heard::is_denial(&said), "{said:?}");
    site.resume("n1", &Config::default())?;
    site.settle("n1")?;
    let after = site.serials("n1")?;
    ensure!(before == after, "{before:?} became {after:?}");
    let now = site.trust_domain("n1", "t1")?;
    ensure!(trust["authoritiesPem"] == now["authoritiesPem"], "another authority: {trust} then {now}");
    ensure!(trust["sequence"].as_u64() <= now["sequence"].as_u64(), "B-2: {trust} then {now}");
    let (_, serial) = site.client("n1-t1-p1")?.identity()?;
    ensure!(before.get("n1-t1-p1") == Some(&serial), "it is served {serial}");
    Ok(())
}

/// Kept means: on the disk by the time that an orderly end is over.
fn late(site: &mut Site) -> Result<()> {
    let old = site.serials("n1")?;
    site.ctl("n1")?.run(&["identity", "rotate", "--tenant", "t2"], "")?;
    site.listed("n1-t2-p1", "rotated", |one| {
        one["serial"].as_str() != old.get("n1-t2-p1").map(String::as_str) && one["state"] == "valid"
    })?;
    let before = site.serials("n1")?;
    site.stop("n1")?;
    site.resume("n1", &Config::default())?;
    site.settle("n1")?;
    let after = site.serials("n1")?;
    ensure!(before == after, "{before:?} became {after:?}");
    Ok(())
}
