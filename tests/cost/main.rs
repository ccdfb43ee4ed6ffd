//! What the running kernel's verifier does with each program of the object: a line of JSON a program, with the
//! instructions that it looked at before it took it, or why it did not take it. `cargo xtask vm` runs this in machines.

mod sections;

use anyhow::{Context as _, Result};
use aya::programs::{Program, ProgramError};
use aya::{Btf, EbpfLoader, VerifierLogLevel};
use enforcer_agent::kernel;
use serde_json::{Value, json};

fn main() -> Result<()> {
    let sections = sections::of_programs(kernel::object())?;
    let btf = Btf::from_sys_fs().context("the kernel's types")?;
    // Of a program that is refused the reason is enough; every step of a million takes minutes to print.
    let files = kernel::file_layout().context("where the kernel keeps what belongs to open files")?;
    let mut loader = EbpfLoader::new();
    loader.override_global("OFFSETS", &files, true);
    loader.verifier_log_level(VerifierLogLevel::STATS);
    let mut object = loader.load(kernel::object()).context("the object")?;
    let mut programs: Vec<_> = object.programs_mut().collect();
    programs.sort_unstable_by_key(|(name, _)| *name);
    for (name, program) in programs {
        let section = sections.get(name).with_context(|| format!("{name} is in no section"))?;
        println!("{}", measured(name, program, hook_of(section), &btf));
    }
    Ok(())
}

/// What stands behind the last slash of a section: the hook, for programs that are loaded for one.
fn hook_of(section: &str) -> &str {
    section.rsplit('/').next().unwrap_or_default()
}

fn measured(name: &str, program: &mut Program, hook: &str, btf: &Btf) -> Value {
    match load(program, hook, btf).and_then(|()| program.info()) {
        Ok(info) => json!({ "program": name, "instructions": info.verified_instruction_count() }),
        Err(error) => json!({ "program": name, "refused": in_short(&error) }),
    }
}

/// The kernel's error, and the lines in which the verifier says why: the last, before its statistics.
fn in_short(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else { return error.to_string() };
    let log = verifier_log.to_string();
    let statistics = ["verification time", "stack depth", "processed"];
    let mut words = log
        .lines()
        .rev()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !statistics.iter().any(|word| line.starts_with(word)));
    format!("{io_error}: {}", words.next().unwrap_or("without a word"))
}

fn load(program: &mut Program, hook: &str, btf: &Btf) -> Result<(), ProgramError> {
    match program {
        Program::SchedClassifier(program) => program.load(),
        Program::CgroupSkb(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSockopt(program) => program.load(),
        Program::SockOps(program) => program.load(),
        Program::CgroupDevice(program) => program.load(),
        Program::TracePoint(program) => program.load(),
        Program::RawTracePoint(program) => program.load(),
        Program::BtfTracePoint(program) => program.load(hook, btf),
        Program::FEntry(program) => program.load(hook, btf),
        Program::FExit(program) => program.load(hook, btf),
        Program::Iter(program) => program.load(hook, btf),
        Program::Lsm(program) => program.load(hook, btf),
        Program::LsmCgroup(program) => program.load(hook, btf),
        // A new kind of program is refused here until somebody says how it loads.
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
