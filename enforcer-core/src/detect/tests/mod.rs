//! The rules at work, on records as they come.

mod bounds;
mod clocks;
mod learning;
mod patterns;

use enforcer_proto::v1;

use super::alert::{Alert, timestamp};
use super::engine::{Engine, Party};
use super::parse;
use super::rule::{Action, Level, Rules, Terms};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
/// Monday, 2026-11-30, midnight UTC.
const MONDAY: u64 = 1_795_996_800 * SECOND;

/// Five within a minute.
pub(super) fn terms() -> Terms {
    Terms {
        window_s: 60,
        threshold: 5,
        factor: None,
        samples_min: 8,
        action: Action::Alert,
        dry_run: false,
        expires_after_s: 600,
        cooldown_s: 60,
        level: Level::Medium,
        usual: None,
    }
}

/// One rule with this spec, and none of the defaults.
pub(super) fn rule(spec: &str) -> Rules {
    let mut text =
        format!("apiVersion: enforcer.dev/v1\nkind: DetectionRule\nmetadata: {{name: it}}\nspec: {spec}\n");
    for name in [
        "operations-per-hour",
        "failed-accesses",
        "source-addresses",
        "port-scan",
        "host-scan",
        "refusals-per-process",
        "device-churn",
        "volume",
    ] {
        text += &format!(
            "---\napiVersion: enforcer.dev/v1\nkind: DetectionRule\nmetadata: {{name: {name}}}\nspec: {{enabled: false}}\n"
        );
    }
    parse::rules(&[("test.yaml", text)]).unwrap()
}

pub(super) fn party(name: &str) -> Party {
    match name {
        "world" | "unknown" | "" => Party::Outside,
        "host" | "driver-daemon" | "remote-node" => Party::Platform,
        _ => Party::Tenant,
    }
}

/// An engine with a hand that writes records.
struct Scene {
    engine: Engine,
    now: u64,
    sequence: u64,
}

impl Scene {
    fn new(spec: &str) -> Self {
        Self { engine: Engine::new(&rule(spec), MONDAY), now: MONDAY, sequence: 0 }
    }

    fn see(&mut self, record: v1::Record) -> Vec<Alert> {
        self.sequence += 1;
        let record = v1::Record { sequence: self.sequence, time: Some(timestamp(self.now)), ..record };
        self.engine.observe(&record, self.now, &party)
    }

    /// How many alerts come of so many alike.
    fn see_many(&mut self, count: u64, record: &v1::Record) -> usize {
        (0..count).map(|_| self.see(record.clone()).len()).sum()
    }

    fn pass(&mut self, span: u64) {
        self.now += span;
        self.engine.tick(self.now);
    }
}

fn end(identity: &str, workload: &str, address: &str, port: u32) -> Option<v1::Endpoint> {
    Some(v1::Endpoint {
        identity: identity.to_owned(),
        workload: workload.to_owned(),
        address: address.to_owned(),
        port,
        ..v1::Endpoint::default()
    })
}

/// Red's web opens a flow to blue's database.
fn flow(verdict: &str) -> v1::Record {
    v1::Record {
        r#type: "flow".to_owned(),
        verdict: verdict.to_owned(),
        source: end("red", "web", "10.0.0.1", 40_000),
        destination: end("blue", "db", "10.0.0.2", 5_432),
        ..v1::Record::default()
    }
}

fn device(verdict: &str) -> v1::Record {
    v1::Record {
        r#type: "device".to_owned(),
        verdict: verdict.to_owned(),
        source: end("red", "web", "", 0),
        ..v1::Record::default()
    }
}

fn totals(bytes: u64) -> v1::Record {
    v1::Record {
        r#type: "totals".to_owned(),
        verdict: "allow".to_owned(),
        hook: "from_workload".to_owned(),
        source: end("red", "", "", 0),
        destination: end("blue", "", "", 0),
        flow: Some(v1::FlowFacts { bytes_sent: bytes, ..v1::FlowFacts::default() }),
        ..v1::Record::default()
    }
}
