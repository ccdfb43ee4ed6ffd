//! A frame that claims another workload's address, past every socket hook.

use enforcer_lab::frame::{Datagram, arp_reply, to_hex};

use super::script::Script;
use super::stage::{PORT, Stage, word};

pub(crate) fn play(stage: &Stage, script: &mut Script) {
    script.step("t1 sends a raw packet with an address of t2", "dropped: source_not_own", || {
        let datagram = Datagram { from: stage.v4("n1-t2-p1")?, to: stage.v4("n2-t2-p1")?, port: PORT, id: 1 };
        raw(stage, &datagram.frame(b"not me"))
    });
    script.step("t1 answers ARP for an address of t2", "dropped: arp_foreign", || {
        raw(stage, &arp_reply(stage.v4("n1-t2-p1")?, stage.v4("n1-t1-p1")?))
    });
}

fn raw(stage: &Stage, frame: &[u8]) -> anyhow::Result<String> {
    let mark = stage.mark("n1-t1-p1")?;
    stage.probe("n1-t1-p1")?.run(&["frame", "eth0", &to_hex(frame)])?;
    let record = mark.record("the drop", |record| record["verdict"] == "deny")?;
    Ok(format!("dropped: {}", word(&record, "reason")))
}
