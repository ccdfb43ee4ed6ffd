//! Driver daemons and device plugins: the host's own, listed by control group.

use anyhow::{Result, ensure};
use enforcer_tests::runner::Case;

use crate::fixture::{Gate, NODE, SERVICE};

pub(crate) const CASES: &[Case<Gate>] = &[
    Case { name: "services::a_host_process_is_refused", reasons: &["device_no_tenant"], run: host_process },
    Case { name: "services::a_listed_service_passes", reasons: &[], run: listed },
    Case { name: "services::a_task_that_enters_a_services_group_is_recorded", reasons: &[], run: entered },
];

fn host_process(gate: &mut Gate) -> Result<()> {
    gate.refused(&gate.net().lab().probe(NODE)?, 0, "unknown", "device_no_tenant")
}

fn listed(gate: &mut Gate) -> Result<()> {
    let service = gate.probe_in(SERVICE)?;
    for minor in [0, 1] {
        gate.passes(&service, minor, "host-service")?;
    }
    Ok(())
}

fn entered(gate: &mut Gate) -> Result<()> {
    let node = gate.net().lab().node(NODE)?;
    let group = enforcer_lab::cgroup::dir(&format!("{}{SERVICE}", node.cgroup))?;
    let mark = gate.mark()?;
    let running = gate.net().lab().probe(NODE)?.start(&["enter", &group.display().to_string()])?;
    let record = mark.record("the entry", |record| record["type"] == "service")?;
    let pid = u64::try_from(running.process()?.pid)?;
    ensure!(record["process"]["pid"] == pid, "expected process {pid}: {record}");
    ensure!(record.to_string().contains("device-plugin"), "the service is not named: {record}");
    Ok(())
}
