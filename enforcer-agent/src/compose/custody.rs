//! The room of custody, joined to the policy room, the vault and whoever knows who holds a device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use enforcer_core::device::custody::Rules;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::clock;
use super::trace::Sealed;
use crate::config::Settings;
use crate::config::settings::{FileSettings, ResetWhen, ScrubSettings};
use crate::custody::scrub::{Command, Content, Nvidia, Overwrite, Place, Reader, Reset, Scrubber, WHOLE};
use crate::custody::{self, Edges, FileSigner, Parts, SafeSigner, Sign};
use crate::device::ServiceConfig;
use crate::door::device::{CustodyCommand, Door, HandleCommand, PostureCommand};
use crate::door::policy::PolicyDoor;
use crate::door::records::Tell;
use crate::door::stop::Stop;
use crate::identity::custody::Vault;

/// For records of scrubbers that open devices.
const SERVICE: &str = "enforcer-scrubber";
/// How often it is looked whether somebody let go.
const POLL: Duration = Duration::from_secs(1);
/// The agent itself, whose hidden verb scrubs NVIDIA's devices.
const OWN: &str = "/proc/self/exe";

/// What the room is joined to.
pub(super) struct Joints<'a> {
    pub(super) policy: &'a PolicyDoor,
    pub(super) vault: Option<Arc<Vault>>,
    pub(super) handles: Option<Door<HandleCommand>>,
    pub(super) posture: Option<Door<PostureCommand>>,
    pub(super) tell: Tell,
    pub(super) stop: Stop,
}

/// Opens the room and starts it.
pub(super) fn open(
    settings: &Settings,
    joints: Joints<'_>,
    inbox: mpsc::Receiver<CustodyCommand>,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    let Joints { policy, vault, handles, posture, tell, stop } = joints;
    let custody = &settings.device_gate.custody;
    let edges = Edges {
        node: settings.node_name.clone(),
        policy: policy.clone(),
        handles,
        posture,
        sign: signer(settings, vault)?,
        tell,
        clock: clock::now,
        poll: POLL,
        agent: String::new(),
        step: Arc::new(|_| Ok(())),
    };
    let parts = Parts {
        state_directory: settings.state_directory.clone(),
        rules: Rules {
            drain_ns: u64::try_from(custody.drain.as_nanos()).unwrap_or(u64::MAX),
            reuse: custody.reuse,
            has_scrubber: false,
        },
        scrubbers: scrubbers(settings),
        edges,
        stop,
    };
    tasks.spawn(custody::open(parts, inbox).context("the state of custody")?);
    Ok(())
}

/// The key of checkpoints, out of the vault; where there is none, a key in a file beside the journal.
fn signer(settings: &Settings, vault: Option<Arc<Vault>>) -> anyhow::Result<Arc<dyn Sign>> {
    if let Some(vault) = vault {
        return Ok(Arc::new(SafeSigner::open(&Sealed(vault))?));
    }
    let keep = custody::Keep::open(&settings.state_directory).context("the state of custody")?;
    Ok(Arc::new(FileSigner::open(&keep.directory().join("signer"))?))
}

/// Scrubbers must be let through the gate.
pub(super) fn service(settings: &Settings) -> Option<ServiceConfig> {
    let custody = &settings.device_gate.custody;
    let classes: Vec<String> = custody.classes().into_iter().collect();
    // NVIDIA's need the control devices of the driver, too: every gated class, as the driver's own daemons.
    let needs_all = has_nvidia(settings);
    (!classes.is_empty()).then(|| ServiceConfig {
        name: SERVICE.to_owned(),
        cgroup: custody.cgroup.clone(),
        classes: if needs_all { Vec::new() } else { classes },
    })
}

fn has_nvidia(settings: &Settings) -> bool {
    let mut scrubbers = settings.device_gate.custody.scrubbers.iter();
    scrubbers.any(|scrubber| matches!(scrubber.how, ScrubSettings::Nvidia { .. }))
}

/// Makes their control group, so that it is known before the gate is; and one in it for questions to NVIDIA's driver.
pub(super) fn prepare(settings: &Settings) -> std::io::Result<()> {
    match (service(settings), asking(settings)) {
        (_, Some(asking)) => std::fs::create_dir_all(asking),
        (Some(_), None) => std::fs::create_dir_all(group(settings)),
        (None, None) => Ok(()),
    }
}

/// Where NVIDIA's driver is asked from: the gate lets scrubbers through, and not the agent.
pub(super) fn asking(settings: &Settings) -> Option<PathBuf> {
    has_nvidia(settings).then(|| group(settings).join("read-nvidia"))
}

fn group(settings: &Settings) -> PathBuf {
    settings.cgroup_root.join(settings.device_gate.custody.cgroup.trim_start_matches('/'))
}

fn scrubbers(settings: &Settings) -> BTreeMap<String, Arc<dyn Scrubber>> {
    let group = group(settings);
    let mut by_class: BTreeMap<String, Arc<dyn Scrubber>> = BTreeMap::new();
    for scrubber in &settings.device_gate.custody.scrubbers {
        let built = scrubber_of(&scrubber.how, &group, &settings.device_gate.posture.nvml_library);
        for class in &scrubber.classes {
            by_class.insert(class.clone(), Arc::clone(&built));
        }
    }
    by_class
}

fn scrubber_of(how: &ScrubSettings, group: &Path, nvml: &Option<PathBuf>) -> Arc<dyn Scrubber> {
    match how {
        ScrubSettings::Overwrite(file) => Arc::new(Overwrite { reader: reader(file, Content::Pattern) }),
        ScrubSettings::Command { argv, verify, read_back, limit } => Arc::new(Command {
            method: "command",
            argv: argv.clone(),
            verify: verify.clone(),
            reader: read_back.as_ref().map(|file| reader(file, Content::Zeros)),
            is_own: false,
            reset: None,
            group: Some(group.to_owned()),
            min_covered: WHOLE,
            limit: *limit,
        }),
        ScrubSettings::Nvidia { samples, min_covered, reset, reset_command, library, limit } => {
            let when = match reset {
                ResetWhen::Never => Reset::Never,
                ResetWhen::OnFailure => Reset::OnFailure,
                ResetWhen::Always => Reset::Always,
            };
            Arc::new(Command::from(Nvidia {
                program: OWN.to_owned(),
                samples: *samples,
                min_covered: *min_covered,
                reset: reset_command.clone().map(|argv| (when, argv)),
                cuda_library: library.clone(),
                nvml_library: nvml.clone(),
                group: Some(group.to_owned()),
                limit: *limit,
            }))
        }
    }
}

fn reader(file: &FileSettings, content: Content) -> Reader {
    let place = Place { path: file.path.clone(), bytes: file.bytes, is_device: true };
    Reader { place, content, samples: file.samples }
}
