//! The kernel modules of a machine: found, unpacked, and put in the order in which they load.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// What the suites use: interfaces and tunnels, filters at interfaces, devices made by programs, kernel TLS,
/// bridges with and without filters, sockets' diagnostics.
const WANTED: [&str; 16] = [
    "veth",
    "bridge",
    "br_netfilter",
    "8021q",
    "tun",
    "dummy",
    "sch_ingress",
    "cls_bpf",
    "act_bpf",
    "fuse",
    "cuse",
    "loop",
    "tls",
    "nf_tables",
    "nf_conntrack",
    "inet_diag",
];

/// A module as it loads.
pub(super) struct Module {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
}

/// What a kernel has of what is wanted.
#[derive(Default)]
pub(super) struct Modules {
    /// Each after those that it needs.
    pub(super) ordered: Vec<Module>,
    /// Wanted, and neither a module nor part of the kernel.
    pub(super) lacking: Vec<&'static str>,
}

impl Modules {
    /// Collects them from the directory of a kernel's modules.
    ///
    /// # Errors
    /// A file cannot be read or unpacked.
    pub(super) fn collect(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        find(dir, &mut files)?;
        let builtin = fs::read_to_string(dir.join("modules.builtin")).context("modules.builtin")?;
        let builtin: BTreeSet<String> = builtin.lines().filter_map(|line| name_of(Path::new(line))).collect();
        let mut modules = Self::default();
        for wanted in WANTED {
            if files.contains_key(wanted) {
                modules.add(wanted, &files)?;
            } else if !builtin.contains(wanted) {
                modules.lacking.push(wanted);
            }
        }
        Ok(modules)
    }

    fn add(&mut self, name: &str, files: &BTreeMap<String, PathBuf>) -> Result<()> {
        if self.ordered.iter().any(|known| known.name == name) {
            return Ok(());
        }
        // What is part of the kernel is no file.
        let Some(path) = files.get(name) else { return Ok(()) };
        let bytes = unpacked(path)?;
        for needed in needs(&bytes) {
            self.add(&needed, files)?;
        }
        self.ordered.push(Module { name: name.to_owned(), bytes });
        Ok(())
    }
}

fn find(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("{}", dir.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            find(&entry.path(), files)?;
        } else if let Some(name) = name_of(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// The name of the module in a file, in which the kernel writes every dash as an underscore.
fn name_of(path: &Path) -> Option<String> {
    let (name, rest) = path.file_name()?.to_str()?.split_once(".ko")?;
    (rest.is_empty() || rest.starts_with('.')).then(|| name.replace('-', "_"))
}

fn unpacked(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("ko") => return fs::read(path).with_context(|| format!("{}", path.display())),
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => bail!("{}: compressed in an unknown way", path.display()),
    };
    let mut command = Command::new(program);
    command.args(["--decompress", "--stdout", "--quiet"]).arg(path);
    let output = command.output().with_context(|| format!("{program}, which unpacks kernel modules"))?;
    if !output.status.success() {
        bail!("{program} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

/// Which modules a module needs: `depends=a,b` among the words that it carries about itself.
fn needs(bytes: &[u8]) -> Vec<String> {
    const WORD: &[u8] = b"\0depends=";
    let Some(at) = bytes.windows(WORD.len()).position(|window| window == WORD) else { return Vec::new() };
    let list = bytes.get(at + WORD.len()..).unwrap_or_default().split(|byte| *byte == 0).next();
    let list = String::from_utf8_lossy(list.unwrap_or_default());
    list.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        assert_eq!(needs(b"\x7fELF..\0license=GPL\0depends=stp,llc-x\0retpoline=Y\0"), ["stp", "llc_x"]);
        assert!(needs(b"\0depends=\0").is_empty() && needs(b"nothing").is_empty());
    }

    #[test]
    fn names_are_the_kernels() {
        assert_eq!(name_of(Path::new("a/nf-x.ko.xz")).as_deref(), Some("nf_x"));
        assert_eq!(name_of(Path::new("kernel/veth.ko")).as_deref(), Some("veth"));
        assert_eq!(name_of(Path::new("modules.order")), None);
        assert_eq!(name_of(Path::new("a.koala")), None);
    }

    #[test]
    fn what_is_needed_loads_first() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("modules.builtin"), "kernel/fs/fuse/fuse.ko\n").unwrap();
        for (file, needed) in [("bridge.ko", "stp,llc"), ("stp.ko", "llc"), ("llc.ko", ""), ("other.ko", "")]
        {
            fs::write(dir.path().join(file), format!("\0depends={needed}\0")).unwrap();
        }
        let modules = Modules::collect(dir.path()).unwrap();
        let order: Vec<&str> = modules.ordered.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(order, ["llc", "stp", "bridge"]);
        assert!(modules.lacking.contains(&"veth") && !modules.lacking.contains(&"fuse"));
    }
}
