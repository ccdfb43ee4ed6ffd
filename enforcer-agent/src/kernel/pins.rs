//! Where links and maps are pinned: `PIN_ROOT/v<ABI>/{maps,links}`. What is pinned survives the agent.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use enforcer_common::abi;
use nix::mount::{MsFlags, mount};
use nix::sys::statfs::statfs;

use super::error::KernelError;

const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
const TRACEFS_MAGIC: i64 = 0x7472_6163;
const SECURITYFS_MAGIC: i64 = 0x7363_6673;
const SECURITYFS: &str = "/sys/kernel/security";
const BPF_FS: &str = "/sys/fs/bpf";
const TRACEFS: &str = "/sys/kernel/tracing";

/// The pin directories of one ABI version.
#[derive(Clone, Debug)]
pub(super) struct Pins {
    root: PathBuf,
    version: PathBuf,
}

impl Pins {
    /// Of this agent's ABI. Mounts the BPF file system if nothing is mounted where it should be, and makes
    /// the directories, open to root only.
    pub(super) fn prepare(root: &Path) -> Result<Self, KernelError> {
        if root.starts_with(BPF_FS) && !is_on(Path::new(BPF_FS), BPF_FS_MAGIC) {
            mount_as("bpf", BPF_FS)?;
        }
        let pins = Self::of(root);
        for directory in [pins.maps(), pins.links()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(KernelError::file("create", &directory))?;
        }
        if !is_on(&pins.root, BPF_FS_MAGIC) {
            return Err(KernelError::File {
                operation: "pin below",
                path: pins.root,
                error: io::Error::other("it is not on a BPF file system"),
            });
        }
        Ok(pins)
    }

    /// Of this agent's ABI, without touching anything.
    pub(super) fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), version: root.join(format!("v{}", abi::VERSION)) }
    }

    pub(super) fn maps(&self) -> PathBuf {
        self.version.join("maps")
    }

    pub(super) fn map(&self, table: &str) -> PathBuf {
        self.maps().join(table)
    }

    pub(super) fn links(&self) -> PathBuf {
        self.version.join("links")
    }

    pub(super) fn link(&self, name: &str) -> PathBuf {
        self.links().join(name)
    }

    /// Directories of other ABI versions: older agents' walls, which stand until ours do.
    pub(super) fn others(&self) -> Result<Vec<PathBuf>, KernelError> {
        let mut others = Vec::new();
        for entry in fs::read_dir(&self.root).map_err(KernelError::file("read", &self.root))? {
            let path = entry.map_err(KernelError::file("read", &self.root))?.path();
            if path != self.version && is_version(&path) {
                others.push(path);
            }
        }
        Ok(others)
    }
}

/// True for a directory that an agent made: `v` and a number. Anything else below the root is somebody else's.
pub(super) fn is_version(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let number = name.strip_prefix('v').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && path.is_dir()
}

/// Removes a directory of pins, links before maps so that no program is left without its tables; names what
/// went.
pub(super) fn remove_tree(directory: &Path, removed: &mut Vec<String>) -> Result<(), KernelError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(directory).map_err(KernelError::file("read", directory))? {
        entries.push(entry.map_err(KernelError::file("read", directory))?.path());
    }
    entries.sort();
    for path in entries {
        if path.is_dir() {
            remove_tree(&path, removed)?;
        } else {
            fs::remove_file(&path).map_err(KernelError::file("remove", &path))?;
            removed.push(path.display().to_string());
        }
    }
    fs::remove_dir(directory).map_err(KernelError::file("remove", directory))
}

/// Makes sure that securityfs is there: it names the security modules. It takes no mode.
///
/// # Errors
/// It is not mounted and cannot be.
pub(super) fn securityfs() -> Result<(), KernelError> {
    if is_on(Path::new(SECURITYFS), SECURITYFS_MAGIC) {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("securityfs"), SECURITYFS, Some("securityfs"), flags, None::<&str>)
        .map_err(io::Error::from)
        .map_err(KernelError::file("mount a file system on", SECURITYFS))
}

/// Makes sure that tracefs is there: attaching a tracepoint reads its number from it.
///
/// # Errors
/// It is not mounted and cannot be.
pub fn tracefs() -> Result<(), KernelError> {
    if is_on(Path::new(TRACEFS), TRACEFS_MAGIC) {
        return Ok(());
    }
    mount_as("tracefs", TRACEFS)
}

fn mount_as(kind: &'static str, at: &'static str) -> Result<(), KernelError> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(kind), at, Some(kind), flags, Some("mode=0700"))
        .map_err(io::Error::from)
        .map_err(KernelError::file("mount a file system on", at))
}

fn is_on(path: &Path, magic: i64) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type().0 == magic)
}
