//! `cargo xtask setup`: what building the kernel programs and running the lab needs. Two ways lead to a
//! compiler for the kernel's target; whichever is there is taken, and the Debian one is installed when none is.

pub(crate) use debian::RUSTC as DEBIAN_RUSTC;
pub(crate) use linker::in_cargo_home as linker_in_cargo_home;

mod debian;
mod linker;
mod python;
mod rustup;
mod tools;

use anyhow::{Result, bail};
use clap::Args;

use crate::shell;

/// Install what building needs, or say how. Does nothing when nothing is missing.
#[derive(Args)]
pub(crate) struct Setup {
    /// Also what only the benches use: nftables, iperf3 and HAProxy.
    #[arg(long)]
    bench: bool,
}

/// A compiler for the kernel's target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// Debian's `rustc-web`, whose package of the kernel target's `core` is compiled already.
    Debian,
    /// A nightly of rustup with `rust-src`, which compiles `core` itself.
    Nightly,
}

impl Setup {
    pub(crate) fn run(&self) -> Result<()> {
        let toolchain = ready()?;
        let which = match toolchain {
            Toolchain::Debian => "Debian's rustc and its precompiled core",
            Toolchain::Nightly => "rustup's nightly with rust-src",
        };
        println!("kernel programs: {which}, bpf-linker {}", linker::VERSION);
        tools::IP.ensure()?;
        println!("lab: iproute2");
        tokens()?;
        clients()?;
        println!("tests of identities: SoftHSM, OpenSSL; py-spiffe and Envoy in target/python");
        programs()?;
        println!("tests of tunnels: OpenSSL, curl, Python");
        readers()?;
        println!(
            "tests of evidence: tshark; pyarrow, DuckDB, OpenTelemetry, Prometheus and moto in target/python"
        );
        machines()?;
        println!("tests in virtual machines: qemu, xz, binutils");
        if self.bench {
            tools::NFT.ensure()?;
            tools::IPERF.ensure()?;
            tools::HAPROXY.ensure()?;
            println!("benches: nftables, iperf3, HAProxy");
        }
        Ok(())
    }
}

/// What the agent's tests of keys in tokens need.
pub(crate) fn tokens() -> Result<()> {
    tools::SOFTHSM.ensure()
}

/// The programs in Python of the levels `identity` and `evidence`.
pub(crate) fn clients() -> Result<()> {
    tools::OPENSSL.ensure()?;
    python::ensure()
}

/// The unmodified programs of the level `tunnel`, and what makes certificates that nobody should believe.
pub(crate) fn programs() -> Result<()> {
    tools::OPENSSL.ensure()?;
    tools::CURL.ensure()?;
    tools::python().map(drop)
}

/// What boots other kernels, and what takes their packages apart.
pub(crate) fn machines() -> Result<()> {
    tools::QEMU.ensure()?;
    tools::XZ.ensure()?;
    tools::STRIP.ensure()
}

/// The programs of the level `evidence` that read what we wrote.
pub(crate) fn readers() -> Result<()> {
    tools::TSHARK.ensure()?;
    clients()
}

/// The compiler to use, with its linker; installed when there is none.
pub(crate) fn ready() -> Result<Toolchain> {
    let toolchain = match found() {
        Some(toolchain) => toolchain,
        None => install()?,
    };
    linker::ensure(&toolchain)?;
    Ok(toolchain)
}

fn found() -> Option<Toolchain> {
    if debian::is_installed() {
        Some(Toolchain::Debian)
    } else if rustup::is_installed() {
        Some(Toolchain::Nightly)
    } else {
        None
    }
}

fn install() -> Result<Toolchain> {
    if debian::is_offered()? {
        debian::install()?;
        Ok(Toolchain::Debian)
    } else if shell::has("rustup") {
        rustup::install()?;
        Ok(Toolchain::Nightly)
    } else {
        bail!(
            "no compiler for the kernel's target. On Debian 12 or later, as root:\n  {}\n  {}\nElsewhere, with rustup:\n  {}",
            debian::UPDATE,
            debian::INSTALL,
            rustup::INSTALL
        );
    }
}
