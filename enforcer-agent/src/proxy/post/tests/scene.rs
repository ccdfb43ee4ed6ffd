//! A node with one pod: each test is its own node, a namespace that ends with the test's thread.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;
use crate::proxy::post::handover::Stock;

pub(super) const POD: [&str; 2] = ["192.0.2.10", "2001:db8:2::10"];
/// Clients whose addresses are nowhere near.
pub(super) const CLIENT: [&str; 2] = ["198.51.100.7:4321", "[2001:db8:51::7]:4321"];

/// Runs a test on a node of its own.
pub(super) fn on_a_node(test: impl AsyncFnOnce() + Send + 'static) {
    let node = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { timeout(Duration::from_secs(30), test()).await.expect("it takes too long") });
    });
    if let Err(panic) = node.join() {
        std::panic::resume_unwind(panic);
    }
}

/// `ip` in the calling thread's namespace, which a child inherits.
pub(super) fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A pod: a named namespace and a veth pair whose outer end is on the node.
pub(super) struct Pod {
    pub(super) name: String,
}

impl Pod {
    pub(super) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let pod =
            Self { name: format!("tpost-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)) };
        let name = &pod.name;
        ip(&format!("netns add {name}"));
        ip(&format!("link add host type veth peer name eth0 netns {name}"));
        for (on_node, in_pod) in
            [("192.0.2.1/24", "192.0.2.10/24"), ("2001:db8:2::1/64", "2001:db8:2::10/64")]
        {
            ip(&format!("addr add {on_node} dev host{}", without_waiting(on_node)));
            ip(&format!("-n {name} addr add {in_pod} dev eth0{}", without_waiting(in_pod)));
        }
        ip("link set host up");
        ip(&format!("-n {name} link set eth0 up"));
        // Where an answer to a client goes if nobody holds it back.
        ip(&format!("-n {name} route add default via 192.0.2.1"));
        ip(&format!("-n {name} route add default via 2001:db8:2::1"));
        pod
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.name)
    }

    pub(super) fn namespace(&self) -> Namespace {
        Namespace::open(&self.path()).unwrap()
    }

    pub(super) fn spec(&self) -> PostSpec {
        let addresses = POD.iter().map(|address| address.parse().unwrap()).collect();
        PostSpec { workload: "red/web".into(), namespace: self.namespace(), place: Place::Pod(addresses) }
    }

    pub(super) fn post(&self) -> Post {
        Post::open(self.spec(), &mut Stock::default()).unwrap()
    }

    /// Everything that routing in it consists of.
    pub(super) fn routing(&self) -> String {
        let name = &self.name;
        let read =
            |path: &str| std::fs::read_to_string(format!("/proc/sys/net/{path}")).unwrap().trim().to_owned();
        let paths = ["ipv4/tcp_fwmark_accept", "ipv4/fwmark_reflect", "ipv6/fwmark_reflect"];
        let sysctls = self.namespace().enter(|| paths.map(read).join(" ")).unwrap();
        let tables = ["-4 rule", "-6 rule", "-4 route show table all", "-6 route show table all"];
        let shown = tables.map(|table| ip(&format!("-n {name} {table}")));
        // An interface that comes up gets these by and by.
        let lines = shown.iter().flat_map(|shown| shown.lines()).filter(|line| !line.contains("multicast"));
        let mut lines: Vec<&str> = lines.filter(|line| !line.contains("fe80")).collect();
        lines.push(&sysctls);
        lines.join("\n")
    }

    /// An application that knows of nothing: it says to its first client who that is, and gives back what it hears.
    pub(super) fn application(&self, address: SocketAddr) -> JoinHandle<SocketAddr> {
        let listener = self.namespace().enter(|| TcpListener::bind(address).unwrap()).unwrap();
        std::thread::spawn(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            stream.write_all(&heard).unwrap();
            peer
        })
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

fn without_waiting(address: &str) -> &'static str {
    if address.contains(':') { " nodad" } else { "" }
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn at(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse::<IpAddr>().unwrap(), port)
}

/// Says something, ends, and hears the answer.
pub(super) async fn exchange(stream: &mut TcpStream, said: &[u8]) -> Vec<u8> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(said).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).await.unwrap();
    heard
}
