//! A node with three tenants, a GPU that belongs to the first, and an agent that keeps what it sees.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::config::{Config, TRUST_DOMAIN, workload_socket};
use enforcer_lab::ctl::{Answer, Ctl};
use enforcer_lab::enter::Place;
use enforcer_lab::evidence;
use enforcer_lab::fleet::{self, id_of};
use enforcer_lab::lab::{Lab, place_of};
use enforcer_lab::outcome::Outcome;
use enforcer_lab::policy::{Kind, Policy};
use enforcer_lab::probe::Running;
use enforcer_lab::spec::Spec;
use enforcer_lab::wait;
use enforcer_tests::runner::Fixture;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The node.
pub(crate) const NODE: &str = "n1";
/// A workload of the tenant that was granted the GPU, and serves.
pub(crate) const OWNER: &str = "n1-t1-p1";
/// A workload of another tenant.
pub(crate) const INTRUDER: &str = "n1-t2-p1";
/// Workloads whose certificates may read their own tenant's records over the network.
pub(crate) const READERS: [&str; 2] = ["n1-t1-p2", "n1-t2-p2"];
/// The workload whose certificate operates the node.
pub(crate) const OPERATOR: &str = "n1-t3-p2";
/// The port that workloads serve.
pub(crate) const PORT: u16 = 8080;
/// The network door.
const DOOR: u16 = 7443;
/// How long a record may take to where it is looked for. The tests assert that it comes, not how fast.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The lab.
pub(crate) struct Site {
    // Dropped before the lab, whose control groups they are in.
    servers: Vec<Running>,
    lab: Lab,
    gpu: PathBuf,
    scratch: TempDir,
    /// The agent runs with other words, or its traces were tampered with: the next case starts from nothing.
    is_changed: bool,
    logged: usize,
    expects_errors: bool,
}

impl Site {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let lab = Lab::up(&Spec::new(name.parse()?, 1, 3, 2)?, Binaries::find()?)?;
        let gpu = lab.device_node("nvidia0", 195, 0)?;
        let mut site = Self {
            servers: Vec::new(),
            lab,
            gpu,
            scratch: TempDir::new()?,
            is_changed: true,
            logged: 0,
            expects_errors: false,
        };
        for place in ["n1-t1-p1", "n1-t1-p2", "n1-t2-p1", "n1-t3-p1"] {
            let server = site.lab.probe(place)?.start(&["serve", &PORT.to_string()])?;
            site.servers.push(server);
        }
        Ok(site)
    }

    /// The words that every agent here has: a door on which tenants read their own records.
    pub(crate) fn config(&self) -> Result<Config> {
        let node = self.lab.node(NODE)?;
        let readers = READERS.map(|name| self.id(name)).into_iter().collect::<Result<Vec<_>>>()?;
        let door = json!({
            "address": format!("{}:{DOOR}", node.v4),
            "allowedSpiffeIds": [self.id(OPERATOR)?],
            "readers": readers,
        });
        Ok(Config::default().with("listener", door))
    }

    /// Starts over with other words and empty traces; the next case starts from nothing too.
    pub(crate) fn again(&mut self, config: &Config) -> Result<()> {
        self.is_changed = true;
        self.stop()?;
        let state = self.lab.node(NODE)?.dir.join("state");
        if state.exists() {
            fs::remove_dir_all(&state).with_context(|| format!("{}", state.display()))?;
        }
        self.start(config)
    }

    /// Starts the agent on what is there, and waits until every workload has its certificate.
    pub(crate) fn start(&mut self, config: &Config) -> Result<()> {
        self.lab.start_agent(NODE, config)?;
        self.apply(&self.policy())?;
        fleet::settle(&self.ctl()?, NODE)
    }

    /// Ends the agent in good order, if it runs.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.lab.runs_agent(NODE) { self.lab.take_agent(NODE)?.stop() } else { Ok(()) }
    }

    /// Ends the agent without warning.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.lab.take_agent(NODE)?.kill()
    }

    /// What the case makes of the traces is no state for the next.
    pub(crate) const fn is_spoilt(&mut self) {
        self.is_changed = true;
    }

    /// The case makes the agent complain.
    pub(crate) const fn expect_errors(&mut self) {
        self.expects_errors = true;
    }

    /// Three tenants; the first may open the GPU, and a rule lets it reach the third.
    pub(crate) fn policy(&self) -> Policy {
        let grant = json!([{ "class": "nvidia", "minors": [0] }]);
        let ports = json!([{ "protocol": "TCP", "port": PORT }]);
        Policy::of(self.lab.topology())
            .with_word(Kind::Tenant, "t1", "devices", grant)
            .with_rule("t1-to-t3", "t1", "t3", "allow", &ports)
    }

    pub(crate) fn apply(&self, policy: &Policy) -> Result<()> {
        self.lab.apply(policy)
    }

    pub(crate) const fn lab(&self) -> &Lab {
        &self.lab
    }

    pub(crate) fn ctl(&self) -> Result<Ctl> {
        self.lab.ctl(NODE)
    }

    pub(crate) fn gpu(&self) -> String {
        self.gpu.display().to_string()
    }

    /// An empty directory for a case.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let dir = self.scratch.path().join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// Where the node keeps its traces.
    pub(crate) fn traces(&self) -> Result<PathBuf> {
        Ok(self.lab.node(NODE)?.dir.join("state").join("trace"))
    }

    pub(crate) fn id(&self, workload: &str) -> Result<String> {
        Ok(id_of(self.lab.topology().workload(workload).with_context(|| workload.to_owned())?))
    }

    pub(crate) fn address(&self, workload: &str) -> Result<SocketAddr> {
        let found = self.lab.topology().workload(workload).and_then(|workload| workload.v4);
        Ok(SocketAddr::new(found.with_context(|| workload.to_owned())?.into(), PORT))
    }

    pub(crate) fn place(&self, name: &str) -> Result<Place> {
        place_of(self.lab.topology(), name)
    }

    /// A workload tries another's server.
    pub(crate) fn dial(&self, from: &str, to: &str) -> Result<Outcome> {
        let to = self.address(to)?.to_string();
        self.lab.probe(from)?.run(&["tcp", &to, "--timeout-ms", "800"])
    }

    /// One process of a tenant that is no friend of the first: it tries that one's server, then its GPU.
    pub(crate) fn intrude(&self) -> Result<()> {
        let to = self.address(OWNER)?.to_string();
        let mut command = self.place(INTRUDER)?.command(&self.lab.binaries().probe)?;
        command.args(["intrude", &to, &self.gpu(), "--timeout-ms", "800"]);
        let said = crate::outside::run(&mut command)?;
        ensure!(said.lines().count() == 2 && !said.contains("\"ok\""), "the intruder was let in: {said}");
        Ok(())
    }

    /// What is stored and passes a filter, once there is as much of it as is asked for.
    pub(crate) fn stored(&self, filter: &[&str], least: usize) -> Result<Vec<Value>> {
        let ctl = self.ctl()?;
        let mut last = Vec::new();
        let waited = wait::until_true(&format!("{least} stored records of {filter:?}"), LIMIT, || {
            last = ctl.json_lines(&[&["trace", "query"], filter].concat())?;
            Ok(last.len() >= least)
        });
        waited.with_context(|| format!("{last:#?}"))?;
        Ok(last)
    }

    /// Seals what waits in the log.
    pub(crate) fn seal(&self) -> Result<()> {
        self.ctl()?.run(&["trace", "seal"], "").map(drop)
    }

    /// `enforcerctl` with a workload's certificate, at the network door.
    pub(crate) fn remote(&self, workload: &str, words: &[&str]) -> Result<Answer> {
        let (papers, _) = self.papers(workload)?;
        self.remote_with(&papers, words)
    }

    /// The same with a certificate in files.
    pub(crate) fn remote_with(&self, papers: &Path, words: &[&str]) -> Result<Answer> {
        let mut command = self.place(NODE)?.command(&self.lab.binaries().ctl)?;
        command.arg("--address").arg(format!("https://{}:{DOOR}", self.lab.node(NODE)?.v4));
        command.arg("--cert").arg(papers.join("svid.pem")).arg("--key").arg(papers.join("svid_key.pem"));
        command.arg("--ca").arg(self.scratch.path().join("fleet.pem")).args(words);
        let output = command.output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Answer {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        })
    }

    /// A workload's certificate and key in files, and the authorities that vouch for the node.
    pub(crate) fn papers(&self, workload: &str) -> Result<(PathBuf, PathBuf)> {
        let dir = self.scratch.path().join(format!("papers-{workload}"));
        let mut fetch = self.place(workload)?.command(&self.lab.binaries().ctl)?;
        fetch.args(["svid", "fetch", "--write"]).arg(&dir);
        fetch.arg("--workload-socket").arg(workload_socket(self.lab.node(NODE)?));
        let output = fetch.output()?;
        if !output.status.success() {
            bail!("{workload}: {}", String::from_utf8_lossy(&output.stderr));
        }
        let ca = self.scratch.path().join("fleet.pem");
        fs::write(&ca, self.ctl()?.run(&["identity", "bundle", TRUST_DOMAIN, "--pem"], "")?)?;
        Ok((dir, ca))
    }

    /// The first sealed file of a tenant.
    pub(crate) fn sealed(&self, tenant: &str) -> Result<PathBuf> {
        let folder = self.traces()?.join(format!("tenant={tenant}"));
        files(&folder)?
            .into_iter()
            .find(|path| path.extension().is_some_and(|extension| extension == "parquet"))
            .with_context(|| format!("no sealed file below {}", folder.display()))
    }
}

/// Every file below a directory, in order.
pub(crate) fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("{}", next.display()))? {
            let path = entry?.path();
            if path.is_dir() { open.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}

impl Fixture for Site {
    fn before(&mut self) -> Result<()> {
        if std::mem::take(&mut self.is_changed) {
            let config = self.config()?;
            self.again(&config)?;
            self.is_changed = false;
        } else if !self.lab.runs_agent(NODE) {
            let config = self.config()?;
            self.start(&config)?;
        }
        // A case that does not come to its end leaves nothing that the next can rely on.
        self.is_changed = true;
        self.apply(&self.policy())?;
        self.logged = evidence::errors_logged(self.lab.node(NODE)?)?.len();
        self.is_changed = false;
        Ok(())
    }

    fn after(&mut self, _: &[&str]) -> Result<()> {
        let errors = evidence::errors_logged(self.lab.node(NODE)?)?;
        if std::mem::take(&mut self.expects_errors) {
            return Ok(());
        }
        match errors.get(self.logged) {
            Some(error) => bail!("the agent logged: {error}"),
            None => Ok(()),
        }
    }
}
