//! Revocation, the death of an agent, and going back.

use std::time::Duration;

use anyhow::{Context, Result};
use enforcer_lab::probe::Running;
use serde_json::Value;

use super::identity;
use super::script::Script;
use super::stage::{How, LIMIT, PORT, Stage};

const TALK_PORT: &str = "8090";
const TICKS: u64 = 20;
const QUIET: Duration = Duration::from_millis(500);

pub(crate) fn play(stage: &mut Stage, script: &mut Script) {
    killed(stage, script);
    revoked(stage, script);
}

/// Nobody notices that an agent was killed: neither those who may talk nor those who may not.
fn killed(stage: &mut Stage, script: &mut Script) {
    let talk = Talk::open(stage, "n1-t1-p2", "n2-t1-p1");
    let serial = identity::serial(stage);
    script.step("kill -9 the agent of n1: t1 to itself, connected all along", "unbroken", || {
        let talk = talk.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        stage.lab_mut().take_agent("n1")?.kill()?;
        talk.state()
    });
    script.step("without its agent: t1 to t2", "still refused", || {
        let to = format!("{}:{PORT}", stage.v4("n1-t2-p1")?);
        let outcome = stage.probe("n1-t1-p1")?.run(&["tcp", &to, "--timeout-ms", "1500"])?;
        Ok(if outcome.is_denied() { "still refused".to_owned() } else { outcome.to_string() })
    });
    script.step("without its agent: t2 opens the GPU", "not-permitted", || {
        let gpu = stage.gpu().display().to_string();
        Ok(stage.probe("n1-t2-p1")?.run(&["open", &gpu])?.to_string())
    });
    script.step("a new agent adopts what stands: the connection, the kernel", "unbroken, in sync", || {
        let config = stage.config().clone();
        stage.lab_mut().start_agent("n1", &config)?;
        let status = stage.ctl("n1")?.json(&["status"])?;
        let sync = if status["inSync"] == Value::Bool(true) { "in sync" } else { "not in sync" };
        let talk = talk.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        Ok(format!("{}, {sync}", talk.state()?))
    });
    script.step("the new agent, asked for t1's certificate", "the one from before", || {
        let before = serial.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        let now = identity::serial(stage)?;
        Ok(if now == *before { "the one from before".to_owned() } else { format!("{now}, it was {before}") })
    });
}

/// Taking the rule away ends what it allowed; rolling back brings it back.
fn revoked(stage: &Stage, script: &mut Script) {
    let with_rule = current_revision(stage);
    let talk = Talk::open(stage, "n1-t1-p1", "n2-t3-p1");
    script.step("revoke the rule under an established connection", "stops both ways", || {
        let talk = talk.as_ref().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        stage.lab().apply(&stage.policy())?;
        talk.client.stops(QUIET, LIMIT)?;
        talk.server.stops(QUIET, LIMIT)?;
        Ok("stops both ways".to_owned())
    });
    script.step("t1 to the platform service, now without a rule", "refused: cross_tenant_no_rule", || {
        stage.flow("n1-t1-p1", "n2-t3-p1", How::Tcp(PORT))
    });
    script.step("roll both nodes back to the revision with the rule", "allowed", || {
        for (node, revision) in with_rule? {
            stage.ctl(node)?.run(&["rollback", &revision.to_string()], "")?;
        }
        stage.flow("n1-t1-p1", "n2-t3-p1", How::Tcp(PORT))
    });
}

fn current_revision(stage: &Stage) -> Result<[(&'static str, u64); 2]> {
    let of = |node: &'static str| -> Result<(&'static str, u64)> {
        let status = stage.ctl(node)?.json(&["status"])?;
        Ok((node, status["revision"].as_u64().context("no revision")?))
    };
    Ok([of("n1")?, of("n2")?])
}

/// A connection on which both sides speak.
struct Talk {
    client: Running,
    server: Running,
}

impl Talk {
    fn open(stage: &Stage, from: &str, to: &str) -> Result<Self> {
        let server = stage.probe(to)?.start(&["listen", TALK_PORT])?;
        let client = stage.probe(from)?.start(&["talk", &format!("{}:{TALK_PORT}", stage.v4(to)?)])?;
        client.flows(TICKS, LIMIT)?;
        Ok(Self { client, server })
    }

    /// Unbroken when both sides go on and not one segment had to be sent again.
    fn state(&self) -> Result<String> {
        self.client.flows(TICKS, LIMIT)?;
        self.server.flows(TICKS, LIMIT)?;
        let again = self.client.progress().retransmits + self.server.progress().retransmits;
        Ok(if again == 0 { "unbroken".to_owned() } else { format!("{again} segments were sent again") })
    }
}
