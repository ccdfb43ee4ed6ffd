//! The key-encryption key: changed under a running agent, missing, dropped.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::agent::{config_of, place_of};
use enforcer_lab::config::{Config, key_file};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;

use crate::outside;
use crate::site::{LIMIT, Site};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "keys::a_new_key_encryption_key_seals_everything_and_nobody_notices",
        reasons: &[],
        run: rotated,
    },
    Case { name: "keys::without_its_key_the_agent_refuses_to_start", reasons: &[], run: missing },
    Case { name: "keys::a_key_that_others_can_read_is_refused", reasons: &[], run: readable },
    Case { name: "keys::init_makes_no_second_key", reasons: &[], run: once },
];

/// A verb of the agent about the node's configuration.
fn verb(site: &Site, words: &[&str]) -> Result<Command> {
    let mut command = Command::new(&site.lab().binaries().agent);
    command.args(words).arg("--config").arg(config_of(site.node("n1")?));
    Ok(command)
}

fn rotated(site: &mut Site) -> Result<()> {
    let health = |site: &Site| -> Result<serde_json::Value> { Ok(site.list("n1")?["health"].clone()) };
    let (before, serials) = (health(site)?, site.serials("n1")?);
    ensure!(before["keyEncryptionKey"] == "file" && before["sealedWithOlderKeys"] == 0, "{before}");
    site.mark_changed();
    let watch = site.client("n1-t1-p1")?.start(&["watch"])?;
    watch.svid_other_than(&[])?;
    outside::run(&mut verb(site, &["key", "rotate"])?, "")?;
    let mut last = before.clone();
    let waited = wait::until_true("everything is sealed with the new key", LIMIT, || {
        last = health(site)?;
        let is_new = last["keyEncryptionKeyId"] != before["keyEncryptionKeyId"];
        Ok(is_new && last["sealedWithOlderKeys"] == 0)
    });
    waited.with_context(|| format!("{before} then {last}"))?;
    let old = before["keyEncryptionKeyId"].as_str().context("no id")?;
    let said = outside::run(&mut verb(site, &["key", "prune"])?, "")?;
    ensure!(said.contains(&format!("dropped {old}")), "{said}");
    ensure!(!watch.has_ended() && site.serials("n1")? == serials, "somebody was keyed anew");
    site.stop("n1")?;
    site.resume("n1", &Config::default())?;
    site.settle("n1")?;
    ensure!(site.serials("n1")? == serials, "with the new key alone, somebody was keyed anew");
    Ok(())
}

/// What the agent says when it refuses to start.
fn refusal(site: &Site) -> Result<String> {
    let node = site.node("n1")?;
    let mut command = place_of(node).command(&site.lab().binaries().agent)?;
    command.arg("run").arg("--config").arg(config_of(node));
    let errors = site.scratch("refusal")?.join("stderr");
    let mut child = command
        .stdout(fs::File::create(&errors)?)
        .stderr(fs::File::options().append(true).open(&errors)?)
        .spawn()?;
    let ended = wait::until("the agent refuses to start", LIMIT, || Ok(child.try_wait()?));
    let _gone = (child.kill(), child.wait());
    let status = ended?;
    let said = fs::read_to_string(&errors)?;
    ensure!(!status.success(), "it ended well: {said}");
    Ok(said)
}

fn missing(site: &mut Site) -> Result<()> {
    let file = key_file(site.node("n1")?);
    let (serials, aside) = (site.serials("n1")?, file.with_extension("aside"));
    site.mark_changed();
    site.stop("n1")?;
    fs::rename(&file, &aside)?;
    let said = refusal(site)?;
    ensure!(said.contains("enforcer-agent init"), "it does not say what to do: {said}");
    ensure!(!file.exists(), "it made a key by itself");
    fs::rename(&aside, &file)?;
    site.resume("n1", &Config::default())?;
    site.settle("n1")?;
    ensure!(site.serials("n1")? == serials, "with its key back, somebody was keyed anew");
    Ok(())
}

fn readable(site: &mut Site) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = key_file(site.node("n1")?);
    site.mark_changed();
    site.stop("n1")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let said = refusal(site)?;
    ensure!(said.contains(&file.display().to_string()), "it does not name the file: {said}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    site.resume("n1", &Config::default())?;
    site.settle("n1")
}

fn once(site: &mut Site) -> Result<()> {
    let file = key_file(site.node("n1")?);
    let before = fs::read(&file)?;
    let (succeeded, said) = outside::outcome(&mut verb(site, &["init"])?, "")?;
    ensure!(!succeeded, "a second key: {said}");
    ensure!(fs::read(&file)? == before, "the key was overwritten");
    Ok(())
}
