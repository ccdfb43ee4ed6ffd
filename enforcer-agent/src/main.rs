//! The command line of the node agent.
fn main() {}
