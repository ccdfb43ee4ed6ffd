//! Programs that the distribution has, for those who run tests and benches.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::debian;
use crate::shell;

/// A program, and the package of Debian's that has it.
pub(crate) struct Tool {
    program: &'static str,
    package: &'static str,
}

/// Network namespaces: the lab.
pub(crate) const IP: Tool = Tool { program: "ip", package: "iproute2" };
/// A PKCS#11 token in files: keys in tokens, in the agent's own tests and at the level `identity`.
pub(crate) const SOFTHSM: Tool = Tool { program: "softhsm2-util", package: "softhsm2" };
/// Chains and handshakes, seen by somebody else.
pub(crate) const OPENSSL: Tool = Tool { program: "openssl", package: "openssl" };
/// A client that knows nothing of anything.
pub(crate) const CURL: Tool = Tool { program: "curl", package: "curl" };
/// What the walls are measured against.
pub(crate) const NFT: Tool = Tool { program: "nft", package: "nftables" };
/// A stream, measured by somebody else.
pub(crate) const IPERF: Tool = Tool { program: "iperf3", package: "iperf3" };

/// Other kernels than this one.
pub(crate) const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// Their modules are compressed.
pub(crate) const XZ: Tool = Tool { program: "xz", package: "xz-utils" };
/// Programs that travel into a machine travel without their debugging information.
pub(crate) const STRIP: Tool = Tool { program: "strip", package: "binutils" };
/// Packets, taken apart by somebody else.
pub(crate) const TSHARK: Tool = Tool { program: "tshark", package: "tshark" };
/// Mutual TLS, carried by somebody else.
pub(crate) const HAPROXY: Tool = Tool { program: "haproxy", package: "haproxy" };

/// Programs of administrators are not on everybody's search path.
const SBIN: &str = "/usr/sbin";

impl Tool {
    /// Installs the package when the program is missing, or says how.
    ///
    /// # Errors
    /// It is missing, and cannot be installed from here.
    pub(crate) fn ensure(&self) -> Result<()> {
        let Self { program, package } = self;
        if shell::has(program) || Path::new(SBIN).join(program).is_file() {
            return Ok(());
        }
        packages(&[package], &format!("{program} is missing"))
    }
}

/// Where `python3` is that can make virtual environments; its own packages are installed when it cannot.
///
/// # Errors
/// It cannot, and the packages cannot be installed from here.
pub(crate) fn python() -> Result<PathBuf> {
    const PYTHON: &str = "python3";
    const SYSTEM: &str = "/usr/bin/python3";
    let can = |python: &str| shell::output(python, &["-c", "import venv, ensurepip"]).is_some();
    for python in [PYTHON, SYSTEM] {
        if can(python) {
            return Ok(python.into());
        }
    }
    packages(&[PYTHON, "python3-venv"], "no python3 that can make virtual environments")?;
    if !can(SYSTEM) {
        bail!("{SYSTEM} cannot make virtual environments, though the package python3-venv is installed");
    }
    Ok(SYSTEM.into())
}

fn packages(packages: &[&str], trouble: &str) -> Result<()> {
    if shell::has("apt-get") && nix::unistd::geteuid().is_root() {
        debian::update()?;
        return debian::install_packages(packages);
    }
    let names = packages.join(" ");
    bail!("{trouble}: on Debian, as root,\n  {}\n  apt-get install -y {names}", debian::UPDATE);
}
