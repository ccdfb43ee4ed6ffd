//! Mutual TLS between nodes, for programs that know nothing of it: curl, Python's file server, and a look at the wire.

use std::fs;
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use enforcer_lab::capture::Capture;
use enforcer_lab::config::{Config, TRUST_DOMAIN};
use enforcer_lab::enter::Place;
use enforcer_lab::mark::Mark;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::wait;
use serde_json::{Value, json};

use super::identity;
use super::script::Script;
use super::stage::{How, LIMIT, Stage, word};
use super::tls;

const CLIENT: &str = "n1-t1-p1";
const STRANGER: &str = "n1-t3-p1";
const SERVER: &str = "n2-t2-p1";
const PORT: u16 = 8088;
const RULE: &str = "t1-to-t2";
const UPLINK: &str = "eth0";
/// What the file says that curl fetches.
const TEXT: &str = "words that nobody else would write: 0b9d57";

pub(crate) fn play(stage: &mut Stage, script: &mut Script) {
    let server = Files::serve(stage);
    script.step("t1 to t2 by a rule that says mtlsRequired: curl, Python's server", "served, native", || {
        server.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        stage.lab().apply(&carried(stage))?;
        fetch(stage)
    });
    let domains = format!("t1.{TRUST_DOMAIN} to t2.{TRUST_DOMAIN}");
    script.step("whose certificates the records of both nodes name", &domains, || certified(stage));
    script.step("the same, captured between the nodes", "no plaintext", || captured(stage));
    script.step("without mtlsRequired, captured again", "plaintext", || {
        stage.lab().apply(&carried(stage).with_word(Kind::Rule, RULE, "mtlsRequired", Value::Null))?;
        captured(stage)
    });
    script.step("t3 to t2's server", "refused: cross_tenant_no_rule", || {
        stage.lab().apply(&carried(stage))?;
        stage.flow(STRANGER, SERVER, How::Tcp(PORT))
    });
    script.step(
        "t1, with a certificate of t3's, at the end of t2's tunnel",
        "refused: tunnel_identity",
        || impersonate(stage),
    );
    script.step("t1 to t2 again, where n2 speaks HBONE alone", "served, hbone", || {
        stage.restart_with("n2", Config::default().with("tunnel", json!({ "hops": ["hbone"] })))?;
        fetch(stage)
    });
    script.step("captured as well", "no plaintext", || captured(stage));
    // The scenes that follow know of no such rule.
    if let Err(error) = stage.lab().apply(&stage.policy_with_rule()) {
        script.step("take the rule away", "taken away", || Err(error));
    }
}

fn carried(stage: &Stage) -> Policy {
    let ports = json!([{ "protocol": "TCP", "port": PORT }]);
    stage.policy_with_rule().with_tunnel(RULE, "t1", "t2", &ports)
}

/// Python's file server, until it is dropped.
struct Files(Child);

impl Files {
    fn serve(stage: &Stage) -> Result<Self> {
        let directory = stage.lab().node("n2")?.dir.join("www");
        fs::create_dir_all(&directory)?;
        fs::write(directory.join("page"), TEXT)?;
        let mut command = stage.place(SERVER)?.command("python3")?;
        command.args(["-m", "http.server", "--bind", "0.0.0.0", &PORT.to_string(), "--directory"]);
        command.arg(&directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("python3: is it installed?")?))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Fetches the page: `served`, and the hop that the record of the client's node names.
fn fetch(stage: &Stage) -> Result<String> {
    let mark = stage.mark(CLIENT)?;
    get(stage)?;
    let record = tunnelled(&mark)?;
    Ok(format!("served, {}", word(&record["tunnel"], "hop")))
}

/// Until the page is there.
fn get(stage: &Stage) -> Result<()> {
    let url = format!("http://{}:{PORT}/page", stage.v4(SERVER)?);
    let mut last = String::new();
    let waited = wait::until_true("curl fetches the page", LIMIT, || {
        let mut curl: Command = stage.place(CLIENT)?.command("curl")?;
        curl.args(["--silent", "--show-error", "--max-time", "3", "--noproxy", "*", &url]);
        let output = curl.stdin(Stdio::null()).output().context("curl: is it installed?")?;
        last = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok(last == TEXT)
    });
    waited.with_context(|| last)
}

fn tunnelled(mark: &Mark) -> Result<Value> {
    mark.record("the tunnel", |record| {
        record["type"] == "tunnel" && record["tunnel"]["event"] == "closed" && record["rule"] == RULE
    })
}

/// The trust domains of both ends, when both nodes tell the same of the same flow.
fn certified(stage: &Stage) -> Result<String> {
    let (near, far) = (stage.mark(CLIENT)?, stage.mark(SERVER)?);
    get(stage)?;
    let (out, back) = (tunnelled(&near)?, tunnelled(&far)?);
    for name in
        ["/source/spiffeId", "/source/serial", "/destination/spiffeId", "/destination/serial", "/traceId"]
    {
        let (out, back) = (out["tunnel"].pointer(name), back["tunnel"].pointer(name));
        ensure!(out.is_some() && out == back, "{name}: {out:?} at one end, {back:?} at the other");
    }
    let domain = |name: &str| {
        let id = word(&out["tunnel"][name], "spiffeId");
        id.strip_prefix("spiffe://").and_then(|id| id.split('/').next()).unwrap_or(id).to_owned()
    };
    Ok(format!("{} to {}", domain("source"), domain("destination")))
}

/// Whether the page's text is seen on the way between the nodes.
fn captured(stage: &Stage) -> Result<String> {
    let netns = stage.lab().node("n1")?.netns.clone();
    let capture = Capture::start(&Place { netns, cgroup: None }, UPLINK)?;
    get(stage)?;
    let captured = capture.stop()?;
    ensure!(!captured.is_empty(), "nothing passed at all");
    Ok(if captured.shows(TEXT.as_bytes()) { "plaintext" } else { "no plaintext" }.to_owned())
}

/// OpenSSL from t1's address, with what t3 was given.
fn impersonate(stage: &Stage) -> Result<String> {
    let mark = stage.mark(SERVER)?;
    let files = identity::keep(stage, STRANGER)?;
    let (from, to) = (stage.v4(CLIENT)?, stage.v4(SERVER)?);
    tls::dial(stage, CLIENT, &format!("{to}:15008"), &files, &header(from, to))?;
    let record =
        mark.record("the refusal", |record| record["type"] == "tunnel" && record["verdict"] == "deny")?;
    if word(&record["tunnel"]["source"], "spiffeId").starts_with(&format!("spiffe://t3.{TRUST_DOMAIN}/")) {
        return Ok(format!("refused: {}", word(&record, "reason")));
    }
    bail!("{record}")
}

/// What an agent says first on our own hop: where the flow is to go, where it comes from, and its trace.
fn header(from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut header = vec![1, 0, 0, 54, 1, 0];
    for (port, address) in [(PORT, to), (40_000, from)] {
        header.extend(port.to_be_bytes());
        header.extend(address.to_ipv6_mapped().octets());
    }
    header.extend([0x5a; 16]);
    header
}
