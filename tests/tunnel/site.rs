//! The lab as the tunnel's tests use it: three nodes of one fleet, of which the third knows HBONE alone; servers
//! that are this very process, and clients that are workloads.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::capture::Capture;
use enforcer_lab::config::{Config, workload_socket};
use enforcer_lab::ctl::Ctl;
use enforcer_lab::enter::Place;
use enforcer_lab::evidence::{self, NONE};
use enforcer_lab::fleet;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::mark::Mark;
use enforcer_lab::policy::Policy;
use enforcer_lab::spec::Spec;
use enforcer_lab::topology::{Node, Workload};
use enforcer_lab::wait;
use enforcer_tests::runner::Fixture;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::pair::Pair;

/// How long a change may take until everybody sees it. The tests assert what happens, not how fast.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The port of the workloads' servers, and the only one of the rules that name ports.
pub(crate) const PORT: u16 = 8080;
/// Where tunnels arrive in a workload.
pub(crate) const TUNNEL_PORT: u16 = 15008;
/// Where a workload's own connections are taken up.
pub(crate) const INTERCEPT_PORT: u16 = 15001;
/// The rule of nearly every case.
pub(crate) const RULE: &str = "carried";
/// The interface of a node towards the others.
pub(crate) const UPLINK: &str = "eth0";

/// A hop, and two workloads between which it is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) hop: &'static str,
    pub(crate) from: &'static str,
    pub(crate) to: &'static str,
}

/// Both hops; HBONE with the node that knows nothing else as client and as server.
pub(crate) const WAYS: [Way; 3] = [
    Way { hop: "native", from: "n1-t1-p1", to: "n2-t2-p1" },
    Way { hop: "hbone", from: "n3-t1-p1", to: "n2-t2-p1" },
    Way { hop: "hbone", from: "n1-t1-p1", to: "n3-t2-p1" },
];

/// The lab.
pub(crate) struct Site {
    lab: Lab,
    scratch: TempDir,
    marks: BTreeMap<String, Mark>,
    logged: BTreeMap<String, usize>,
    /// Agents run with other words, or what they have is not what they begin with.
    is_changed: bool,
    /// The last case came to its end.
    has_ended: bool,
    expects_errors: bool,
}

impl Site {
    pub(crate) fn new(name: &str) -> Result<Self> {
        Ok(Self {
            lab: Lab::up(&Spec::new(name.parse()?, 3, 3, 2)?, Binaries::find()?)?,
            scratch: TempDir::new()?,
            marks: BTreeMap::new(),
            logged: BTreeMap::new(),
            is_changed: false,
            has_ended: true,
            expects_errors: false,
        })
    }

    /// The lab itself.
    pub(crate) const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The lab itself, to end agents.
    pub(crate) const fn lab_mut(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// Lets the agents say that something is wrong.
    pub(crate) const fn expect_errors(&mut self) {
        self.expects_errors = true;
    }

    /// The next case starts from nothing.
    pub(crate) const fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// An empty directory for a case.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.scratch.path().join(name);
        remove(&dir)?;
        fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(dir)
    }

    /// Tenants and workloads, no rule.
    pub(crate) fn policy(&self) -> Policy {
        Policy::of(self.lab.topology())
    }

    /// The same, with t1 let to t2's port over mutual TLS.
    pub(crate) fn carried(&self) -> Policy {
        self.policy().with_tunnel(RULE, "t1", "t2", &ports(&[PORT]))
    }

    /// Applies a policy on every node whose agent runs.
    pub(crate) fn apply(&self, policy: &Policy) -> Result<()> {
        let nodes = self.lab.topology().nodes.iter().filter(|node| self.lab.runs_agent(&node.name));
        let nodes: Vec<&Node> = nodes.collect();
        nodes.iter().try_for_each(|node| self.lab.apply_on(node, policy))?;
        nodes.iter().try_for_each(|node| self.stands(&node.name))
    }

    /// Waits until the listeners of every workload stand that needs a tunnel.
    fn stands(&self, node: &str) -> Result<()> {
        let mut last = Value::Null;
        let waited = wait::until_true(&format!("the listeners of {node} stand"), LIMIT, || {
            last = self.ctl(node)?.json(&["tunnel", "list"])?;
            Ok(last["ends"].as_array().is_some_and(|ends| ends.iter().all(|end| end["ready"] == true)))
        });
        waited.with_context(|| format!("{last:#}"))
    }

    /// Applies a policy on one node.
    pub(crate) fn apply_on(&self, node: &str, policy: &Policy) -> Result<()> {
        self.lab.apply_on(self.lab.node(node)?, policy)
    }

    /// A node.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.lab.node(name)
    }

    /// A workload.
    pub(crate) fn workload(&self, name: &str) -> Result<&Workload> {
        self.lab.topology().workload(name).with_context(|| format!("no workload {name}"))
    }

    /// The SPIFFE ID of a workload.
    pub(crate) fn id(&self, name: &str) -> Result<String> {
        Ok(fleet::id_of(self.workload(name)?))
    }

    /// The name of the node on which a place is.
    pub(crate) fn node_of(&self, place: &str) -> String {
        self.lab.topology().workload(place).map_or(place, |workload| &workload.node).to_owned()
    }

    /// `enforcerctl` of a workload's node, or of the node itself.
    pub(crate) fn ctl(&self, place: &str) -> Result<Ctl> {
        self.lab.ctl(&self.node_of(place))
    }

    /// Where a node's records and counters stand.
    pub(crate) fn mark(&self, place: &str) -> Result<Mark> {
        Mark::at(self.ctl(place)?)
    }

    /// Where a program runs that is to be somebody.
    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        place_of(self.lab.topology(), name)
    }

    /// A workload's network, without being the workload: no control group of the node.
    pub(crate) fn outside(&self, name: &str) -> Result<Place> {
        Ok(Place { netns: self.place(name)?.netns, cgroup: None })
    }

    /// The address of a workload or a node.
    pub(crate) fn address(&self, place: &str, v6: bool) -> Result<IpAddr> {
        let topology = self.lab.topology();
        let (v4, v6_address) = match (topology.workload(place), topology.node(place)) {
            (Some(workload), _) if workload.host_network => return self.address(&workload.node, v6),
            (Some(workload), _) => (workload.v4, workload.v6),
            (None, Some(node)) => (Some(node.v4), Some(node.v6)),
            (None, None) => bail!("no place is called {place}"),
        };
        let address = if v6 { v6_address.map(IpAddr::V6) } else { v4.map(IpAddr::V4) };
        address.with_context(|| format!("{place} has no such address"))
    }

    /// A port of a place.
    pub(crate) fn at(&self, place: &str, v6: bool, port: u16) -> Result<SocketAddr> {
        Ok(SocketAddr::new(self.address(place, v6)?, port))
    }

    /// A server in a workload's network: this process. It is the workload's as far as packets go.
    pub(crate) fn listen(&self, place: &str, v6: bool, port: u16) -> Result<TcpListener> {
        let any: IpAddr = if v6 { "::".parse()? } else { "0.0.0.0".parse()? };
        self.listen_at(place, SocketAddr::new(any, port))
    }

    /// The same, on one address.
    pub(crate) fn listen_at(&self, place: &str, at: SocketAddr) -> Result<TcpListener> {
        let listener = self
            .outside(place)?
            .inside(|| TcpListener::bind(at).with_context(|| format!("{at} in {place}")))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    /// A connection of a workload's, or of a host-network workload's; what `connect` said is the inner result.
    pub(crate) fn dial(&self, from: &str, to: SocketAddr) -> Result<io::Result<TcpStream>> {
        patient(self.lab.hand(from)?.connect(to)?)
    }

    /// A connection from a workload's network that its control group knows nothing of, as if its node's socket
    /// hooks were off.
    pub(crate) fn dial_unhooked(&self, from: &str, to: SocketAddr) -> Result<io::Result<TcpStream>> {
        patient(self.outside(from)?.inside(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)))?)
    }

    /// A connection through whatever is between two workloads: both ends of it.
    pub(crate) fn pair(&self, from: &str, to: &str, v6: bool) -> Result<Pair> {
        let listener = self.listen(to, v6, PORT)?;
        Pair::connect(self, from, to, v6, &listener)
    }

    /// The last records at both ends of a flow that did not come to be.
    pub(crate) fn last_words(&self, from: &str, to: &str) -> String {
        let last = |place: &str| {
            self.ctl(place).and_then(|ctl| ctl.run(&["observe", "--last", "4"], "")).unwrap_or_default()
        };
        format!("{from} dials {to}\n{}\n{}", last(from), last(to))
    }

    /// Connects, and must not get through: no server sees anything of it.
    pub(crate) fn is_refused(&self, from: &str, to: &str, v6: bool) -> Result<String> {
        let listener = self.listen(to, v6, PORT)?;
        let said = refusal(self.dial(from, self.at(to, v6, PORT)?)?)?;
        ensure!(accept_within(&listener, Duration::from_millis(100)).is_err(), "the server has a connection");
        Ok(said)
    }

    /// What passes on a node's interface to the others.
    pub(crate) fn capture(&self, node: &str) -> Result<Capture> {
        Capture::start(&Place { netns: self.node(node)?.netns.clone(), cgroup: None }, UPLINK)
    }

    /// Waits for a record of a tunnelled flow.
    pub(crate) fn told(&self, mark: &Mark, event: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        mark.record(&format!("a tunnel that is {event}"), |record| {
            record["type"] == "tunnel" && record["tunnel"]["event"] == event && fits(record)
        })
    }

    /// Waits for a record that a flow was refused, by the tunnel, for a reason.
    pub(crate) fn told_refused(&self, mark: &Mark, reason: &str) -> Result<Value> {
        self.told(mark, "refused", |record| record["reason"] == reason)
    }

    /// A workload's certificate in files, as the workload would keep it.
    pub(crate) fn fetch(&self, workload: &str) -> Result<PathBuf> {
        let dir = self.scratch(&format!("svid-{workload}"))?.join("tls");
        let mut command = self.place(workload)?.command(&self.lab.binaries().ctl)?;
        command.args(["svid", "fetch", "--write"]).arg(&dir);
        command.arg("--workload-socket").arg(workload_socket(self.node(&self.node_of(workload))?));
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "svid fetch in {workload}: {}", said.trim());
        Ok(dir)
    }

    /// A program inside a workload.
    pub(crate) fn program(&self, place: &str, program: impl AsRef<Path>) -> Result<Command> {
        self.place(place)?.command(program.as_ref())
    }

    /// What `identity list` says of one workload.
    pub(crate) fn identity(&self, workload: &str) -> Result<Value> {
        let list = self.ctl(workload)?.json(&["identity", "list"])?;
        let all = list["identities"].as_array();
        let found = all.and_then(|all| all.iter().find(|one| one["workload"] == workload));
        found.cloned().with_context(|| format!("{workload} is not listed: {list:#}"))
    }

    /// Resident memory of a node's agent, in KiB.
    pub(crate) fn resident_kib(&self, node: &str) -> Result<u64> {
        let path = format!("/proc/{}/status", self.lab.agent_process(node)?.pid);
        let status = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.split_whitespace().next().context("an empty line")?.parse()?)
    }

    /// Starts an agent on what it has.
    pub(crate) fn start(&mut self, node: &str) -> Result<()> {
        self.start_with(node, &json!({}), &json!({}))
    }

    /// Starts an agent with further words of the sections `tunnel` and `identity`, on what it has, and waits until
    /// it serves everybody.
    pub(crate) fn start_with(&mut self, node: &str, tunnel: &Value, identity: &Value) -> Result<()> {
        let of = self.node(node)?.clone();
        let config = fleet::place_in(&self.lab, &of, words(node, tunnel).with_identity(identity))?;
        self.lab.start_agent(node, &config)?;
        if self.ctl(node)?.json(&["status"])?["revision"].as_u64().unwrap_or_default() == 0 {
            self.apply_on(node, &self.policy())?;
        }
        fleet::settle(&self.ctl(node)?, node)
    }

    /// Ends an agent as a service manager does, and starts it with further words.
    pub(crate) fn again_with(&mut self, node: &str, tunnel: &Value, identity: &Value) -> Result<()> {
        self.mark_changed();
        self.lab.take_agent(node)?.stop()?;
        self.start_with(node, tunnel, identity)
    }

    fn node_names(&self) -> Vec<String> {
        self.lab.topology().nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn begin_anew(&mut self) -> Result<()> {
        for name in self.node_names().iter().rev() {
            if self.lab.runs_agent(name) {
                // One that was told to stop and does not is no reason to keep it.
                self.lab.take_agent(name)?.kill()?;
            }
            let node = self.lab.node(name)?;
            for left in ["state", "enrolled", "key-encryption.key"] {
                remove(&node.dir.join(left))?;
            }
        }
        let policy = self.policy();
        fleet::start(&mut self.lab, &policy, |node| words(&node.name, &json!({})))?;
        self.is_changed = false;
        Ok(())
    }
}

impl Fixture for Site {
    fn before(&mut self) -> Result<()> {
        let is_clean = std::mem::replace(&mut self.has_ended, false) && !self.is_changed;
        self.expects_errors = false;
        if is_clean && self.node_names().iter().all(|name| self.lab.runs_agent(name)) {
            self.apply(&self.policy())?;
        } else {
            self.begin_anew()?;
        }
        for name in self.node_names() {
            self.marks.insert(name.clone(), self.mark(&name)?);
            self.logged.insert(name.clone(), evidence::errors_logged(self.lab.node(&name)?)?.len());
        }
        Ok(())
    }

    fn after(&mut self, reasons: &[&str]) -> Result<()> {
        for name in self.node_names() {
            let errors = evidence::errors_logged(self.lab.node(&name)?)?;
            let known = self.logged.get(&name).copied().unwrap_or_default();
            if let (Some(error), false) = (errors.get(known), self.expects_errors) {
                bail!("the agent of {name} logged: {error}");
            }
            if !self.lab.runs_agent(&name) {
                continue;
            }
            let Some(mark) = self.marks.get(&name) else { continue };
            let grown = mark.counted()?;
            let is_foreign = |reason: &str| reason != NONE && !reasons.contains(&reason);
            if let Some(key) = grown.0.keys().find(|key| is_foreign(&key.reason)) {
                let records = mark.records()?;
                let mut told = records.iter().filter(|record| record["reason"] == key.reason.as_str());
                // The last words of a connection that carried what an earlier case allowed.
                let is_late = |record: &&Value| {
                    let port = |end: &str| record[end]["port"] == TUNNEL_PORT;
                    record["type"] == "flow" && (port("source") || port("destination"))
                };
                ensure!(
                    told.clone().next().is_some() && told.all(|record| is_late(&record)),
                    "{name} counted a drop that this case does not expect: {key:?}\n{records:?}"
                );
            }
        }
        self.has_ended = true;
        Ok(())
    }
}

/// A connection that gets nowhere for so long is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

fn patient(dialled: io::Result<TcpStream>) -> Result<io::Result<TcpStream>> {
    match dialled {
        Ok(stream) => Ok(Ok(with_patience(stream)?)),
        Err(error) => Ok(Err(error)),
    }
}

fn with_patience(stream: TcpStream) -> Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The next connection of a listener.
pub(crate) fn accept(listener: &TcpListener) -> Result<(TcpStream, SocketAddr)> {
    accept_within(listener, PATIENCE)
}

/// The next connection of a listener, if it comes soon.
pub(crate) fn accept_within(listener: &TcpListener, limit: Duration) -> Result<(TcpStream, SocketAddr)> {
    let (stream, from) = wait::until("a connection arrives", limit, || match listener.accept() {
        Ok(accepted) => Ok(Some(accepted)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    })?;
    stream.set_nonblocking(false)?;
    Ok((with_patience(stream)?, from))
}

/// How a connection that must not be was refused: at `connect`, or as soon as it is used.
fn refusal(dialled: io::Result<TcpStream>) -> Result<String> {
    use io::{Read as _, Write as _};
    let mut stream = match dialled {
        Ok(stream) => stream,
        Err(error) => return Ok(error.to_string()),
    };
    let _broken = stream.write_all(b"anybody there?");
    let mut answer = [0; 16];
    match stream.read(&mut answer) {
        Ok(0) => Ok("closed".to_owned()),
        Ok(_) => bail!("it was answered: {:?}", String::from_utf8_lossy(&answer)),
        Err(error) => Ok(error.to_string()),
    }
}

/// TCP ports, as rules name them.
pub(crate) fn ports(ports: &[u16]) -> Value {
    ports.iter().map(|port| json!({ "protocol": "TCP", "port": port })).collect()
}

/// A node's own words: short limits, so that running into them takes no minutes.
fn words(node: &str, more: &Value) -> Config {
    let mut tunnel = json!({
        "handshakeTimeout": "2s",
        "connectTimeout": "2s",
        "halfCloseTimeout": "2s",
        "drainTimeout": "3s",
    });
    if node == "n3" {
        tunnel["hops"] = json!(["hbone"]);
    }
    if let (Some(tunnel), Some(more)) = (tunnel.as_object_mut(), more.as_object()) {
        tunnel.extend(more.clone());
    }
    Config::default().with("tunnel", tunnel)
}

/// Removes a file or a directory; fine when it is not there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
