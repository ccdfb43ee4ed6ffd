//! A disk that lies, and a disk that is full.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::mount;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;

use crate::site::{LIMIT, Site, domain_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "disk::a_truncated_authority_is_an_error_and_is_never_replaced",
        reasons: &[],
        run: truncated,
    },
    Case {
        name: "disk::a_corrupt_certificate_is_issued_anew_and_the_others_are_kept",
        reasons: &[],
        run: corrupt,
    },
    Case { name: "disk::a_full_disk_is_an_error_and_what_is_served_stays", reasons: &[], run: full },
];

/// Kibibytes: enough for the state of a small lab.
const SMALL: u32 = 4_096;
/// What a tenant's authority is kept under.
const AUTHORITY: &str = "authority";

fn drawer(site: &Site, tenant: &str) -> Result<PathBuf> {
    Ok(site.node("n1")?.dir.join("state/identity").join(domain_of(tenant)))
}

fn shorten(path: &Path) -> Result<Vec<u8>> {
    let whole = fs::read(path).with_context(|| format!("{}", path.display()))?;
    let half = whole.get(..whole.len() / 2).unwrap_or_default().to_vec();
    fs::write(path, &half)?;
    Ok(half)
}

fn truncated(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.mark_changed();
    let serials = site.serials("n1")?;
    let file = drawer(site, "t1")?.join(AUTHORITY);
    site.stop("n1")?;
    let half = shorten(&file)?;
    let told = site.log("n1")?.len();
    site.resume("n1", &Config::default())?;
    for name in ["n1-t2-p1", "n1-t3-p1"] {
        let listed = site.listed(name, "served as before", |one| one["state"] == "valid")?;
        ensure!(
            Some(listed["serial"].as_str().unwrap_or_default()) == serials.get(name).map(String::as_str),
            "{listed}"
        );
        site.client(name)?.identity()?;
    }
    let domain = domain_of("t1");
    wait::until_true("the log names the trust domain whose authority cannot be read", LIMIT, || {
        let log = site.log("n1")?;
        let is_said =
            |line: &str| line.contains(&domain) && (line.contains("\"WARN\"") || line.contains("\"ERROR\""));
        Ok(log.get(told..).unwrap_or_default().lines().any(is_said))
    })?;
    // Asking for something new of it must not make a new one.
    site.ctl("n1")?.call(&["identity", "rotate", "--tenant", "t1", "--authority"], "")?;
    ensure!(fs::read(&file)? == half, "the authority was overwritten");
    Ok(())
}

fn corrupt(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.mark_changed();
    let serials = site.serials("n1")?;
    site.stop("n1")?;
    let entries = fs::read_dir(drawer(site, "t1")?)?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let is_svid =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("svid-"));
    let Some(file) = paths.iter().find(is_svid) else { bail!("no sealed SVID among {paths:?}") };
    let mut bytes = fs::read(file)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, &bytes)?;
    site.resume("n1", &Config::default())?;
    site.settle("n1")?;
    let after = site.serials("n1")?;
    let touched = serials.iter().filter(|(name, serial)| after.get(*name) != Some(serial));
    let touched: Vec<&String> = touched.map(|(name, _)| name).collect();
    ensure!(
        touched.len() == 1 && touched.iter().all(|name| name.starts_with("n1-t1-")),
        "issued anew: {touched:?}"
    );
    Ok(())
}

fn full(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.wipe("n1")?;
    let state = site.node("n1")?.dir.join("state");
    mount::small(&state, SMALL)?;
    let outcome = on_a_full_disk(site, &state);
    // The next case wants its disk back.
    let stopped = if site.lab().runs_agent("n1") { site.stop("n1") } else { Ok(()) };
    outcome.and(stopped).and(mount::clear(&state))
}

fn on_a_full_disk(site: &mut Site, state: &Path) -> Result<()> {
    site.start("n1", &Config::default())?;
    let serials = site.serials("n1")?;
    let watch = site.client("n1-t1-p1")?.start(&["watch"])?;
    watch.svid_other_than(&[])?;
    let told = site.log("n1")?.len();
    let ballast = state.join("ballast");
    fill(&ballast)?;
    site.ctl("n1")?.call(&["identity", "rotate", "n1-t1-p1"], "")?;
    wait::until_true("the log says that the disk is full", LIMIT, || {
        Ok(site.log("n1")?.get(told..).unwrap_or_default().contains("No space left"))
    })?;
    for name in ["n1-t1-p1", "n1-t1-p2", "n1-t2-p1"] {
        site.client(name)?.identity().with_context(|| format!("{name}, on a full disk"))?;
    }
    ensure!(!watch.has_ended(), "the stream has ended: {:?}", watch.lines());
    let kept = site.serials("n1")?;
    ensure!(kept.get("n1-t2-p1") == serials.get("n1-t2-p1"), "t2 was touched");
    fs::remove_file(&ballast)?;
    site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p1"], "")?;
    let now = kept.get("n1-t1-p1").cloned().unwrap_or_default();
    site.listed("n1-t1-p1", "rotated", |one| one["state"] == "valid" && one["serial"] != now.as_str())?;
    let served = site.serials("n1")?;
    site.stop("n1")?;
    site.resume("n1", &Config::default())?;
    site.settle("n1")?;
    ensure!(site.serials("n1")? == served, "what was served after the disk had room again is not kept");
    Ok(())
}

/// Until not a byte more fits.
fn fill(path: &Path) -> Result<()> {
    use std::io::Write as _;
    let mut file = fs::File::create(path)?;
    let block = [0_u8; 4096];
    loop {
        match file.write_all(&block) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::ENOSPC) => return Ok(()),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        }
    }
}
