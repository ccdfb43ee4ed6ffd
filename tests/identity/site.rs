//! A lab in which every workload has its identity before a case begins, and what cases ask of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::{self, Config, TRUST_DOMAIN};
use enforcer_lab::ctl::Ctl;
use enforcer_lab::enter::Place;
use enforcer_lab::evidence;
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::policy::{NAMESPACE, Policy};
use enforcer_lab::spec::Spec;
use enforcer_lab::topology::{Node, Workload};
use enforcer_lab::wait;
use enforcer_tests::runner::Fixture;
use serde_json::Value;
use tempfile::TempDir;

use crate::enrolment;
use crate::heard::Client;

/// How long a change may take until everybody sees it. The tests assert what happens, not how fast.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The node that every case but those of a fleet is about.
pub(crate) const NODE: &str = "n1";

/// How the nodes of a lab are started for every case that does not say otherwise.
type Start = fn(&mut Site) -> Result<()>;

/// The lab.
pub(crate) struct Site {
    lab: Lab,
    start: Start,
    scratch: TempDir,
    /// Errors in each node's log that were there before the case.
    logged: BTreeMap<String, usize>,
    /// The agents run with other words or on other keys: the next case starts from nothing.
    is_changed: bool,
    /// The last case came to its end. One that failed may have left anything behind.
    has_ended: bool,
    /// The case makes the agent complain.
    expects_errors: bool,
}

impl Site {
    /// One node, its own authority.
    pub(crate) fn alone(name: &str) -> Result<Self> {
        Self::up(&Spec::new(name.parse()?, 1, 3, 2)?, |site| site.start(NODE, &Config::default()))
    }

    /// Two nodes; the second asks the first.
    pub(crate) fn fleet(name: &str) -> Result<Self> {
        Self::up(&Spec::new(name.parse()?, 2, 2, 2)?, enrolment::start_both)
    }

    fn up(spec: &Spec, start: Start) -> Result<Self> {
        Ok(Self {
            lab: Lab::up(spec, Binaries::find()?)?,
            start,
            scratch: TempDir::new()?,
            logged: BTreeMap::new(),
            is_changed: true,
            has_ended: true,
            expects_errors: false,
        })
    }

    /// The lab itself.
    pub(crate) const fn lab(&self) -> &Lab {
        &self.lab
    }

    /// An empty directory for a case.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.scratch.path().join(name);
        remove(&dir)?;
        fs::create_dir_all(&dir).with_context(|| format!("{}", dir.display()))?;
        Ok(dir)
    }

    /// Where the directories of cases are.
    pub(crate) fn scratch_root(&self) -> &Path {
        self.scratch.path()
    }

    /// A node.
    pub(crate) fn node(&self, name: &str) -> Result<&Node> {
        self.lab.node(name)
    }

    /// A workload.
    pub(crate) fn workload(&self, name: &str) -> Result<&Workload> {
        self.lab.topology().workload(name).with_context(|| format!("no workload {name}"))
    }

    /// `enforcerctl` of a workload's node, or of the node itself.
    pub(crate) fn ctl(&self, place: &str) -> Result<Ctl> {
        let node = self.lab.topology().workload(place).map_or(place, |workload| workload.node.as_str());
        self.lab.ctl(node)
    }

    /// Where a program runs that is to be somebody.
    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        place_of(self.lab.topology(), name)
    }

    /// The Workload API of the node on which a place is.
    pub(crate) fn socket(&self, place: &str) -> Result<PathBuf> {
        let node = self.lab.topology().workload(place).map_or(place, |workload| workload.node.as_str());
        let node = if node == "world" { NODE } else { node };
        Ok(config::workload_socket(self.node(node)?))
    }

    /// A client in a workload, on a node (in no workload) or in the world.
    pub(crate) fn client(&self, place: &str) -> Result<Client> {
        Ok(Client::new(self.place(place)?, &self.socket(place)?))
    }

    /// Tenants and workloads, no rule.
    pub(crate) fn policy(&self) -> Policy {
        Policy::of(self.lab.topology())
    }

    /// Applies a policy on every node.
    pub(crate) fn apply(&self, policy: &Policy) -> Result<()> {
        self.lab.apply(policy)
    }

    /// Lets the agent say that something is wrong.
    pub(crate) const fn expect_errors(&mut self) {
        self.expects_errors = true;
    }

    /// The next case starts from nothing.
    pub(crate) const fn mark_changed(&mut self) {
        self.is_changed = true;
    }

    /// Starts an agent, with the policy that every case starts with.
    pub(crate) fn start(&mut self, node: &str, config: &Config) -> Result<()> {
        self.lab.start_agent(node, config)?;
        self.lab.apply_on(self.lab.node(node)?, &self.policy())?;
        self.settle(node)
    }

    /// Starts an agent on what it left behind, and waits for nothing else.
    pub(crate) fn resume(&mut self, node: &str, config: &Config) -> Result<()> {
        self.lab.start_agent(node, config)
    }

    /// Ends an agent as a service manager does.
    pub(crate) fn stop(&mut self, node: &str) -> Result<()> {
        self.lab.take_agent(node)?.stop()
    }

    /// Ends an agent without warning.
    pub(crate) fn kill(&mut self, node: &str) -> Result<()> {
        self.lab.take_agent(node)?.kill()
    }

    /// Starts an agent with other words, on nothing: no key, no certificate, no policy.
    pub(crate) fn anew(&mut self, node: &str, config: &Config) -> Result<()> {
        self.wipe(node)?;
        self.start(node, config)
    }

    /// Starts an agent with other words on what it has.
    pub(crate) fn again(&mut self, node: &str, config: &Config) -> Result<()> {
        self.mark_changed();
        self.stop(node)?;
        self.start(node, config)
    }

    /// Ends an agent and forgets everything it had.
    pub(crate) fn wipe(&mut self, node: &str) -> Result<()> {
        self.mark_changed();
        if self.lab.runs_agent(node) {
            self.stop(node)?;
        }
        let node = self.lab.node(node)?;
        remove(&node.dir.join("state"))?;
        remove(&config::key_file(node))
    }

    /// Waits until every workload of a node has what the policy gives it.
    pub(crate) fn settle(&self, node: &str) -> Result<()> {
        let mut last = Value::Null;
        let waited = wait::until_true(&format!("every workload of {node} has its identity"), LIMIT, || {
            last = self.list(node)?;
            let identities = last["identities"].as_array().context("no identities")?;
            Ok(!identities.is_empty() && identities.iter().all(|one| one["state"] == "valid"))
        });
        waited.with_context(|| format!("{last:#}"))
    }

    /// What `identity list` says.
    pub(crate) fn list(&self, node: &str) -> Result<Value> {
        self.ctl(node)?.json(&["identity", "list"])
    }

    /// What `identity list` says of one workload.
    pub(crate) fn identity(&self, workload: &str) -> Result<Value> {
        let list = self.list(&self.workload(workload)?.node)?;
        let found =
            list["identities"].as_array().and_then(|all| all.iter().find(|one| one["workload"] == workload));
        found.cloned().with_context(|| format!("{workload} is not listed: {list:#}"))
    }

    /// Waits until `identity list` says something of one workload.
    pub(crate) fn listed(&self, workload: &str, what: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
        let mut last = Value::Null;
        let waited = wait::until(&format!("{workload}: {what}"), LIMIT, || {
            last = self.identity(workload)?;
            Ok(fits(&last).then(|| last.clone()))
        });
        waited.with_context(|| format!("{last:#}"))
    }

    /// What `identity list` says of one trust domain, as a node sees it.
    pub(crate) fn trust_domain(&self, node: &str, tenant: &str) -> Result<Value> {
        let list = self.list(node)?;
        let found =
            list["trustDomains"].as_array().and_then(|all| all.iter().find(|one| one["tenant"] == tenant));
        found.cloned().with_context(|| format!("no trust domain of {tenant:?}: {list:#}"))
    }

    /// Serial numbers of every certificate that a node serves.
    pub(crate) fn serials(&self, node: &str) -> Result<BTreeMap<String, String>> {
        let list = self.list(node)?;
        let pair =
            |one: &Value| Some((one["workload"].as_str()?.to_owned(), one["serial"].as_str()?.to_owned()));
        Ok(list["identities"].as_array().context("no identities")?.iter().filter_map(pair).collect())
    }

    /// Runs `enforcerctl svid` in a workload.
    pub(crate) fn svid(&self, workload: &str, arguments: &[&str]) -> Result<std::process::Command> {
        let mut command = self.place(workload)?.command(&self.lab.binaries().ctl)?;
        command.arg("svid").args(arguments).arg("--workload-socket").arg(self.socket(workload)?);
        Ok(command)
    }

    /// A workload's files, by way of `enforcerctl svid fetch --write`.
    pub(crate) fn fetch_files(&self, workload: &str, dir: &Path) -> Result<()> {
        let dir = dir.to_str().context("a path that is not text")?;
        let output = self.svid(workload, &["fetch", "--write", dir])?.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "svid fetch in {workload}: {}", said.trim());
        Ok(())
    }

    /// Lines that a node's agent logged.
    pub(crate) fn log(&self, node: &str) -> Result<String> {
        let path = enforcer_lab::agent::log_of(self.node(node)?);
        fs::read_to_string(&path).with_context(|| format!("{}", path.display()))
    }

    fn node_names(&self) -> Vec<String> {
        self.lab.topology().nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn begin_anew(&mut self) -> Result<()> {
        for node in self.node_names() {
            self.wipe(&node)?;
        }
        (self.start)(self)?;
        self.is_changed = false;
        Ok(())
    }

    /// Cases may leave revocations, rules and holes in the policy behind.
    fn as_at_first(&mut self) -> Result<()> {
        for node in self.node_names() {
            if !self.lab.runs_agent(&node) {
                return self.begin_anew();
            }
        }
        self.apply(&self.policy())?;
        self.node_names().iter().try_for_each(|node| self.settle(node))
    }
}

impl Fixture for Site {
    fn before(&mut self) -> Result<()> {
        let is_clean = std::mem::replace(&mut self.has_ended, false) && !self.is_changed;
        self.expects_errors = false;
        if is_clean {
            self.as_at_first()?
        } else {
            self.begin_anew()?
        }
        for name in self.node_names() {
            let logged = evidence::errors_logged(self.lab.node(&name)?)?.len();
            self.logged.insert(name, logged);
        }
        Ok(())
    }

    fn after(&mut self, _: &[&str]) -> Result<()> {
        for name in self.node_names() {
            let errors = evidence::errors_logged(self.lab.node(&name)?)?;
            let known = self.logged.get(&name).copied().unwrap_or_default();
            if let (Some(error), false) = (errors.get(known), self.expects_errors) {
                bail!("the agent of {name} logged: {error}");
            }
        }
        self.has_ended = true;
        Ok(())
    }
}

/// The SPIFFE ID that the lab's policy gives a workload.
pub(crate) fn id_of(workload: &Workload) -> String {
    format!("spiffe://{}.{TRUST_DOMAIN}/ns/{NAMESPACE}/sa/{}", workload.tenant, workload.name)
}

/// A tenant's trust domain.
pub(crate) fn domain_of(tenant: &str) -> String {
    format!("{tenant}.{TRUST_DOMAIN}")
}

/// Removes a file or a directory; fine when it is not there.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
