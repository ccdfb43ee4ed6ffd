//! A GPU: a device node without a driver, so that an open which passes the gate ends with "no such device".

use anyhow::Result;
use enforcer_lab::outcome::Outcome;

use super::script::Script;
use super::stage::{Stage, told};

const PASSED: &str = "passes the gate";

pub(crate) fn play(stage: &Stage, script: &mut Script) {
    script.step("t1 opens a GPU's node (c 195 0), which it was granted", PASSED, || open(stage, "n1-t1-p1"));
    let opens = [
        ("t2 opens it", "n1-t2-p1", "refused: device_not_granted"),
        ("a process of the node that is no listed service opens it", "n1", "refused: device_no_tenant"),
    ];
    for (step, place, expected) in opens {
        script.step(step, expected, || open(stage, place));
    }
    script.step("t1 makes a device node of its own", "refused: device_mknod", || {
        let forged = stage.lab().topology().devices().join("forged").display().to_string();
        act(stage, "n1-t1-p1", &["mknod", &forged, "195", "0"])
    });
}

pub(crate) fn open(stage: &Stage, place: &str) -> Result<String> {
    act(stage, place, &["open", &stage.gpu().display().to_string()])
}

fn act(stage: &Stage, place: &str, arguments: &[&str]) -> Result<String> {
    let mark = stage.mark(place)?;
    match stage.probe(place)?.run(arguments)? {
        Outcome::NoDriver => Ok(PASSED.to_owned()),
        outcome => told(&mark, &outcome),
    }
}
