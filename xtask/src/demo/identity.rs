//! Who a workload is, in certificates: asked for over the workload socket, used between workloads by OpenSSL, and
//! taken away.

use anyhow::{Context, Result, bail};
use enforcer_lab::wait;

use super::script::Script;
use super::stage::{LIMIT, Stage};
use super::tls::{Files, Server};

/// Who asks, who is asked, and a stranger.
const CLIENT: &str = "n1-t1-p1";
const SERVER: &str = "n1-t1-p2";
const STRANGER: &str = "n1-t2-p1";
/// Without its scheme, which all have.
const CLIENT_ID: &str = "t1.lab.internal/ns/lab/sa/n1-t1-p1";
/// What `enforcerctl` ends with when who asks has no identity.
const NOT_PERMITTED: i32 = 4;

pub(crate) fn play(stage: &Stage, script: &mut Script) {
    script.step("t1 asks the workload socket for its certificate", CLIENT_ID, || fetch(stage, CLIENT));
    script.step("a process of the node that is no workload asks", "refused", || fetch(stage, "n1"));
    let server = keep(stage, SERVER).and_then(|files| Server::start(stage, SERVER, &files));
    let speak = |files: &str| {
        let server = server.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        server.answers(stage, CLIENT, &keep(stage, files)?)
    };
    script.step("t1 to t1 over mutual TLS with these certificates (OpenSSL)", "allowed", || speak(CLIENT));
    script.step("t1's server is shown a certificate of t2", "refused: unknown ca", || speak(STRANGER));
    script.step("revoke t1's workload; it asks again", "withdrawn, refused", || revoke(stage));
    script.step("restore it; it asks again", CLIENT_ID, || {
        stage.ctl("n1")?.run(&["identity", "restore", CLIENT], "")?;
        wait::until("a certificate", LIMIT, || {
            let said = fetch(stage, CLIENT)?;
            Ok((said != "refused").then_some(said))
        })
    });
}

/// The serial number of the certificate that t1's workload has now.
pub(crate) fn serial(stage: &Stage) -> Result<String> {
    let said = stage.workload_ctl(CLIENT, &["svid", "fetch", "-o", "json"])?;
    let said: serde_json::Value = serde_json::from_str(&said.out).with_context(|| said.err.clone())?;
    Ok(said["svids"][0]["serial"].as_str().context("no serial number")?.to_owned())
}

fn revoke(stage: &Stage) -> Result<String> {
    let said = stage
        .ctl("n1")?
        .run(&["identity", "revoke", CLIENT, "--reason", "the demo shows it", "--yes"], "")?;
    let word = said.split_whitespace().next().unwrap_or("nothing").to_owned();
    Ok(format!("{word}, {}", fetch(stage, CLIENT)?))
}

/// The SPIFFE ID that whoever asks there is given, or `refused`.
fn fetch(stage: &Stage, place: &str) -> Result<String> {
    let answer = stage.workload_ctl(place, &["svid", "fetch", "-o", "json"])?;
    match answer.code {
        0 => {
            let said: serde_json::Value = serde_json::from_str(&answer.out)?;
            let id = said["svids"][0]["spiffeId"].as_str().and_then(|id| id.strip_prefix("spiffe://"));
            Ok(id.context("no SPIFFE ID")?.to_owned())
        }
        NOT_PERMITTED => Ok("refused".to_owned()),
        _ => bail!("{}", answer.err.trim()),
    }
}

/// A workload's certificate in files, as the workload would keep it.
pub(crate) fn keep(stage: &Stage, workload: &str) -> Result<Files> {
    let directory = stage.lab().node("n1")?.dir.join(format!("svid-{workload}"));
    let written = directory.display().to_string();
    let answer = stage.workload_ctl(workload, &["svid", "fetch", "--write", &written])?;
    if answer.code != 0 {
        bail!("{workload}: {}", answer.err.trim());
    }
    Files::of(&directory)
}
