//! Flows on one node and across, and a workload that shares the node's address.

use super::script::Script;
use super::stage::{How, OTHER_PORT, PORT, Stage};

const EACH: [How; 5] = [How::Tcp(PORT), How::Udp(PORT), How::Icmp, How::Tcp6(PORT), How::Icmp6];
const NO_RULE: &str = "refused: cross_tenant_no_rule";

pub(crate) fn play(stage: &Stage, script: &mut Script) {
    let each = [
        ("t1 to itself on one node: TCP, UDP, ICMP, IPv6", "n1-t1-p1", "n1-t1-p2", "allowed"),
        ("t1 to itself across nodes: TCP, UDP, ICMP, IPv6", "n1-t1-p1", "n2-t1-p1", "allowed"),
        ("t1 to t2 on one node: TCP, UDP, ICMP, IPv6", "n1-t1-p1", "n1-t2-p1", NO_RULE),
        ("t1 to t2 across nodes: TCP, UDP, ICMP, IPv6", "n1-t1-p1", "n2-t2-p1", NO_RULE),
        ("t2 to t1 across nodes: TCP, UDP, ICMP, IPv6", "n2-t2-p1", "n1-t1-p1", NO_RULE),
    ];
    for (step, from, to, expected) in each {
        script.step(step, expected, || stage.flows(from, to, &EACH));
    }
    script.step("t1 to the platform service, on the port of its rule", "allowed", || {
        stage.flow("n1-t1-p1", "n2-t3-p1", How::Tcp(PORT))
    });
    script.step("t1 to the platform service, on another port", NO_RULE, || {
        stage.flow("n1-t1-p1", "n2-t3-p1", How::Tcp(OTHER_PORT))
    });
    script.step("t1 on the node's network to t1", "allowed", || {
        stage.flow("n1-t1-host", "n1-t1-p1", How::Tcp(PORT))
    });
    script.step("t1 on the node's network to t2", NO_RULE, || {
        stage.flows("n1-t1-host", "n1-t2-p1", &[How::Tcp(PORT), How::Udp(PORT), How::Tcp6(PORT)])
    });
}
