//! What can be drilled, by name.

/// The running agent: a row for each hook and each verb of containment.
pub(crate) const LIVE: &str = "live";

/// What is done to the scratch wall, in this order, and what that shows.
pub(crate) const SCRATCH: [(&str, &str); 8] = [
    ("steady", "nothing is disturbed: attacks fail and what is allowed works"),
    ("agent-killed", "the agent is killed with SIGKILL, and started again after a while"),
    ("control-plane-away", "a control plane pushes over a stream and is gone in the middle of it"),
    ("disk-full", "the agent's disk is full: a push is refused, and goes through when there is room again"),
    ("certificate-revoked", "a workload's certificate is withdrawn, and given back"),
    ("certificate-expired", "a certificate runs out: it is served no more, its successor is"),
    ("map-full", "a push needs more than the kernel's tables hold: it is refused whole"),
    ("clock-skew", "the node's clock jumps a day ahead and back; only with --clock"),
];

/// True when there is such a drill.
pub(crate) fn known(name: &str) -> bool {
    name == LIVE || SCRATCH.iter().any(|(known, _)| *known == name)
}
