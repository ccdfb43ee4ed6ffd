//! A lab: nodes and workloads built from network namespaces, veth pairs and control groups on one machine,
//! with one agent per node. It must not know what a test expects, nor speak gRPC: it starts programs and
//! reads what they print.

pub mod agent;
pub mod binaries;
pub mod capture;
pub mod cgroup;
pub mod config;
pub mod ctl;
pub mod disk;
pub mod enter;
pub mod evidence;
pub mod fleet;
pub mod frame;
pub mod guard;
pub mod hand;
pub mod hold;
pub mod lab;
pub mod link;
pub mod mark;
pub mod mount;
pub mod outcome;
pub mod policy;
pub mod probe;
pub mod process;
pub mod record;
pub mod spec;
pub mod topology;
pub mod verdict;
pub mod wait;
pub mod yaml;
