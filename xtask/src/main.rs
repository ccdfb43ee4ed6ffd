//! `cargo xtask`: every automation of the project, the same for a person and for CI.

mod bench;
mod build;
mod demo;
mod gpu_check;
mod lab;
mod root;
mod setup;
mod shell;
mod test;
mod vm;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Every automation of the project.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building needs, or say how.
    Setup(setup::Setup),
    /// Build the kernel programs into target/bpf/enforcer.o.
    BuildEbpf,
    /// Build the kernel programs, the agent, enforcerctl and the lab's probe.
    Build(build::Build),
    /// Nodes and workloads on this one machine, with one agent per node.
    Lab(lab::LabArgs),
    /// Run the tests, all levels or some.
    Test(test::Test),
    /// Run suites in virtual machines that boot other kernels.
    Vm(vm::Vm),
    /// Show the walls at work: two nodes, three tenants. Takes less than a minute once built.
    Demo(demo::Demo),
    /// Try the gate, custody and the memory job on a real NVIDIA GPU.
    GpuCheck(gpu_check::GpuCheck),
    /// Measure.
    Bench(bench::Bench),
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<ExitCode> {
    match verb {
        Verb::Setup(setup) => setup.run().map(|()| ExitCode::SUCCESS),
        Verb::BuildEbpf => build::ebpf::build().map(|()| ExitCode::SUCCESS),
        Verb::Build(build) => build.run().map(|()| ExitCode::SUCCESS),
        Verb::Lab(lab) => lab.run(),
        Verb::Test(test) => test.run(),
        Verb::Vm(vm) => vm.run(),
        Verb::Demo(demo) => demo.run(),
        Verb::GpuCheck(check) => check.run(),
        Verb::Bench(bench) => bench.run(),
    }
}
