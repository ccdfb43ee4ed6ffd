//! The kernel programs over the tables of a wall, loaded once more so that packets can be put through them without
//! a network: `BPF_PROG_TEST_RUN`.

use anyhow::{Context as _, Result, ensure};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use enforcer_agent::kernel;

use crate::ground::Ground;

/// What a workload sends.
pub(super) const FROM_WORKLOAD: &str = "from_workload";
/// What a workload is sent.
pub(super) const TO_WORKLOAD: &str = "to_workload";
/// Nothing at all: what the runner costs.
pub(super) const NOTHING: &str = "bench_nothing";
/// One look-up of 4, 16 and 40 bytes.
pub(super) const LOOK_UPS: [(&str, &str); 3] =
    [("4", "bench_tenant"), ("16", "bench_address"), ("40", "bench_flow")];

/// `TC_ACT_SHOT`.
pub(super) const DROPPED: u32 = 2;

/// Size of `__sk_buff`, and where two of its fields are.
const CONTEXT_BYTES: usize = 192;
const MARK: usize = 8;
const INTERFACE: usize = 40;

/// A frame, and where it is seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) interface: u32,
    pub(super) mark: u32,
    pub(super) frame: Vec<u8>,
}

/// What a run said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ran {
    pub(super) action: u32,
    /// One packet, on average, in whole nanoseconds as the kernel tells.
    pub(super) ns: f64,
}

/// The second load.
pub(super) struct Runner {
    object: Ebpf,
}

impl Runner {
    pub(super) fn over(ground: &Ground) -> Result<Self> {
        let version = std::fs::read_dir(&ground.pins)?.next().context("no ABI directory")??;
        let maps = version.path().join("maps");
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&maps)? {
            names.push(entry?.file_name().into_string().unwrap_or_default());
        }
        let mut loader = EbpfLoader::new();
        for name in &names {
            loader.map_pin_path(name.as_str(), maps.join(name));
        }
        let mut object = loader.load(kernel::object())?;
        let look_ups = LOOK_UPS.map(|(_, name)| name);
        for name in [FROM_WORKLOAD, TO_WORKLOAD, NOTHING].iter().chain(&look_ups) {
            program(&mut object, name)?.load().with_context(|| (*name).to_owned())?;
        }
        Ok(Self { object })
    }

    /// Puts a frame through a program again and again.
    pub(super) fn run(&mut self, name: &str, seen: &Seen, repeat: u32) -> Result<Ran> {
        let mut context = [0_u8; CONTEXT_BYTES];
        context[MARK..MARK + 4].copy_from_slice(&seen.mark.to_ne_bytes());
        context[INTERFACE..INTERFACE + 4].copy_from_slice(&seen.interface.to_ne_bytes());
        let result = program(&mut self.object, name)?.test_run(TestRunOptions {
            data_in: Some(&seen.frame),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        })?;
        Ok(Ran { action: result.return_value, ns: result.duration.as_secs_f64() * 1e9 })
    }

    /// Once, and the packet must be dropped or not.
    pub(super) fn expect(&mut self, name: &str, seen: &Seen, dropped: bool) -> Result<Ran> {
        let ran = self.run(name, seen, 1)?;
        ensure!(
            (ran.action == DROPPED) == dropped,
            "{name} answered {} to {:02x?}: this would measure something else",
            ran.action.cast_signed(),
            seen.frame
        );
        Ok(ran)
    }
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut SchedClassifier> {
    Ok(object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?)
}
