//! The first process of a machine of `cargo xtask vm`: mounts what a system has, loads modules, runs the jobs of its
//! orders, and powers the machine off. It must not know what the jobs are.

mod ground;
mod job;
mod power;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use enforcer_vm::{LINE, ORDERS, Orders, Word};

fn main() -> ExitCode {
    // It kills every process between two jobs, and turns the machine off.
    if std::process::id() != 1 {
        eprintln!("enforcer-vm-init is the first process of a virtual machine, and nothing else");
        return ExitCode::FAILURE;
    }
    let word = match work() {
        Ok(()) => Word::Done,
        Err(error) => Word::Broken { error: format!("{error:#}") },
    };
    println!("{word}");
    power::off();
    ExitCode::FAILURE
}

fn work() -> Result<()> {
    ground::mount_all()?;
    speak_on_the_line()?;
    let orders = std::fs::read(ORDERS).with_context(|| ORDERS)?;
    let orders: Orders = serde_json::from_slice(&orders).with_context(|| ORDERS)?;
    for path in &orders.modules {
        if let Err(error) = ground::load_module(path) {
            println!("{}", Word::Module { path: path.display().to_string(), error: format!("{error:#}") });
        }
    }
    ground::settle()?;
    println!("{}", Word::Up { release: ground::release()?, lsm: ground::security_modules()? });
    for order in &orders.jobs {
        println!("{}", Word::Begin { job: order.name.clone() });
        let (end, spent) = job::run(order).with_context(|| format!("job {}", order.name))?;
        println!("{}", Word::End { job: order.name.clone(), end, seconds: spent.as_secs_f64() });
    }
    Ok(())
}

/// Makes the serial line of words our standard output and error, which every job inherits.
fn speak_on_the_line() -> Result<()> {
    let line = File::options().read(true).write(true).open(LINE).with_context(|| LINE)?;
    nix::unistd::dup2_stdin(line.as_fd()).context("standard input")?;
    nix::unistd::dup2_stdout(line.as_fd()).context("standard output")?;
    nix::unistd::dup2_stderr(line.as_fd()).context("standard error")?;
    ensure!(nix::unistd::isatty(line.as_fd())?, "{LINE} is no serial line");
    Ok(())
}
