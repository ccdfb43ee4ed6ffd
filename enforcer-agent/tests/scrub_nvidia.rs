//! The memory job against a fake of the driver's libraries: a file stands in for the GPU's memory. No real GPU was ever at
//! hand for these tests.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests, in functions that are no tests themselves"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use enforcer_agent::nvidia::child::Asker;
use enforcer_core::device::class::Kind;
use enforcer_core::device::number::DeviceNumber;
use serde_json::Value;
use tempfile::NamedTempFile;

const MEMORY_BYTES: usize = 64 << 20;
const UUID: &str = "GPU-face0102-0304-0506-0708-090a0b0c0d0e";
const NONCE: &str = "00112233445566778899aabbccddeeff";

/// Where cargo puts the fake: beside the tests, as what they depend on.
fn fake() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own.ancestors().skip(1).take(2).map(|dir| dir.join("libenforcer_fake_gpu.so"));
    found.into_iter().find(|path| path.is_file()).expect("the fake GPU's library is not built")
}

fn memory(byte: u8) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![byte; MEMORY_BYTES]).unwrap();
    file
}

fn run(memory: &Path, verb: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enforcer-agent"));
    command.args(verb).env("FAKE_GPU_MEMORY", memory).envs(environment.iter().copied());
    command.output().unwrap()
}

fn scrub(memory: &Path, environment: &[(&str, &str)]) -> (i32, Option<Value>, String) {
    let library = fake();
    let library = library.to_str().unwrap();
    let verb = [
        "scrub-nvidia",
        "--index",
        "0",
        "--nonce",
        NONCE,
        "--cuda-library",
        library,
        "--nvml-library",
        library,
    ];
    let output = run(memory, &verb, environment);
    let line = serde_json::from_slice(&output.stdout).ok();
    (output.status.code().unwrap(), line, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn what_a_tenant_left_is_seen_overwritten_and_gone() {
    let memory = memory(0x5a);
    let (code, line, said) = scrub(memory.path(), &[]);
    assert_eq!(code, 0, "{said}");
    let line = line.unwrap();
    assert_eq!(line["method"], "cuda-memset");
    assert_eq!(line["mismatches"], 0);
    assert_eq!(line["bytes_total"], MEMORY_BYTES);
    assert_eq!(line["bytes_covered"], MEMORY_BYTES - (4 << 20));
    assert_eq!(line["residue"], line["residue_of"], "every byte was the tenant's");
    assert!(line["samples"].as_u64().unwrap() >= 4096);
    assert_eq!(line["uuid"], UUID);
    assert!(!line["not_covered"].as_array().unwrap().is_empty());
    let left = std::fs::read(memory.path()).unwrap();
    let covered = MEMORY_BYTES - (4 << 20);
    assert!(left[..covered].iter().all(|byte| *byte == 0), "something is left");
    assert!(left[covered..].iter().all(|byte| *byte == 0x5a), "the context's part is said to be not covered");
    let (code, line, _) = scrub(memory.path(), &[]);
    assert_eq!((code, &line.unwrap()["residue"]), (0, &Value::from(0)), "a second job finds nothing");
}

#[test]
fn a_driver_that_lies_is_found_out() {
    let (code, line, _) = scrub(memory(0x5a).path(), &[("FAKE_GPU_FAULT", "lying-memset")]);
    assert_eq!(code, 4);
    let line = line.unwrap();
    assert_eq!(line["mismatches"], line["samples"]);
}

#[test]
fn too_little_memory_is_no_clean_end() {
    let (code, line, _) = scrub(memory(0x5a).path(), &[("FAKE_GPU_FAULT", "short-alloc")]);
    assert_eq!(code, 5);
    assert!(line.unwrap()["bytes_covered"].as_u64().unwrap() < 40 << 20);
}

#[test]
fn what_fails_says_why_and_reports_nothing() {
    for (environment, why) in [
        (("FAKE_GPU_FAULT", "failing-copy"), "cuMemcpyDtoH_v2"),
        (("FAKE_GPU_FAULT", "no-permission"), "no permission"),
        (("FAKE_GPU_FAULT", "mig"), "MIG"),
        (("FAKE_GPU_PROCESSES", "4242"), "4242"),
    ] {
        let (code, line, said) = scrub(memory(0x5a).path(), &[environment]);
        assert_eq!((code, line), (3, None), "{environment:?}");
        assert!(said.contains(why), "{environment:?}: {said}");
    }
}

#[test]
fn a_library_or_a_function_that_is_missing_is_a_reason() {
    let memory = memory(0);
    for (library, why) in
        [("/nonexistent.so", "cannot be opened"), ("libc.so.6", "has no function nvmlInit_v2")]
    {
        let verb = ["read-nvidia", "--nvml-library", library];
        let output = run(memory.path(), &verb, &[]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{library}: {output:?}");
    }
}

#[test]
fn nvml_is_read_and_the_tiny_job_runs() {
    let memory = memory(0);
    let library = fake();
    let library = library.to_str().unwrap();
    let output =
        run(memory.path(), &["read-nvidia", "--nvml-library", library], &[("FAKE_GPU_PROCESSES", "7,8")]);
    let facts: enforcer_core::device::posture::gpu::NvidiaFacts =
        serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(facts.gpus[0].processes, Ok(vec![7, 8]));
    assert!(facts.gpus[0].ecc.is("on") && facts.driver.is("0.0-fake"));
    let output = run(memory.path(), &["cuda-probe", "--cuda-library", library], &[]);
    assert!(output.status.success(), "{output:?}");
    let lying =
        run(memory.path(), &["cuda-probe", "--cuda-library", library], &[("FAKE_GPU_FAULT", "lying-memset")]);
    assert!(!lying.status.success());
}

#[test]
fn the_drivers_list_of_processes_and_its_ids_go_by_the_number_behind_dev() {
    // The fake is told by files beside it: the child has this process's environment, which has no such word.
    let directory = tempfile::tempdir().unwrap();
    let library = directory.path().join("libfake.so");
    std::fs::copy(fake(), &library).unwrap();
    let memory = memory(0);
    let say = |name: &str, word: &str| std::fs::write(directory.path().join(name), word).unwrap();
    say("FAKE_GPU_MEMORY", memory.path().to_str().unwrap());
    say("FAKE_GPU_PROCESSES", "7,8");
    say("FAKE_GPU_MINOR", "3");
    let arguments = ["read-nvidia", "--nvml-library", library.to_str().unwrap()].map(str::to_owned);
    let asker = Asker::new(env!("CARGO_BIN_EXE_enforcer-agent").into(), arguments.into(), None);
    let gpu = |minor| DeviceNumber { kind: Kind::Char, major: 195, minor };
    let ids = asker.clone().ids()().unwrap();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), [(UUID.to_owned(), gpu(3))]);
    let processes = asker.processes();
    assert_eq!(processes(gpu(3)), Ok(Some(vec![7, 8])));
    assert!(processes(gpu(0)).is_err_and(|why| why.contains("no GPU behind /dev/nvidia0")));
    say("FAKE_GPU_FAULT", "no-permission");
    assert!(processes(gpu(3)).is_err_and(|why| why.contains("no permission")));
}
