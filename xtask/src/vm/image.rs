//! The first and only file system of a machine: our first process, its orders, modules, programs and what they need.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enforcer_lab::binaries::Binaries;
use enforcer_vm::{ORDERS, Orders};

use super::closure;
use super::cpio::Archive;
use super::modules::Modules;
use super::suite::Suite;
use crate::shell;

/// Where our programs are in the machine.
pub(super) const BIN_DIR: &str = "/opt/enforcer";
/// A fake of the libraries of NVIDIA's driver.
const FAKE_GPU: &str = "libenforcer_fake_gpu.so";
const MODULES_DIR: &str = "/lib/modules";
/// Programs of this machine that the suites call, and where they are looked for there.
const TOOLS: [&str; 14] = [
    "ip", "sh", "cat", "cp", "ls", "mkdir", "mount", "ps", "rm", "sleep", "tail", "umount", "uname", "dmesg",
];
/// Without these nothing works; the others are for the person at `--shell`.
const NEEDED: [&str; 2] = ["ip", "sh"];
const PLACES: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
/// Places that are empty at first.
const EMPTY: [&str; 9] = ["proc", "sys", "dev", "tmp", "run", "root", "var/lib", "var/log", "opt"];

/// What goes into every image of one run, whatever the kernel: prepared once.
pub(super) struct Contents {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Contents {
    /// Builds the first process, and collects programs and libraries.
    ///
    /// # Errors
    /// Something is missing.
    pub(super) fn collect(suites: &[Suite]) -> Result<Self> {
        let mut contents = Self { files: BTreeMap::new() };
        let init = first_process()?;
        contents.files.insert("/init".into(), closure::stripped(&init)?);
        let ours = Binaries::find()?;
        let mut programs: Vec<(PathBuf, PathBuf)> = Vec::new();
        for program in [&ours.agent, &ours.ctl, &ours.probe] {
            let name = program.file_name().context("a program without a name")?;
            programs.push((Path::new(BIN_DIR).join(name), program.clone()));
        }
        for suite in suites {
            programs.push((Path::new(BIN_DIR).join(&suite.name), suite.program.clone()));
        }
        programs.extend(stand_ins());
        programs.extend(tools()?);
        let libraries = closure::libraries(programs.iter().map(|(_, program)| program.as_path()))?;
        programs.extend(libraries.into_iter().map(|path| (path.clone(), path)));
        for (place, program) in programs {
            contents.files.insert(place, closure::stripped(&program)?);
        }
        Ok(contents)
    }

    /// Writes the image of a machine.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, path: &Path, modules: &Modules, mut orders: Orders) -> Result<()> {
        let file = File::create(path).with_context(|| format!("{}", path.display()))?;
        let mut archive = Archive::new(BufWriter::new(file));
        for place in EMPTY {
            archive.directory(Path::new(place))?;
        }
        archive.device(Path::new("dev/console"), 5, 1)?;
        for (place, bytes) in &self.files {
            archive.file(place, 0o755, bytes)?;
        }
        for module in &modules.ordered {
            let place = Path::new(MODULES_DIR).join(format!("{}.ko", module.name));
            archive.file(&place, 0o644, &module.bytes)?;
            orders.modules.push(place);
        }
        archive.file(Path::new("/etc/passwd"), 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
        archive.file(Path::new("/etc/group"), 0o644, b"root:x:0:\n")?;
        archive.file(Path::new("/etc/hosts"), 0o644, b"127.0.0.1 localhost\n::1 localhost\n")?;
        archive.link(Path::new("/var/run"), Path::new("/run"))?;
        archive.file(Path::new(ORDERS), 0o644, &serde_json::to_vec_pretty(&orders)?)?;
        archive.finish().with_context(|| format!("{}", path.display()))
    }
}

/// The machine's first process, linked statically: its libraries would have to be found before anything runs.
fn first_process() -> Result<PathBuf> {
    const NAME: &str = "enforcer-vm-init";
    let mut command = shell::cargo(&["rustc", "--package", "enforcer-vm", "--bin", NAME]);
    command.args(["--quiet", "--", "-C", "target-feature=+crt-static"]);
    shell::run(&mut command)?;
    let own = std::env::current_exe().context("path of this program")?;
    let path = own.with_file_name(NAME);
    path.is_file().then_some(path).with_context(|| format!("cargo built no {NAME}"))
}

/// Libraries of ours that suites load from beside themselves, where cargo built them.
fn stand_ins() -> Option<(PathBuf, PathBuf)> {
    let own = std::env::current_exe().ok()?;
    // What is only somebody's dependency is one directory below.
    let places = [own.with_file_name(FAKE_GPU), own.with_file_name("deps").join(FAKE_GPU)];
    let built = places.into_iter().find(|path| path.is_file())?;
    Some((Path::new(BIN_DIR).join(FAKE_GPU), built))
}

fn tools() -> Result<Vec<(PathBuf, PathBuf)>> {
    let mut found = Vec::new();
    for name in TOOLS {
        let here = PLACES.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file());
        match here {
            Some(path) => found.push((path.clone(), fs::canonicalize(&path)?)),
            None if NEEDED.contains(&name) => anyhow::bail!("{name} is not installed"),
            None => {}
        }
    }
    // Those that scripts and our first process name by their whole paths.
    for (place, name) in [("/sbin/ip", "ip"), ("/bin/sh", "sh")] {
        let source = found.iter().find(|(path, _)| path.ends_with(name)).map(|(_, source)| source.clone());
        let source = source.with_context(|| name.to_owned())?;
        found.push((place.into(), source));
    }
    Ok(found)
}
