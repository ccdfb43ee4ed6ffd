//! What a lab consists of: every name, address and path, computed from its size alone. It must not touch the
//! machine, so that taking down needs no memory of what building up did.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::spec::Spec;

/// Where labs keep their sockets, states and logs.
pub const RUN_DIR: &str = "/run/enforcer-lab";
/// Where the BPF file system is mounted.
pub const BPFFS: &str = "/sys/fs/bpf";
/// The first tenant's number; the others follow.
pub const FIRST_TENANT_ID: u32 = 16;

/// The gateway that every workload with an address uses: its host-side interface answers for it.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// The same for IPv6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

/// A machine outside the fleet, that no tenant owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Its network namespace.
    pub netns: String,
    /// Its first IPv4 address and what follows in the same /24.
    pub v4: Vec<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Ipv6Addr,
}

/// A workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// As in the policy: `n1-t2-p1`, or `n1-t2-host`.
    pub name: String,
    /// The node it runs on.
    pub node: String,
    /// Its tenant.
    pub tenant: String,
    /// Its network namespace: its own, or the node's.
    pub netns: String,
    /// Path below the cgroup2 mount.
    pub cgroup: String,
    /// Its sockets share the node's addresses.
    pub host_network: bool,
    /// Host-side interface, when it has one.
    pub interface: Option<String>,
    /// IPv4 address, when it has its own.
    pub v4: Option<Ipv4Addr>,
    /// IPv6 address, when it has its own.
    pub v6: Option<Ipv6Addr>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `n1`, `n2`, ...
    pub name: String,
    /// From 1.
    pub number: u8,
    /// Its network namespace.
    pub netns: String,
    /// Underlay IPv4 address.
    pub v4: Ipv4Addr,
    /// Underlay IPv6 address.
    pub v6: Ipv6Addr,
    /// Root of its control groups, below the cgroup2 mount.
    pub cgroup: String,
    /// State, socket, configuration and log of its agent.
    pub dir: PathBuf,
    /// The agent's socket.
    pub socket: PathBuf,
    /// The agent's pins.
    pub pins: PathBuf,
}

/// A lab, whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topology {
    /// What it was computed from.
    pub spec: Spec,
    /// The namespace of the bridge between the nodes.
    pub underlay: String,
    /// In order of their numbers.
    pub nodes: Vec<Node>,
    /// Those with addresses of their own first, node by node.
    pub workloads: Vec<Workload>,
    /// The outside.
    pub world: World,
}

impl Topology {
    /// Everything that a lab of this size has.
    #[must_use]
    pub fn of(spec: &Spec) -> Self {
        let nodes: Vec<Node> = (1..=spec.nodes).map(|number| node(spec, number)).collect();
        let workloads = nodes.iter().flat_map(|node| workloads_of(spec, node)).collect();
        Self {
            spec: spec.clone(),
            underlay: format!("{}-net", spec.name),
            nodes,
            workloads,
            world: world(spec),
        }
    }

    /// The directory of a lab.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        Path::new(RUN_DIR).join(self.spec.name.as_str())
    }

    /// The control group of a lab, below the cgroup2 mount.
    #[must_use]
    pub fn cgroup(&self) -> String {
        format!("/enforcer-lab/{}", self.spec.name)
    }

    /// The pins of a lab.
    #[must_use]
    pub fn pins(&self) -> PathBuf {
        Path::new(BPFFS).join("enforcer-lab").join(self.spec.name.as_str())
    }

    /// Where a lab may make device nodes: `/run` and `/tmp` are often mounted without the right to have any.
    #[must_use]
    pub fn devices(&self) -> PathBuf {
        Path::new("/dev").join(format!("enforcer-lab-{}", self.spec.name))
    }

    /// Every network namespace of the lab, workloads first.
    #[must_use]
    pub fn namespaces(&self) -> Vec<&str> {
        let pods = self.workloads.iter().filter(|workload| !workload.host_network);
        pods.map(|workload| workload.netns.as_str())
            .chain(self.nodes.iter().map(|node| node.netns.as_str()))
            .chain([self.world.netns.as_str(), self.underlay.as_str()])
            .collect()
    }

    /// A node by name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// A workload's control group as its node knows it: below the node's own root.
    #[must_use]
    pub fn cgroup_in_node<'a>(&self, workload: &'a Workload) -> &'a str {
        let root = self.node(&workload.node).map_or("", |node| node.cgroup.as_str());
        workload.cgroup.strip_prefix(root).unwrap_or(&workload.cgroup)
    }

    /// A workload by name.
    #[must_use]
    pub fn workload(&self, name: &str) -> Option<&Workload> {
        self.workloads.iter().find(|workload| workload.name == name)
    }

    /// Tenant names and numbers.
    pub fn tenants(&self) -> impl Iterator<Item = (String, u32)> {
        (1..=self.spec.tenants).map(|tenant| (format!("t{tenant}"), FIRST_TENANT_ID - 1 + u32::from(tenant)))
    }
}

fn node(spec: &Spec, number: u8) -> Node {
    let name = format!("n{number}");
    let dir = Path::new(RUN_DIR).join(spec.name.as_str()).join(&name);
    Node {
        netns: format!("{}-{name}", spec.name),
        number,
        v4: Ipv4Addr::new(10, 0, 0, number),
        v6: Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, u16::from(number)),
        cgroup: format!("/enforcer-lab/{}/{name}", spec.name),
        socket: dir.join("agent.sock"),
        pins: Path::new(BPFFS).join("enforcer-lab").join(spec.name.as_str()).join(&name),
        dir,
        name,
    }
}

fn workloads_of(spec: &Spec, node: &Node) -> Vec<Workload> {
    let pods = (1..=spec.tenants).flat_map(|tenant| (1..=spec.pods).map(move |pod| (tenant, pod)));
    let pods = pods.map(|(tenant, pod)| Workload {
        name: format!("{}-t{tenant}-p{pod}", node.name),
        node: node.name.clone(),
        tenant: format!("t{tenant}"),
        netns: format!("{}-t{tenant}-p{pod}", node.netns),
        cgroup: format!("{}/t{tenant}-p{pod}", node.cgroup),
        host_network: false,
        interface: Some(format!("t{tenant}p{pod}")),
        v4: Some(Ipv4Addr::new(10, 100 + node.number, tenant, pod)),
        v6: Some(Ipv6Addr::new(
            0xfd00,
            0,
            u16::from(node.number),
            0,
            0,
            0,
            u16::from(tenant),
            u16::from(pod),
        )),
    });
    let on_host = (1..=spec.tenants).map(|tenant| Workload {
        name: format!("{}-t{tenant}-host", node.name),
        node: node.name.clone(),
        tenant: format!("t{tenant}"),
        netns: node.netns.clone(),
        cgroup: format!("{}/t{tenant}-host", node.cgroup),
        host_network: true,
        interface: None,
        v4: None,
        v6: None,
    });
    pods.chain(on_host).collect()
}

/// Addresses from the ranges that RFC 5737 and RFC 3849 keep for documentation: never a neighbour's.
fn world(spec: &Spec) -> World {
    World {
        netns: format!("{}-world", spec.name),
        v4: [10, 11, 99].map(|last| Ipv4Addr::new(203, 0, 113, last)).to_vec(),
        v6: Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0x10),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_and_address_is_its_own() {
        let topology = Topology::of(&Spec::new("lab".parse().unwrap(), 3, 4, 5).unwrap());
        let with_address = topology.workloads.iter().filter(|workload| !workload.host_network);
        let addresses: BTreeSet<_> = with_address.clone().map(|workload| workload.v4).collect();
        assert_eq!(addresses.len(), 60);
        assert_eq!(topology.workloads.len(), 60 + 12);
        let names: BTreeSet<_> = topology.workloads.iter().map(|workload| &workload.name).collect();
        assert_eq!(names.len(), 72);
        let namespaces: BTreeSet<_> = topology.namespaces().into_iter().collect();
        assert_eq!(namespaces.len(), 60 + 3 + 2);
    }

    #[test]
    fn interface_names_fit_the_kernel() {
        let topology = Topology::of(&Spec::new("lab".parse().unwrap(), 64, 200, 200).unwrap());
        let longest =
            topology.workloads.iter().filter_map(|workload| workload.interface.as_ref()).map(String::len);
        assert!(longest.max().unwrap() < 16);
    }
}
