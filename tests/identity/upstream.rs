//! The tenants' authorities below an organisation's own root, on disk.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::json;

use crate::openssl::{Papers, Root, verifies};
use crate::site::Site;

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "upstream::chains_lead_to_a_root_on_disk_and_to_the_bundle", reasons: &[], run: on_disk },
    Case {
        name: "upstream::a_root_that_is_replaced_on_disk_signs_without_a_restart",
        reasons: &[],
        run: replaced,
    },
    Case {
        name: "upstream::a_root_that_is_gone_or_wrong_changes_nothing_that_is_served",
        reasons: &[],
        run: gone,
    },
];

/// A new authority waits for several refresh hints before it signs.
const PATIENCE: Duration = Duration::from_secs(60);

fn below(root: &Root) -> Config {
    let disk = json!({ "certificate": root.certificate, "key": root.key });
    Config::default().with_identity(&json!({ "upstream": { "disk": disk } }))
}

fn on_disk(site: &mut Site) -> Result<()> {
    let root = Root::make(&site.scratch("root")?, "Example Root")?;
    let other = Root::make(&site.scratch("other")?, "Other Root")?;
    site.anew("n1", &below(&root))?;
    ensure!(site.list("n1")?["health"]["upstream"] == "disk", "{}", site.list("n1")?["health"]);
    for name in ["n1-t1-p1", "n1-t2-p1"] {
        let papers = Papers::of(site, name)?;
        for authorities in [&root.certificate, &papers.dir.join("bundle.pem")] {
            let (good, said) = verifies(&papers, authorities)?;
            ensure!(good, "{name}, to {}: {said}", authorities.display());
        }
        let (good, said) = verifies(&papers, &other.certificate)?;
        ensure!(!good, "{name} is good to a root that never signed: {said}");
    }
    Ok(())
}

/// A tenant's new authority is below the root that is there now. It signs once everybody had time to learn it,
/// and node CAs come from it when they are renewed: short lives make that seconds.
fn replaced(site: &mut Site) -> Result<()> {
    let root = Root::make(&site.scratch("root")?, "Example Root 1")?;
    let next = Root::make(&site.scratch("next")?, "Example Root 2")?;
    let lifetimes = json!({ "svid": "15s", "node": "30s" });
    let words = json!({ "refreshHint": "1s", "lifetimes": lifetimes });
    site.anew("n1", &below(&root).with_identity(&words))?;
    let before = Papers::of(site, "n1-t1-p1")?;
    let (good, said) = verifies(&before, &root.certificate)?;
    ensure!(good, "before: {said}");
    fs::copy(&next.key, &root.key)?;
    fs::copy(&next.certificate, &root.certificate)?;
    site.ctl("n1")?.run(&["identity", "rotate", "--tenant", "t1", "--authority"], "")?;
    let mut last = String::new();
    let waited = wait::until_true("t1's chains lead to the new root", PATIENCE, || {
        let (good, said) = verifies(&Papers::of(site, "n1-t1-p1")?, &next.certificate)?;
        last = said;
        Ok(good)
    });
    waited.with_context(|| last)?;
    let papers = Papers::of(site, "n1-t1-p1")?;
    let (good, said) = verifies(&papers, &papers.dir.join("bundle.pem"))?;
    ensure!(good, "to its bundle: {said}");
    Ok(())
}

fn gone(site: &mut Site) -> Result<()> {
    site.expect_errors();
    let root = Root::make(&site.scratch("root")?, "Example Root")?;
    let stranger = Root::make(&site.scratch("stranger")?, "A Stranger")?;
    site.anew("n1", &below(&root))?;
    let serials = site.serials("n1")?;
    let key = fs::read(&root.key)?;
    // A key that is not the certificate's, then none, then noise.
    for wrong in [Some(fs::read(&stranger.key)?), None, Some(b"-----BEGIN".to_vec())] {
        match wrong {
            Some(wrong) => fs::write(&root.key, wrong)?,
            None => fs::remove_file(&root.key)?,
        }
        site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p1"], "")?;
        site.listed("n1-t1-p1", "valid", |one| one["state"] == "valid")?;
        site.client("n1-t1-p1")?.identity()?;
    }
    ensure!(site.serials("n1")?.get("n1-t2-p1") == serials.get("n1-t2-p1"), "t2 was touched");
    fs::write(&root.key, key)?;
    crate::openssl::private(&root.key)?;
    site.stop("n1")?;
    site.resume("n1", &below(&root))?;
    site.settle("n1")
}
