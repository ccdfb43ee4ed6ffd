//! What a tenant leaves in a device's memory, and that the next one does not find it.

use anyhow::{Result, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::memory::{BYTES, CLASS, Memory};
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::Kind;
use enforcer_lab::probe::Probe;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::fixture::{Gate, NODE, SERVICE, config};

pub(crate) const CASES: &[Case<Gate>] = &[
    Case {
        name: "memory::the_next_tenant_does_not_find_what_the_last_one_left",
        reasons: &[],
        run: overwritten,
    },
    Case {
        name: "memory::a_scrubber_that_lies_leaves_the_device_closed",
        reasons: &["device_closed", "device_not_granted"],
        run: lies,
    },
    Case {
        name: "memory::an_agent_that_dies_while_it_scrubs_leaves_it_closed_and_scrubs_again",
        reasons: &["device_closed"],
        run: dies,
    },
];

/// Where a lab runs the agent, below the node's group.
const AGENT: &str = "/agent";
const SECRET: &str = "the-weights-of-t1";

fn overwritten(gate: &mut Gate) -> Result<()> {
    let overwrite = json!({ "overwrite": { "path": "/dev/loop{number}", "samples": 64 } });
    with_disk(gate, "overwritten", &overwrite, |gate, disk| {
        disk.given_to(gate, "t1")?;
        disk.fill_as_owner()?;
        disk.given_to(gate, "t2")?;
        ensure!(!disk.is_found(&disk.other)?, "the next tenant found what the last one left");
        let list = gate.net().ctl(NODE)?.json(&["get", "receipts", "--device", &disk.memory.name()])?;
        let receipt = &list["receipts"][0]["receipt"];
        ensure!(receipt["previousTenants"] == json!(["t1"]) && receipt["evidence"] == "sampled", "{receipt}");
        ensure!(receipt["bytesCovered"] == BYTES, "{receipt}");
        let samples = &receipt["samples"];
        ensure!(samples["count"].as_u64() >= Some(64) && samples["mismatches"] == 0, "{receipt}");
        Ok(())
    })
}

/// It says that it wrote everything, and wrote nothing.
fn lies(gate: &mut Gate) -> Result<()> {
    let flag = gate.net().lab().node(NODE)?.dir.join("lies");
    // The disk ends before the zeros do.
    let script = format!(
        "test -e {} || cat /dev/zero >/dev/loop\"$0\" 2>/dev/null; echo '{}'",
        flag.display(),
        report()
    );
    let command = json!({ "command": {
        "argv": ["/bin/sh", "-c", script, "{number}"],
        "seconds": 20,
        "readBack": { "path": "/dev/loop{number}", "samples": 64 },
    } });
    with_disk(gate, "lies", &command, |gate, disk| {
        disk.given_to(gate, "t1")?;
        disk.fill_as_owner()?;
        std::fs::write(&flag, "")?;
        disk.grant(gate, "t2")?;
        disk.arrives(gate, "failed", None)?;
        disk.is_closed_to(&disk.other)?;
        disk.is_closed_to(&disk.owner)?;
        std::fs::remove_file(&flag)?;
        gate.net().ctl(NODE)?.run(&["handover", "scrub", &disk.memory.name()], "")?;
        disk.arrives(gate, "in_use", Some("t2"))?;
        ensure!(!disk.is_found(&disk.other)?, "the next tenant found what the last one left");
        Ok(())
    })
}

/// Killed before the scrub was done: whoever comes is refused by the kernel alone, and the scrub is done again.
fn dies(gate: &mut Gate) -> Result<()> {
    let probe = gate.net().lab().binaries().probe.display().to_string();
    let script = format!("sleep 3; {probe} fill /dev/loop\"$0\" clean >&2; echo '{}'", report());
    let command = json!({ "command": { "argv": ["/bin/sh", "-c", script, "{number}"], "seconds": 20 } });
    with_disk(gate, "dies", &command, |gate, disk| {
        disk.given_to(gate, "t1")?;
        disk.fill_as_owner()?;
        disk.grant(gate, "t2")?;
        disk.arrives(gate, "sanitizing", None)?;
        gate.net_mut().lab_mut().take_agent(NODE)?.kill()?;
        disk.is_closed_to(&disk.other)?;
        ensure!(disk.is_found(&disk.service)?, "the scrub was done before the agent was killed");
        gate.net_mut().lab_mut().start_agent(NODE, &disk.config)?;
        disk.is_closed_to(&disk.other)?;
        disk.arrives(gate, "in_use", Some("t2"))?;
        ensure!(!disk.is_found(&disk.other)?, "the next tenant found what the last one left");
        Ok(())
    })
}

/// What a scrubber says that has overwritten a disk.
fn report() -> String {
    json!({ "bytes_covered": BYTES, "bytes_total": BYTES }).to_string()
}

/// A disk in custody, and who is after it.
struct Disk {
    memory: Memory,
    config: Config,
    owner: Probe,
    other: Probe,
    service: Probe,
}

/// Runs a case with a disk of its own; the cases after it want the gate without custody.
fn with_disk(
    gate: &mut Gate,
    case: &str,
    scrubber: &Value,
    run: impl FnOnce(&mut Gate, &Disk) -> Result<()>,
) -> Result<()> {
    let disk = Disk::new(gate, case, scrubber)?;
    gate.restart(&disk.config)?;
    let done = run(gate, &disk);
    let cleared = gate.net().apply(&gate.policy());
    let restored = gate.restart(&config("enforce"));
    done.and(cleared).and(restored)
}

impl Disk {
    fn new(gate: &Gate, case: &str, scrubber: &Value) -> Result<Self> {
        let service = gate.probe_in(SERVICE)?;
        let node = gate.net().lab().topology().devices().join(format!("{CLASS}-{case}"));
        let mut scrubber = scrubber.clone();
        scrubber["classes"] = json!([CLASS]);
        let config = Config::default().with(
            "deviceGate",
            json!({
                // The agent itself overwrites the disk, and the service keeps it.
                "hostServices": [{ "name": "agent", "cgroup": AGENT }, { "name": "device-plugin", "cgroup": SERVICE }],
                "extraClasses": [Memory::class()],
                "custody": { "drainSeconds": 5, "scrubbers": [scrubber] },
            }),
        );
        Ok(Self {
            memory: Memory::new(&service, node)?,
            config,
            // In groups of their own: whoever stays in a workload's group may hold the device.
            owner: gate.probe_in(&format!("/t1-p1/{case}"))?,
            other: gate.probe_in(&format!("/t2-p1/{case}"))?,
            service,
        })
    }

    fn grant(&self, gate: &Gate, tenant: &str) -> Result<()> {
        let policy = gate.net().policy().with_word(Kind::Tenant, tenant, "devices", self.memory.grant());
        gate.net().apply(&policy)
    }

    /// Grants it and waits until it was handed over.
    fn given_to(&self, gate: &Gate, tenant: &str) -> Result<()> {
        self.grant(gate, tenant)?;
        self.arrives(gate, "in_use", Some(tenant))
    }

    fn arrives(&self, gate: &Gate, wanted: &str, tenant: Option<&str>) -> Result<()> {
        gate.arrives(&self.memory.name(), wanted, tenant)
    }

    fn fill_as_owner(&self) -> Result<()> {
        let outcome = self.owner.run(&["fill", &self.memory.path(), SECRET])?;
        ensure!(outcome == Outcome::Ok, "its tenant cannot write to it: {outcome}");
        ensure!(self.is_found(&self.owner)?, "the disk keeps nothing");
        Ok(())
    }

    /// Whether the secret is still on the disk.
    fn is_found(&self, by: &Probe) -> Result<bool> {
        by.ask(&["find", &self.memory.path(), SECRET])
    }

    fn is_closed_to(&self, whom: &Probe) -> Result<()> {
        let outcome = whom.run(&["open", &self.memory.path()])?;
        ensure!(outcome == Outcome::NotPermitted, "expected EPERM, saw {outcome}");
        Ok(())
    }
}
