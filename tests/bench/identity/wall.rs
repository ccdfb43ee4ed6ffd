//! A node with an identity wall, as many workloads as a bench wants, and what is asked of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enforcer_lab::binaries::Binaries;
use enforcer_lab::cgroup;
use enforcer_lab::config::{self, Config};
use enforcer_lab::enter::Place;
use enforcer_lab::lab::Lab;
use enforcer_lab::policy::NAMESPACE;
use enforcer_lab::process::ProcessId;
use enforcer_lab::spec::Spec;
use enforcer_lab::wait;
use enforcer_proto::v1;
use enforcer_proto::v1::identity_service_client::IdentityServiceClient;
use enforcer_tests::workload;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::transport::Channel;

use crate::crowd;
use crate::uplink::Uplink;

/// The lab of these benches.
pub(super) const LAB: &str = "benchident";
const NODE: &str = "n1";
/// How long the node may take to give everybody what it is to have.
const SETTLED: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_secs(1);
/// A list of ten thousand identities has several megabytes.
const ANSWER_MAX_BYTES: usize = 64 << 20;

/// The node. Its workloads are control groups on the node's network, in turn of two tenants.
pub(super) struct Wall {
    lab: Lab,
    runtime: Runtime,
    workloads: usize,
}

impl Wall {
    /// With this many workloads, all of which have their identity.
    pub(super) fn with(workloads: usize, words: &Value) -> Result<Self> {
        let mut lab = Lab::up(&Spec::new(LAB.parse()?, 1, 1, 1)?, Binaries::find()?)?;
        // No bench is to measure a bound that an operator would raise.
        let limits = json!({ "limits": { "requestsPerSecond": 1_000_000, "streamsPerTenant": 100_000 } });
        lab.start_agent(NODE, &Config::default().with_identity(&limits).with_identity(words))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let wall = Self { lab, runtime, workloads };
        wall.populate()?;
        Ok(wall)
    }

    fn populate(&self) -> Result<()> {
        for index in 0..self.workloads {
            cgroup::make(&self.group(index)?)?;
        }
        let snapshot = v1::Snapshot {
            tenants: (0..2).map(crowd::tenant).collect(),
            workloads: (0..self.workloads).map(of).collect(),
            ..v1::Snapshot::default()
        };
        let mut uplink = Uplink::connect(&self.lab.node(NODE)?.socket)?;
        uplink.apply(v1::apply_request::Change::Snapshot(snapshot))?;
        self.settle()
    }

    /// Waits until everybody is served.
    pub(super) fn settle(&self) -> Result<()> {
        let deadline = Instant::now() + SETTLED;
        loop {
            let identities = self.list()?;
            let valid = identities.iter().filter(|one| one.state() == v1::IdentityState::Valid).count();
            if valid == self.workloads {
                return Ok(());
            }
            let of = self.workloads;
            ensure!(Instant::now() < deadline, "{valid} of {of} have an identity after {SETTLED:?}");
            std::thread::sleep(POLL);
        }
    }

    /// Every identity.
    pub(super) fn list(&self) -> Result<Vec<v1::Identity>> {
        let request = v1::ListIdentitiesRequest { tenant: None };
        let answer =
            self.runtime.block_on(async { self.client().await?.list(request).await.context("list") })?;
        Ok(answer.into_inner().identities)
    }

    /// Asks for new certificates of everybody.
    pub(super) fn rotate(&self) -> Result<()> {
        let request = v1::RotateIdentityRequest { target: None, authority: false };
        self.runtime
            .block_on(async { self.client().await?.rotate(request).await.context("rotate") })
            .map(drop)
    }

    /// Revokes a workload.
    pub(super) fn revoke(&self, index: usize) -> Result<()> {
        let request = v1::RevokeIdentityRequest { target: Some(target(index)), reason: "a bench".to_owned() };
        self.runtime
            .block_on(async { self.client().await?.revoke(request).await.context("revoke") })
            .map(drop)
    }

    /// Takes that back.
    pub(super) fn restore(&self, index: usize) -> Result<()> {
        let request = v1::RestoreIdentityRequest { target: Some(target(index)) };
        self.runtime
            .block_on(async { self.client().await?.restore(request).await.context("restore") })
            .map(drop)
    }

    /// Where a workload's processes run.
    pub(super) fn place(&self, index: usize) -> Result<Place> {
        Ok(Place { netns: self.lab.node(NODE)?.netns.clone(), cgroup: Some(self.group(index)?) })
    }

    /// The Workload API.
    pub(super) fn socket(&self) -> Result<PathBuf> {
        Ok(config::workload_socket(self.lab.node(NODE)?))
    }

    /// The agent.
    pub(super) fn agent(&self) -> Result<ProcessId> {
        self.lab.agent_process(NODE)
    }

    /// A connection for one question: the agent closes those that are silent for long.
    async fn client(&self) -> Result<IdentityServiceClient<Channel>> {
        let channel = workload::channel(&self.lab.node(NODE)?.socket).await?;
        Ok(IdentityServiceClient::new(channel).max_decoding_message_size(ANSWER_MAX_BYTES))
    }

    fn group(&self, index: usize) -> Result<String> {
        Ok(format!("{}{}", self.lab.node(NODE)?.cgroup, path(index)))
    }
}

fn name(index: usize) -> String {
    format!("w{index}")
}

fn path(index: usize) -> String {
    format!("/bulk/w{index}")
}

fn target(index: usize) -> v1::IdentityTarget {
    v1::IdentityTarget { who: Some(v1::identity_target::Who::Workload(name(index))) }
}

fn of(index: usize) -> v1::Workload {
    v1::Workload {
        name: name(index),
        tenant: crowd::name(u32::from(index % 2 == 1)),
        node: Some(NODE.to_owned()),
        cgroup: Some(path(index)),
        host_network: true,
        namespace: NAMESPACE.to_owned(),
        service_account: name(index),
        ..v1::Workload::default()
    }
}

/// Resident memory of a process, now and at its largest, in bytes.
pub(super) fn memory(process: ProcessId) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid)).context("/proc/PID/status")?;
    let kibibytes = |word: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(word)).context(word.to_owned())?;
        let number = line.split_whitespace().next().context(word.to_owned())?;
        Ok(number.parse::<f64>()? * 1024.0)
    };
    Ok((kibibytes("VmRSS:")?, kibibytes("VmHWM:")?))
}

/// Processor time of a process, in clock ticks.
pub(super) fn ticks(process: ProcessId) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid)).context("/proc/PID/stat")?;
    let fields = stat.rfind(')').and_then(|end| stat.get(end + 2..)).context("/proc/PID/stat")?;
    // utime and stime: fields 14 and 15, of which 3 is the first here.
    let times = fields.split(' ').skip(11).take(2).map(str::parse::<u64>);
    times.sum::<Result<u64, _>>().context("/proc/PID/stat")
}

/// Waits until memory no longer changes: what was freed has been given back, what was asked for is there.
pub(super) fn settled_memory(process: ProcessId) -> Result<f64> {
    let mut last = 0.0;
    wait::until("memory settles", Duration::from_secs(30), || {
        std::thread::sleep(Duration::from_millis(500));
        let (now, _) = memory(process)?;
        let is_settled = (now - last).abs() < 64.0 * 1024.0;
        last = now;
        Ok(is_settled.then_some(now))
    })
}
