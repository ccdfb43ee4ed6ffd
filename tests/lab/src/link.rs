//! Namespaces, bridges, veth pairs, addresses and routes, by way of `ip`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::enter::{NETNS_DIR, Place};
use crate::topology::{GATEWAY_V4, GATEWAY_V6, Node, Topology, Workload};

const BRIDGE: &str = "br0";
const UPLINK: &str = "eth0";
/// [`crate::frame::HOST_MAC`] as `ip` writes it.
const HOST_MAC: &str = "ee:ee:ee:ee:ee:ee";
/// Prefix of a node's workloads, beside its /48 for IPv6.
const PODS_V4_BITS: u8 = 16;

/// Makes every namespace of the lab and joins them.
///
/// # Errors
/// `ip` refused something; what was made until then is still there.
pub fn up(topology: &Topology) -> Result<()> {
    let namespaces = topology.namespaces();
    batch(None, &namespaces.iter().map(|name| format!("netns add {name}")).collect::<Vec<_>>())?;
    for name in namespaces {
        settle(name)?;
    }
    batch(Some(&topology.underlay), &underlay(topology))?;
    batch(Some(&topology.world.netns), &world(topology))?;
    for node in &topology.nodes {
        batch(Some(&node.netns), &node_links(topology, node))?;
    }
    for workload in topology.workloads.iter().filter(|workload| !workload.host_network) {
        batch(Some(&workload.netns), &workload_links(workload))?;
    }
    Ok(())
}

/// Removes the namespaces, and with them every interface; fine when they are not there.
///
/// # Errors
/// `ip` refused.
pub fn down(topology: &Topology) -> Result<()> {
    let present = left(topology);
    batch(None, &present.iter().map(|name| format!("netns del {name}")).collect::<Vec<_>>())
}

/// Namespaces of the lab that exist.
#[must_use]
pub fn left(topology: &Topology) -> Vec<String> {
    let names = topology.namespaces().into_iter().map(str::to_owned);
    names.filter(|name| Path::new(NETNS_DIR).join(name).exists()).collect()
}

/// What the kernel should not do on its own in these namespaces: wait for duplicate address detection, and
/// drop what comes from a route it would not use itself. Forwarding is on everywhere, harmless in workloads.
fn settle(netns: &str) -> Result<()> {
    let settings = [
        ("net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/all/rp_filter", "0"),
        ("net/ipv4/conf/default/rp_filter", "0"),
        ("net/ipv6/conf/all/forwarding", "1"),
        ("net/ipv6/conf/all/accept_dad", "0"),
        ("net/ipv6/conf/default/accept_dad", "0"),
        ("net/ipv6/conf/default/router_solicitations", "0"),
        ("net/ipv4/ping_group_range", "0 2147483647"),
    ];
    let place = Place { netns: netns.to_owned(), cgroup: None };
    place.inside(|| {
        for (name, value) in settings {
            std::fs::write(Path::new("/proc/sys").join(name), value).with_context(|| name.to_owned())?;
        }
        Ok(())
    })
}

fn underlay(topology: &Topology) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link add {BRIDGE} type bridge mcast_snooping 0"),
        format!("link set {BRIDGE} up"),
    ];
    let ends = topology.nodes.iter().map(|node| (node.name.as_str(), node.netns.as_str()));
    for (port, netns) in ends.chain([("world", topology.world.netns.as_str())]) {
        lines.push(format!("link add {port} type veth peer name {UPLINK} netns {netns}"));
        lines.push(format!("link set {port} master {BRIDGE} up"));
    }
    lines
}

fn world(topology: &Topology) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), format!("link set {UPLINK} up")];
    lines.push(format!("addr add 10.0.0.254/24 dev {UPLINK}"));
    lines.push(format!("addr add fd00::fe/64 dev {UPLINK} nodad"));
    for address in &topology.world.v4 {
        lines.push(format!("addr add {address}/32 dev {UPLINK}"));
    }
    lines.push(format!("addr add {}/128 dev {UPLINK} nodad", topology.world.v6));
    lines.extend(topology.nodes.iter().flat_map(routes_to));
    lines
}

/// How everybody else reaches a node's workloads.
fn routes_to(node: &Node) -> [String; 2] {
    [
        format!("route add 10.{}.0.0/{PODS_V4_BITS} via {}", 100 + node.number, node.v4),
        format!("route add fd00:0:{:x}::/48 via {}", node.number, node.v6),
    ]
}

fn node_links(topology: &Topology, node: &Node) -> Vec<String> {
    let mut lines = vec![
        "link set lo up".to_owned(),
        format!("link set {UPLINK} up"),
        format!("addr add {}/24 dev {UPLINK}", node.v4),
        format!("addr add {}/64 dev {UPLINK} nodad", node.v6),
        "route add 203.0.113.0/24 via 10.0.0.254".to_owned(),
        "route add 2001:db8:ffff::/48 via fd00::fe".to_owned(),
    ];
    lines.extend(topology.nodes.iter().filter(|other| other.number != node.number).flat_map(routes_to));
    for workload in topology.workloads.iter().filter(|workload| workload.node == node.name) {
        lines.extend(host_side(node, workload));
    }
    lines
}

fn host_side(node: &Node, workload: &Workload) -> Vec<String> {
    let (Some(interface), Some(v4), Some(v6)) = (&workload.interface, workload.v4, workload.v6) else {
        return Vec::new();
    };
    vec![
        format!(
            "link add {interface} address {HOST_MAC} type veth peer name {UPLINK} netns {}",
            workload.netns
        ),
        format!("addr add {GATEWAY_V4}/32 dev {interface}"),
        format!("addr add {GATEWAY_V6}/64 dev {interface} nodad"),
        format!("link set {interface} addrgenmode none up"),
        format!("route add {v4}/32 dev {interface} src {}", node.v4),
        format!("route add {v6}/128 dev {interface} src {}", node.v6),
    ]
}

fn workload_links(workload: &Workload) -> Vec<String> {
    let mut lines = vec!["link set lo up".to_owned(), format!("link set {UPLINK} up")];
    if let (Some(v4), Some(v6)) = (workload.v4, workload.v6) {
        lines.push(format!("addr add {v4}/32 dev {UPLINK}"));
        lines.push(format!("addr add {v6}/128 dev {UPLINK} nodad"));
        lines.push(format!("route add {GATEWAY_V4}/32 dev {UPLINK} src {v4}"));
        lines.push(format!("route add default via {GATEWAY_V4} dev {UPLINK} src {v4}"));
        lines.push(format!("route add default via {GATEWAY_V6} dev {UPLINK} src {v6}"));
    }
    lines
}

/// Runs lines of `ip -batch` in a namespace; the first that fails ends it and is named.
///
/// # Errors
/// A line failed, or `ip` is missing.
pub fn batch(netns: Option<&str>, lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut script = String::new();
    for line in lines {
        writeln!(script, "{line}")?;
    }
    let mut command = Command::new("ip");
    if let Some(netns) = netns {
        command.args(["-n", netns]);
    }
    command.args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("ip: is iproute2 installed?")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).context("ip -batch")?;
    }
    let output = child.wait_with_output().context("ip -batch")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("ip in {}: {}\n{script}", netns.unwrap_or("the host"), said.trim());
    }
    Ok(())
}
