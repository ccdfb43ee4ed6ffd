//! The scrub of NVIDIA's devices as an agent does it, with the real kernel, over a fake of the driver's libraries that opens the
//! device's node first: the gate lets the helpers' group through and the tenant not before the scrub. The memory is a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use enforcer_lab::config::Config;
use enforcer_lab::enter::Place;
use enforcer_lab::memory;
use enforcer_lab::policy::Kind;
use enforcer_lab::wait::patient;
use enforcer_tests::runner::{Case, Skip};
use serde_json::{Value, json};

use crate::fixture::{Gate, NODE, SERVICE, config};

pub(crate) const CASES: &[Case<Gate>] = &[Case {
    name: "nvidia::a_gpu_is_closed_until_the_drivers_own_job_has_scrubbed_it",
    reasons: &["device_closed"],
    run: scrubbed,
}];

/// A GPU that no tenant has had in the cases before.
const GPU: u64 = 247;
const DEVICE: &str = "nvidia:247";
/// What somebody left, and how much of it; the fake's context takes half.
const LEFT: u8 = 0x5a;
const BYTES: usize = 8 << 20;
const COVERED: usize = BYTES - (4 << 20);
/// Where the tenant's processes come and go: in the groups of the lab's workloads some stay.
const GROUP: &str = "/t1-p1/nvidia";
/// How long the job may take.
const SCRUB_MAX: Duration = Duration::from_secs(60);
/// A process that NVML lists.
const SOMEBODY: &str = "4242";

fn scrubbed(gate: &mut Gate) -> Result<()> {
    let fake = FakeGpu::set(gate)?;
    let done = scrub(gate, &fake);
    // The cases after this one want the gate without custody.
    let restored = gate.restart(&config("enforce"));
    done.and(restored)
}

fn scrub(gate: &mut Gate, fake: &FakeGpu) -> Result<()> {
    fake.say("FAKE_GPU_PROCESSES", SOMEBODY)?;
    gate.restart(&fake.config())?;
    let owner = gate.probe_in(GROUP)?;
    let grant = json!([{ "class": "nvidia", "minors": [GPU] }]);
    gate.net().apply(&gate.net().policy().with_word(Kind::Tenant, "t1", "devices", grant))?;
    comes_to(gate, "quarantined", &format!("its driver lists processes {SOMEBODY}"))?;
    gate.refused(&owner, GPU, "t1", "device_closed")?;
    ensure!(!works(gate, &fake.library())?, "the job works behind a closed gate");
    ensure!(fake.memory()?.iter().all(|byte| *byte == LEFT), "scrubbed under a holder");

    fake.say("FAKE_GPU_PROCESSES", "")?;
    let device = comes_to(gate, "in_use", "")?;
    ensure!(device["tenants"] == json!(["t1"]), "{device}");
    gate.passes(&owner, GPU, "device-grant")?;
    ensure!(works(gate, &fake.library())?, "the job does not work for the owner");
    ensure!(fake.memory()?[..COVERED].iter().all(|byte| *byte == 0), "something is left");
    let ctl = gate.net().ctl(NODE)?;
    let list = ctl.json(&["get", "receipts", "--device", DEVICE])?;
    let receipt = &list["receipts"][0]["receipt"];
    ensure!(receipt["method"] == "nvidia" && receipt["evidence"] == "sampled", "{receipt}");
    ensure!(receipt["bytesCovered"] == COVERED && receipt["bytesTotal"] == BYTES, "{receipt}");
    let posture = ctl.json(&["get", "posture"])?;
    ensure!(receipt["settings"] == posture["digest"], "other settings than {posture}: {receipt}");
    let settings = posture["settings"].as_array().context("settings")?;
    let is_ecc = |name: &str, judgement: &str| {
        settings.iter().any(|setting| setting["name"] == name && setting["judgement"] == judgement)
    };
    ensure!(is_ecc("ecc", "good"), "NVML was not asked: {posture}");
    Ok(())
}

/// Waits until the GPU is in a state, for a reason.
fn comes_to(gate: &Gate, state: &str, why: &str) -> Result<Value> {
    let is_why = |found: &Value| found["reason"].as_str().unwrap_or_default().contains(why);
    memory::arrives(&gate.net().ctl(NODE)?, DEVICE, state, is_why)
}

/// Whether the tiny job runs in the tenant's group.
fn works(gate: &Gate, library: &Path) -> Result<bool> {
    let lab = gate.net().lab();
    let node = lab.node(NODE)?;
    let place = Place { netns: node.netns.clone(), cgroup: Some(format!("{}{GROUP}", node.cgroup)) };
    let mut job = place.command(&lab.binaries().agent)?;
    let output = job.arg("cuda-probe").arg("--cuda-library").arg(library).output().context("the tiny job")?;
    Ok(output.status.success())
}

/// The library, and what it is told beside it: helpers have no environment.
struct FakeGpu {
    directory: PathBuf,
}

impl FakeGpu {
    fn set(gate: &Gate) -> Result<Self> {
        let own = std::env::current_exe().context("path of this program")?;
        let built = own.ancestors().skip(1).take(2).map(|dir| dir.join("libenforcer_fake_gpu.so"));
        let built = built.into_iter().find(|path| path.is_file());
        let built = built.ok_or_else(|| {
            Skip("the fake of the driver's libraries is not beside this program".to_owned())
        })?;
        let directory = gate.net().lab().node(NODE)?.dir.join("fake-gpu");
        std::fs::create_dir_all(&directory)?;
        let fake = Self { directory };
        std::fs::copy(built, fake.library())?;
        std::fs::write(fake.path("memory"), vec![LEFT; BYTES])?;
        fake.say("FAKE_GPU_MEMORY", &fake.path("memory").display().to_string())?;
        fake.say("FAKE_GPU_MINOR", &GPU.to_string())?;
        fake.say("FAKE_GPU_NODE", &gate.gpu(GPU)?.display().to_string())?;
        Ok(fake)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn library(&self) -> PathBuf {
        self.path("libfake.so")
    }

    fn say(&self, name: &str, word: &str) -> Result<()> {
        let path: &Path = &self.path(name);
        std::fs::write(path, word).with_context(|| path.display().to_string())
    }

    fn memory(&self) -> Result<Vec<u8>> {
        std::fs::read(self.path("memory")).context("the fake's memory")
    }

    fn config(&self) -> Config {
        let nvidia =
            json!({ "library": self.library(), "minCovered": 50, "seconds": patient(SCRUB_MAX).as_secs() });
        Config::default().with(
            "deviceGate",
            json!({
                "hostServices": [{ "name": "device-plugin", "cgroup": SERVICE }],
                "posture": { "nvmlLibrary": self.library() },
                "custody": { "drainSeconds": 5, "scrubbers": [{ "classes": ["nvidia"], "nvidia": nvidia }] },
            }),
        )
    }
}
