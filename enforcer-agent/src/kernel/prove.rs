//! The proof behind `explain --prove`: the live programs' own code and policy tables, run on a packet of the
//! caller's making, with tables of its own for flows, counters and events, so that nothing is recorded.

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader};
use enforcer_core::enforce::{EnforceError, Proof, ProofRequest};

use super::error::kernel;
use super::tables::PINNED;
use super::wall::Wall;
use super::{OBJECT, adopt};

/// Tables that record: the copy has its own, and shares every other, all that decides.
const RECORDING: [&str; 17] = [
    "FLOWS",
    "FRAGMENTS",
    "TOUCHED",
    "HANDLES",
    "COUNTERS",
    "BUCKETS",
    "LOST",
    "LOSSES",
    "SEQUENCES",
    "OWNERS",
    "MEMOS",
    "EVENTS",
    "SAMPLES",
    "PROCESSES",
    "SOCKETS",
    "INTERCEPTED",
    "ORIGINS",
];
/// Those of them that are made small.
const SMALL: [&str; 9] =
    ["FLOWS", "FRAGMENTS", "TOUCHED", "HANDLES", "COUNTERS", "BUCKETS", "LOSSES", "OWNERS", "ORIGINS"];
const OWN_ENTRIES: u32 = 64;
const OWN_RING_BYTES: u32 = 4096;

/// `struct __sk_buff` up to `tstamp`: what the kernel reads of a test run's context.
const CONTEXT_BYTES: usize = 192;
const MARK_OFFSET: usize = 8;
const INTERFACE_OFFSET: usize = 40;
/// `TC_ACT_SHOT`.
const SHOT: u32 = 2;

pub(super) fn prove(wall: &Wall, request: &ProofRequest) -> Result<Proof, EnforceError> {
    let mut copy = load_copy(wall)?;
    let mut programs = 0;
    let mut mark = 0;
    if let Some(interface) = request.from_interface {
        let (passed, tagged) = run(wall, &mut copy, "from_workload", interface, mark, &request.frame)?;
        programs += 1;
        if !passed {
            return Ok(Proof { passed, programs });
        }
        mark = tagged;
    }
    let Some(interface) = request.to_interface else {
        return Ok(Proof { passed: programs > 0, programs });
    };
    let (passed, _) = run(wall, &mut copy, "to_workload", interface, mark, &request.frame)?;
    Ok(Proof { passed, programs: programs + 1 })
}

fn load_copy(wall: &Wall) -> Result<Ebpf, EnforceError> {
    let mut loader = EbpfLoader::new();
    for table in PINNED.into_iter().filter(|table| !RECORDING.contains(table)) {
        loader.map_pin_path(table, wall.pins.map(table));
    }
    for table in SMALL {
        loader.map_max_entries(table, OWN_ENTRIES);
    }
    for ring in ["EVENTS", "SAMPLES", "PROCESSES"] {
        loader.map_max_entries(ring, OWN_RING_BYTES);
    }
    loader.load(OBJECT).map_err(kernel("load a copy of", "the interface programs"))
}

/// Runs one program once. Answers whether the packet passed, and its mark afterwards.
fn run(
    wall: &Wall,
    copy: &mut Ebpf,
    name: &'static str,
    interface: u32,
    mark: u32,
    frame: &[u8],
) -> Result<(bool, u32), EnforceError> {
    let fail = |what: &str| EnforceError::Kernel {
        operation: "prove on",
        table: name.to_owned(),
        error: what.to_owned(),
    };
    let program = copy.program_mut(name).ok_or_else(|| fail("the object has no such program"))?;
    let program: &mut SchedClassifier = program.try_into().map_err(kernel("prove on", name))?;
    if program.fd().is_err() {
        program.load().map_err(kernel("load a copy of", name))?;
    }
    let tag = program.info().map_err(kernel("read", name))?.tag();
    let live =
        adopt::program_info(&wall.object, name).ok_or_else(|| fail("the live program cannot be read"))?;
    if live.tag() != tag {
        return Err(fail("the live program is of another build"));
    }
    let mut context = [0_u8; CONTEXT_BYTES];
    put(&mut context, MARK_OFFSET, mark);
    put(&mut context, INTERFACE_OFFSET, interface);
    let mut after = context;
    let options = TestRunOptions {
        data_in: Some(frame),
        ctx_in: Some(&context),
        ctx_out: Some(&mut after),
        ..TestRunOptions::default()
    };
    let result = program.test_run(options).map_err(kernel("run", name))?;
    Ok((result.return_value != SHOT, get(&after, MARK_OFFSET)))
}

fn put(bytes: &mut [u8], offset: usize, word: u32) {
    if let Some(place) = bytes.get_mut(offset..offset + 4) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

fn get(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..offset + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_ne_bytes)
}
