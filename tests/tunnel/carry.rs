//! Flows of unmodified programs over both hops: what they notice, what is told of them, what is seen on the wire.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use enforcer_lab::mark::{Mark, Refusal};
use enforcer_lab::policy::Kind;
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use serde_json::{Value, json};

use crate::pair::{Pair, says};
use crate::site::{LIMIT, PORT, RULE, Site, WAYS, Way, ports};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "carry::both_ends_are_told_who_the_other_is", reasons: &[], run: told },
    Case { name: "carry::an_unmodified_client_and_server_notice_nothing", reasons: &[], run: unmodified },
    Case { name: "carry::the_wire_shows_nothing_and_without_the_word_it_shows_all", reasons: &[], run: wire },
    Case { name: "carry::bulk_arrives_byte_for_byte_both_ways", reasons: &[], run: bulk },
    Case { name: "carry::many_at_once_do_not_mix", reasons: &[], run: many },
    Case { name: "carry::a_connection_is_used_again_by_the_same_pair_alone", reasons: &[], run: reused },
    Case {
        name: "carry::a_tenant_is_carried_to_itself_when_a_rule_says_so",
        reasons: &[],
        run: inside_a_tenant,
    },
    Case { name: "carry::on_one_node_only_when_the_rule_says_always", reasons: &[], run: one_node },
    Case {
        name: "carry::a_workload_on_the_nodes_network_is_carried_too",
        reasons: NO_RULE,
        run: host_network,
    },
    Case { name: "carry::datagrams_never_are", reasons: &["mtls_required", "unencrypted"], run: datagrams },
    Case { name: "carry::status_lists_what_crosses_unencrypted", reasons: &[], run: unencrypted },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const MARKER: &[u8] = b"a marker that nobody else would send: 7f1c2b9e";

/// The records of one flow, at both ends, once it is over.
fn both(site: &Site, way: &Way, marks: &(Mark, Mark), event: &str) -> Result<(Value, Value)> {
    let of = |record: &Value, direction: &str| {
        record["tunnel"]["direction"] == direction
            && record["source"]["workload"] == way.from
            && record["destination"]["workload"] == way.to
    };
    let out = site.told(&marks.0, event, |record| of(record, "outbound"))?;
    let back = site.told(&marks.1, event, |record| {
        of(record, "inbound") && record["tunnel"]["traceId"] == out["tunnel"]["traceId"]
    })?;
    Ok((out, back))
}

fn marks(site: &Site, way: &Way) -> Result<(Mark, Mark)> {
    Ok((site.mark(way.from)?, site.mark(way.to)?))
}

fn told(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    for (way, v6) in WAYS.iter().flat_map(|way| [(way, false), (way, true)]) {
        one_told(site, way, v6).with_context(|| format!("{way:?}, IPv6: {v6}"))?;
    }
    Ok(())
}

fn one_told(site: &Site, way: &Way, v6: bool) -> Result<()> {
    let marks = marks(site, way)?;
    let mut pair = site.pair(way.from, way.to, v6)?;
    pair.speaks()?;
    // The server sees the client's own address, the client the server's.
    let own = site.address(way.from, v6)?;
    ensure!(pair.seen.ip() == own, "the server sees {}, the client is {own}", pair.seen);
    let peer = pair.client.peer_addr()?;
    ensure!(peer == pair.wanted, "getpeername says {peer}, it was {}", pair.wanted);
    let (opened, _) = both(site, way, &marks, "opened")?;
    let (from, to) = (site.identity(way.from)?["serial"].clone(), site.identity(way.to)?["serial"].clone());
    pair.ends()?;
    let (out, back) = both(site, way, &marks, "closed")?;
    for record in [&opened, &out, &back] {
        let tunnel = &record["tunnel"];
        ensure!(tunnel["hop"] == way.hop, "carried by {}: {record}", tunnel["hop"]);
        ensure!(tunnel["source"]["spiffeId"] == site.id(way.from)?, "{record}");
        ensure!(tunnel["destination"]["spiffeId"] == site.id(way.to)?, "{record}");
        ensure!(
            tunnel["source"]["serial"] == from && tunnel["destination"]["serial"] == to,
            "{from}, {to}: {record}"
        );
        ensure!(record["rule"] == RULE && record["verdict"] == "allow", "{record}");
        ensure!(record["carriage"] == "tunnel", "{record}");
        ensure!(
            record["source"]["identity"] == "t1" && record["destination"]["identity"] == "t2",
            "{record}"
        );
        ensure!(record["destination"]["port"] == PORT, "{record}");
        ensure!(tunnel["traceId"].as_str().is_some_and(|id| id.len() == 32), "{record}");
    }
    for record in [&out, &back] {
        let tunnel = &record["tunnel"];
        ensure!(tunnel["end"] == "clean", "{record}");
        ensure!(tunnel["bytesForward"] == 33 && tunnel["bytesBack"] == 33, "{record}");
    }
    Ok(())
}

/// A program that runs until it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Python's file server and curl, neither of which knows of anything.
fn unmodified(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    for way in &WAYS {
        let dir = site.scratch("www")?;
        std::fs::write(dir.join("page.txt"), MARKER)?;
        let log = site.scratch("log")?.join("server.log");
        let mut command = site.program(way.to, "python3")?;
        command.args(["-u", "-m", "http.server", "--bind", "0.0.0.0", &PORT.to_string(), "--directory"]);
        command.arg(&dir).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let _server = Running(command.spawn().context("python3 -m http.server")?);
        let url = format!("http://{}/page.txt", site.at(way.to, false, PORT)?);
        let mut last = String::new();
        let waited = wait::until_true("curl fetches the page", LIMIT, || {
            let mut curl = site.program(way.from, "curl")?;
            curl.args(["--silent", "--show-error", "--max-time", "5", "--noproxy", "*"]);
            curl.args(["--write-out", "\n%{remote_ip}:%{remote_port}", &url]);
            let output = curl.output().context("curl")?;
            last = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            Ok(output.status.success())
        });
        waited.with_context(|| last.clone())?;
        let page = String::from_utf8_lossy(MARKER);
        ensure!(last == format!("{page}\n{}", site.at(way.to, false, PORT)?), "{way:?}: curl says {last}");
        let client = site.address(way.from, false)?.to_string();
        let told = std::fs::read_to_string(&log)?;
        ensure!(told.contains(&client), "{way:?}: the server's log has no {client}: {told}");
    }
    Ok(())
}

/// What crosses the nodes' network while a marker goes forth and back.
fn seen_on_the_wire(site: &Site, way: &Way) -> Result<bool> {
    let (near, far) = (site.capture(&site.node_of(way.from))?, site.capture(&site.node_of(way.to))?);
    let mut pair = site.pair(way.from, way.to, false)?;
    says(&mut pair.client, &mut pair.server, MARKER)?;
    says(&mut pair.server, &mut pair.client, MARKER)?;
    pair.ends()?;
    let (near, far) = (near.stop()?, far.stop()?);
    ensure!(!near.is_empty() && !far.is_empty(), "nothing was captured: this proves nothing");
    ensure!(near.shows(MARKER) == far.shows(MARKER), "one end sees what the other does not");
    Ok(near.shows(MARKER))
}

fn wire(site: &mut Site) -> Result<()> {
    for way in &WAYS {
        site.apply(&site.carried())?;
        ensure!(!seen_on_the_wire(site, way)?, "{way:?}: the marker is on the wire");
        let plain = site.policy().with_rule(RULE, "t1", "t2", "allow", &ports(&[PORT]));
        site.apply(&plain)?;
        ensure!(seen_on_the_wire(site, way)?, "{way:?}: without mutual TLS the marker is not on the wire");
    }
    Ok(())
}

fn bulk(site: &mut Site) -> Result<()> {
    const BYTES: usize = 24 << 20;
    site.apply(&site.carried())?;
    for way in &WAYS {
        let pair = site.pair(way.from, way.to, false)?;
        pair.carries(BYTES).with_context(|| format!("{way:?}"))?;
        pair.ends()?;
    }
    Ok(())
}

fn many(site: &mut Site) -> Result<()> {
    const AT_ONCE: usize = 48;
    site.apply(&site.carried())?;
    for way in &WAYS {
        let listener = site.listen(way.to, false, PORT)?;
        let pairs = (0..AT_ONCE).map(|_| Pair::connect(site, way.from, way.to, false, &listener));
        let mut pairs = pairs.collect::<Result<Vec<_>>>()?;
        thread::scope(|scope| {
            let all: Vec<_> = pairs.iter_mut().map(|pair| scope.spawn(|| pair.carries(256 << 10))).collect();
            all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a pair panicked"))?)
        })?;
        pairs.into_iter().try_for_each(Pair::ends)?;
    }
    Ok(())
}

/// The same two workloads use it again; another workload of the same tenant does not.
fn reused(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let way = Way { hop: "native", from: "n1-t1-p1", to: "n2-t2-p1" };
    for round in 0..3 {
        let marks = marks(site, &way)?;
        let mut pair = site.pair(way.from, way.to, false)?;
        pair.speaks()?;
        pair.ends()?;
        let (out, back) = both(site, &way, &marks, "closed")?;
        if round > 0 {
            ensure!(out["tunnel"]["reused"] == true && back["tunnel"]["reused"] == true, "{out}\n{back}");
        }
    }
    let sibling = Way { from: "n1-t1-p2", ..way };
    let marks = marks(site, &sibling)?;
    let mut pair = site.pair(sibling.from, sibling.to, false)?;
    pair.speaks()?;
    pair.ends()?;
    let (out, _) = both(site, &sibling, &marks, "closed")?;
    ensure!(out["tunnel"]["reused"] != true, "a connection of {} served {}: {out}", way.from, sibling.from);
    ensure!(out["tunnel"]["source"]["spiffeId"] == site.id(sibling.from)?, "{out}");
    Ok(())
}

fn inside_a_tenant(site: &mut Site) -> Result<()> {
    site.apply(&site.policy().with_tunnel("inside", "t1", "t1", &ports(&[PORT])))?;
    let way = Way { hop: "native", from: "n1-t1-p1", to: "n2-t1-p1" };
    let marks = marks(site, &way)?;
    let mut pair = site.pair(way.from, way.to, false)?;
    pair.speaks()?;
    pair.ends()?;
    let (out, _) = both(site, &way, &marks, "closed")?;
    ensure!(out["rule"] == "inside" && out["tunnel"]["hop"] == way.hop, "{out}");
    Ok(())
}

fn one_node(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (from, to) = ("n1-t1-p1", "n1-t2-p1");
    let mark = site.mark(from)?;
    let mut pair = site.pair(from, to, false)?;
    pair.speaks()?;
    pair.ends()?;
    let record = mark.record("a flow on one node", |record| {
        record["type"] == "flow" && record["rule"] == RULE && record["destination"]["port"] == PORT
    })?;
    ensure!(record["carriage"] == "one-node" && record["verdict"] == "allow", "{record}");
    let tunnels = mark.records()?.into_iter().find(|record| record["type"] == "tunnel");
    ensure!(tunnels.is_none(), "it was carried: {tunnels:?}");

    let always = site.carried().with_word(Kind::Rule, RULE, "mtlsAlways", json!(true));
    site.apply(&always)?;
    let way = Way { hop: "native", from, to };
    let marks = marks(site, &way)?;
    let mut pair = site.pair(from, to, false)?;
    pair.speaks()?;
    pair.ends()?;
    let (out, back) = both(site, &way, &marks, "closed")?;
    ensure!(out["tunnel"]["hop"] == way.hop && back["node"] == "n1", "{out}\n{back}");
    Ok(())
}

fn host_network(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (from, to) = ("n1-t1-host", "n2-t2-p1");
    let (near, far) = (site.mark(from)?, site.mark(to)?);
    let mut pair = site.pair(from, to, false)?;
    pair.speaks()?;
    ensure!(pair.seen.ip() == site.address("n1", false)?, "the server sees {}", pair.seen);
    ensure!(pair.client.peer_addr()? == pair.wanted, "getpeername says {}", pair.client.peer_addr()?);
    pair.ends()?;
    let id = site.id(from)?;
    for (mark, direction) in [(&near, "outbound"), (&far, "inbound")] {
        let record = site.told(mark, "closed", |record| record["tunnel"]["direction"] == direction)?;
        ensure!(record["tunnel"]["source"]["spiffeId"] == id.as_str(), "{record}");
        ensure!(record["source"]["identity"] == "t1" || direction == "inbound", "{record}");
    }
    let mark = site.mark("n1")?;
    site.is_refused("n1-t3-host", to, false)?;
    mark.tells(Refusal::no_rule("t3", "t2"), |_| true)
}

/// A datagram out, and what comes of it within a moment.
fn datagram(site: &Site, from: &str, to: SocketAddr) -> Result<bool> {
    let said = site.lab().probe(from)?.run(&["udp", &to.to_string(), "--timeout-ms", "400"])?;
    Ok(said == enforcer_lab::outcome::Outcome::Ok)
}

fn datagrams(site: &mut Site) -> Result<()> {
    let to = site.at("n2-t2-p1", false, PORT)?;
    let server = site.outside("n2-t2-p1")?.inside(|| Ok(UdpSocket::bind(("0.0.0.0", PORT))?))?;
    server.set_read_timeout(Some(Duration::from_millis(100)))?;
    let answer = |server: &UdpSocket| {
        let mut buffer = [0; 256];
        if let Ok((length, from)) = server.recv_from(&mut buffer) {
            let _answered = server.send_to(buffer.get(..length).unwrap_or_default(), from);
        }
    };
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                answer(&server);
            }
        });
        let outcome = datagrams_to(site, to);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome
    })
}

fn datagrams_to(site: &Site, to: SocketAddr) -> Result<()> {
    // All protocols, over mutual TLS: what cannot be carried does not pass at all.
    site.apply(&site.policy().with_tunnel(RULE, "t1", "t2", &Value::Null))?;
    let mark = site.mark("n1")?;
    ensure!(!datagram(site, "n1-t1-p1", to)?, "a datagram passed in plaintext");
    let refusal = Refusal { source: "t1", destination: "t2", reason: "mtls_required", rule: RULE };
    mark.tells(refusal, |record| record["protocol"] == "UDP" && record["type"] == "flow")?;
    // A rule for datagrams alone lets them pass as they are.
    let udp = json!([{ "protocol": "UDP", "port": PORT }]);
    site.apply(&site.carried().with_rule("datagrams", "t1", "t2", "allow", &udp))?;
    let mark = site.mark("n1")?;
    wait::until_true("a datagram passes", LIMIT, || datagram(site, "n1-t1-p1", to))?;
    let tunnels = mark.records()?.into_iter().find(|record| record["type"] == "tunnel");
    ensure!(tunnels.is_none(), "a datagram was carried: {tunnels:?}");
    Ok(())
}

fn unencrypted(site: &mut Site) -> Result<()> {
    site.apply(&site.carried().with_rule("in-the-clear", "t1", "t3", "allow", &ports(&[PORT])))?;
    let status = site.ctl("n1")?.json(&["status"])?;
    let of = |tenant: &str| -> Result<String> {
        let all = status["unencrypted"].as_array().with_context(|| format!("no list: {status}"))?;
        let one = all.iter().find(|one| one["tenant"] == tenant).with_context(|| tenant.to_owned())?;
        Ok(one["what"].to_string())
    };
    ensure!(of("t1")?.contains("in-the-clear"), "{}", of("t1")?);
    ensure!(!of("t2")?.contains(RULE), "what is carried is listed: {}", of("t2")?);
    Ok(())
}
