//! The network door with a certificate of its own making: who may operate a node over it, and who may not.

use anyhow::{Result, ensure};
use enforcer_lab::ctl::Answer;
use enforcer_tests::runner::Case;

use crate::enrolment::{self, OPERATOR, PORT};
use crate::openssl::{Papers, text};
use crate::outside;
use crate::site::{Site, id_of};

pub(crate) const CASES: &[Case<Site>] = &[
    Case {
        name: "network::an_allowed_identity_operates_the_node_and_another_does_not",
        reasons: &[],
        run: operators,
    },
    Case { name: "network::a_node_operates_nothing", reasons: &[], run: node },
    Case { name: "network::an_identity_that_is_revoked_is_let_in_no_more", reasons: &[], run: revoked },
];

/// `enforcerctl` over the network, from a process of the node.
fn over(site: &Site, certificate: &str, key: &str, ca: &str, words: &[&str]) -> Result<Answer> {
    let address = format!("https://{}:{PORT}", site.node("n1")?.v4);
    let mut command = site.place("n1")?.command(&site.lab().binaries().ctl)?;
    command.args(["--address", &address, "--cert", certificate, "--key", key, "--ca", ca]).args(words);
    let (succeeded, said) = outside::outcome(&mut command, "")?;
    Ok(Answer { code: i32::from(!succeeded), out: said, err: String::new() })
}

/// The fleet's own authorities, which vouch for the door.
fn fleet(site: &Site) -> Result<String> {
    let file = site.scratch("fleet")?.join("fleet.pem");
    let pem =
        site.ctl("n1")?.run(&["identity", "bundle", enforcer_lab::config::TRUST_DOMAIN, "--pem"], "")?;
    std::fs::write(&file, pem)?;
    text(&file)
}

fn as_workload(site: &Site, workload: &str, ca: &str, words: &[&str]) -> Result<Answer> {
    let papers = Papers::of(site, workload)?;
    over(site, &papers.file("svid.pem")?, &papers.file("svid_key.pem")?, ca, words)
}

fn operators(site: &mut Site) -> Result<()> {
    let door = enrolment::with_door(site)?;
    site.again("n1", &door)?;
    let ca = fleet(site)?;
    let answer = as_workload(site, OPERATOR, &ca, &["status"])?;
    ensure!(answer.code == 0, "an allowed identity: {}", answer.out);
    for other in ["n1-t1-p2", "n1-t2-p1"] {
        let answer = as_workload(site, other, &ca, &["status"])?;
        ensure!(answer.code != 0, "{other} operates the node: {}", answer.out);
    }
    // Who trusts another authority does not take the door for the node.
    let papers = Papers::of(site, OPERATOR)?;
    let answer = as_workload(site, OPERATOR, &papers.file("bundle.pem")?, &["status"])?;
    ensure!(answer.code != 0, "the door is a tenant's: {}", answer.out);
    Ok(())
}

fn node(site: &mut Site) -> Result<()> {
    let door = enrolment::with_door(site)?;
    site.again("n1", &door)?;
    let dir = site.scratch("node")?;
    let enrolled = enrolment::enroll(site, "n9", &dir)?;
    let (certificate, key) = (text(&enrolled.certificate)?, text(&enrolled.key)?);
    for words in [&["status"][..], &["identity", "list"], &["get", "tenants"]] {
        let answer = over(site, &certificate, &key, &text(&enrolled.ca)?, words)?;
        ensure!(answer.code != 0, "a node does {words:?}: {}", answer.out);
    }
    let answer = as_workload(site, OPERATOR, &text(&enrolled.ca)?, &["status"])?;
    ensure!(answer.code == 0, "with the same authorities, an operator: {}", answer.out);
    Ok(())
}

fn revoked(site: &mut Site) -> Result<()> {
    let door = enrolment::with_door(site)?;
    site.again("n1", &door)?;
    let (ca, papers) = (fleet(site)?, Papers::of(site, OPERATOR)?);
    let (certificate, key) = (papers.file("svid.pem")?, papers.file("svid_key.pem")?);
    let answer = over(site, &certificate, &key, &ca, &["status"])?;
    ensure!(answer.code == 0, "before: {}", answer.out);
    let id = id_of(site.workload(OPERATOR)?);
    let words = ["identity", "revoke", "--spiffe-id", &id, "--reason", "a test", "--yes"];
    site.ctl("n1")?.run(&words, "")?;
    let answer = over(site, &certificate, &key, &ca, &["status"])?;
    ensure!(answer.code != 0, "with what was revoked: {}", answer.out);
    Ok(())
}
