//! `enforcerctl svid`: files that every other program can use.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;

use crate::certificate::{self, Certificate};
use crate::heard::Heard;
use crate::openssl::{Papers, Server, run, text, verifies};
use crate::site::{LIMIT, Site, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "files::openssl_builds_the_chain_to_the_bundle_and_no_other", reasons: &[], run: chain },
    Case { name: "files::keys_are_for_their_owner_only", reasons: &[], run: modes },
    Case { name: "files::outside_of_a_workload_nothing_is_written", reasons: &[], run: nobody },
    Case {
        name: "files::two_workloads_of_a_tenant_shake_hands_and_a_stranger_does_not",
        reasons: &[],
        run: handshake,
    },
    Case { name: "files::a_watch_replaces_them_when_they_rotate", reasons: &[], run: watch },
];

const PORT: u16 = 8443;

fn chain(site: &mut Site) -> Result<()> {
    let (one, other) = (Papers::of(site, "n1-t1-p1")?, Papers::of(site, "n1-t2-p1")?);
    for papers in [&one, &other] {
        let (good, said) = verifies(papers, &papers.dir.join("bundle.pem"))?;
        ensure!(good, "its own bundle: {said}");
    }
    let (good, said) = verifies(&one, &other.dir.join("bundle.pem"))?;
    ensure!(!good, "t1's certificate is good to t2's bundle: {said}");
    let leaf = one.ders()?;
    let uris = Certificate::parse(leaf.first().context("an empty file")?)?.uris()?.0;
    ensure!(uris == [id_of(site.workload("n1-t1-p1")?)], "{uris:?}");
    // The key is that of the certificate.
    let of_key = run(&["pkey", "-in", &one.file("svid_key.pem")?, "-pubout"])?;
    let of_certificate = run(&["x509", "-in", &one.file("svid.pem")?, "-noout", "-pubkey"])?;
    ensure!(of_key == of_certificate, "the key is another's");
    Ok(())
}

fn modes(site: &mut Site) -> Result<()> {
    let papers = Papers::of(site, "n1-t1-p1")?;
    let mode = |path: &Path| -> Result<u32> { Ok(fs::metadata(path)?.permissions().mode() & 0o777) };
    for name in ["svid.pem", "svid_key.pem", "bundle.pem"] {
        let mode = mode(&papers.dir.join(name))?;
        ensure!(mode == 0o600, "{name} has mode {mode:o}");
    }
    let mode = mode(&papers.dir)?;
    ensure!(mode == 0o700, "the directory has mode {mode:o}");
    Ok(())
}

fn nobody(site: &mut Site) -> Result<()> {
    let dir = site.scratch("nobody")?.join("tls");
    let mut command = site.place("n1")?.command(&site.lab().binaries().ctl)?;
    command.args(["svid", "fetch", "--write", &text(&dir)?]).arg("--workload-socket").arg(site.socket("n1")?);
    let output = command.output()?;
    ensure!(!output.status.success(), "a process of the node has fetched an SVID");
    ensure!(!dir.join("svid_key.pem").exists(), "there is a key in {}", dir.display());
    Ok(())
}

/// The wall lets t1 speak to t1; who is let in is then decided by certificates.
fn handshake(site: &mut Site) -> Result<()> {
    let server = Papers::of(site, "n1-t1-p2")?;
    let (friend, stranger) = (Papers::of(site, "n1-t1-p1")?, Papers::of(site, "n1-t2-p1")?);
    let (ours, theirs) = (server.dir.join("bundle.pem"), stranger.dir.join("bundle.pem"));
    let server = Server::start(site, "n1-t1-p2", &server, PORT)?;
    server.answers(site, "n1-t1-p1", &friend, &ours)?;
    // Somebody in t1 who has got hold of t2's papers.
    server.refuses(site, "n1-t1-p1", &stranger, &ours)?;
    let said = server.refuses(site, "n1-t1-p1", &friend, &theirs)?;
    ensure!(said.contains("verify error"), "who trusts t2 alone refuses the server: {said}");
    server.answers(site, "n1-t1-p1", &friend, &ours)
}

fn watch(site: &mut Site) -> Result<()> {
    let dir = site.scratch("watch")?.join("tls");
    let mut command = site.svid("n1-t1-p1", &["watch", "--write", &text(&dir)?])?;
    command.stderr(std::process::Stdio::null());
    let watch = Heard::start(command, "enforcerctl svid watch")?;
    let first = other_than(&dir, None)?;
    ensure!(site.identity("n1-t1-p1")?["serial"] == first.as_str(), "the file has {first}");
    site.ctl("n1")?.run(&["identity", "rotate", "n1-t1-p1"], "")?;
    let second = other_than(&dir, Some(&first))?;
    ensure!(site.identity("n1-t1-p1")?["serial"] == second.as_str(), "the file has {second}");
    ensure!(!watch.has_ended(), "the watch has ended");
    let key = run(&["pkey", "-in", &text(&dir.join("svid_key.pem"))?, "-pubout"])?;
    let certificate = run(&["x509", "-in", &text(&dir.join("svid.pem"))?, "-noout", "-pubkey"])?;
    ensure!(key == certificate, "the key in the files is not the certificate's");
    Ok(())
}

/// Waits until the file holds a leaf with another serial number.
fn other_than(dir: &Path, known: Option<&str>) -> Result<String> {
    wait::until("svid.pem is written", LIMIT, || {
        let Ok(pem) = fs::read_to_string(dir.join("svid.pem")) else { return Ok(None) };
        let ders = certificate::of_pem(&pem)?;
        let Some(leaf) = ders.first() else { return Ok(None) };
        let serial = Certificate::parse(leaf)?.serial();
        Ok((Some(serial.as_str()) != known).then_some(serial))
    })
}
