//! Control groups of the cgroup2 hierarchy: from a path to the id that the kernel's tables use, and back.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use enforcer_common::maps::CGROUP_LEVELS;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

/// Groups that lie in one another, at most: whoever nests deeper is nobody's process.
const LINEAGE_MAX: usize = 128;
/// A directory as a place to go on from, whatever its permissions.
const PLACE: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// Why a control group is not there.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// The root is not on a cgroup2 file system.
    #[error("{0} is no cgroup2 directory")]
    NotCgroup2(PathBuf),
    /// A path that leaves the hierarchy, or does not begin with a slash.
    #[error("control group path \"{0}\" must be absolute, without \".\" and \"..\"")]
    Path(String),
    /// A group below the levels at which the kernel programs look for identities.
    #[error(
        "control group {0} lies deeper than {CGROUP_LEVELS} levels, where no process would be recognised"
    )]
    TooDeep(PathBuf),
    /// A system call failed.
    #[error("control group {path}: {error}")]
    System {
        /// Of which group.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
}

/// The hierarchy, or the part of it that is this node's.
#[derive(Clone, Debug)]
pub struct CgroupTree {
    root: PathBuf,
}

impl CgroupTree {
    /// Below `root`, which is checked to be a directory of cgroup2.
    ///
    /// # Errors
    /// It is not.
    pub fn new(root: &Path) -> Result<Self, CgroupError> {
        // Resolved once, so that the paths that the kernel reports can be compared with it.
        let root = root.canonicalize().map_err(|error| system(root, error))?;
        match id_at(&root)? {
            Some(_) => Ok(Self { root }),
            None => Err(CgroupError::NotCgroup2(root)),
        }
    }

    /// The id of the group at `path`, which begins with a slash and counts from the root; `None` when there
    /// is no such group (yet).
    ///
    /// # Errors
    /// The path is none, or the kernel would not say.
    pub fn id_of(&self, path: &str) -> Result<Option<u64>, CgroupError> {
        let group = self.join(path)?;
        let id = id_at(&group)?;
        if id.is_some() && level(&group) >= usize::try_from(CGROUP_LEVELS).unwrap_or(usize::MAX) {
            return Err(CgroupError::TooDeep(group));
        }
        Ok(id)
    }

    /// The path of a group, counted from the root: `None` when it is gone or lies elsewhere.
    #[must_use]
    pub fn path_of(&self, id: u64) -> Option<String> {
        let root =
            open(&self.root, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let group = open_by_id(&root, id).ok()?;
        let path = std::fs::read_link(format!("/proc/self/fd/{}", group.as_raw_fd())).ok()?;
        let below = path.strip_prefix(&self.root).ok()?;
        Some(format!("/{}", below.to_str()?))
    }

    /// The ids of a group and of everything above it, up to the root of this part, from the inside out; `None`
    /// when the group is gone, lies elsewhere, or lies deeper than anybody nests groups. What a group lies in
    /// never changes, and an id is never given again.
    #[must_use]
    pub fn lineage(&self, id: u64) -> Option<Vec<u64>> {
        let root =
            open(&self.root, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        self.climb(open_by_id(&root, id).ok()?)
    }

    /// Like [`Self::lineage`], for a path as the kernel reports it in `/proc/PID/cgroup`: counted from the root
    /// of the whole hierarchy.
    #[must_use]
    pub fn lineage_of_path(&self, path: &str) -> Option<Vec<u64>> {
        let top = self.root.ancestors().take_while(|above| matches!(id_at(above), Ok(Some(_)))).last()?;
        let group = Self { root: top.to_owned() }.join(path).ok()?;
        self.climb(open(&group, PLACE, Mode::empty()).ok()?.into())
    }

    /// From a group to the root of this part, by what the directory lies in rather than by name.
    fn climb(&self, mut group: std::fs::File) -> Option<Vec<u64>> {
        let root = std::fs::metadata(&self.root).ok()?;
        let mut lineage = Vec::new();
        while lineage.len() < LINEAGE_MAX {
            let here = group.metadata().ok()?;
            if here.dev() != root.dev() {
                return None;
            }
            lineage.push(here.ino());
            if here.ino() == root.ino() {
                return Some(lineage);
            }
            group = openat(&group, "..", PLACE, Mode::empty()).ok()?.into();
        }
        None
    }

    fn join(&self, path: &str) -> Result<PathBuf, CgroupError> {
        let wrong = || CgroupError::Path(path.chars().take(256).collect());
        let below = path.strip_prefix('/').ok_or_else(wrong)?;
        let is_plain = Path::new(below).components().all(|part| matches!(part, Component::Normal(_)));
        if is_plain && !path.contains('\0') { Ok(self.root.join(below)) } else { Err(wrong()) }
    }
}

/// How far below the root of the hierarchy a group lies: the root itself is level 0.
fn level(group: &Path) -> usize {
    group.ancestors().skip(1).take_while(|above| matches!(id_at(above), Ok(Some(_)))).count()
}

/// The inode number of a cgroup2 directory is the group's id on 64-bit machines (kernfs, since Linux 5.5).
fn id_at(path: &Path) -> Result<Option<u64>, CgroupError> {
    const { assert!(size_of::<usize>() == 8, "a control group's inode number is its id on 64-bit only") };
    let group = match open(path, PLACE, Mode::empty()) {
        Ok(group) => std::fs::File::from(group),
        Err(nix::Error::ENOENT | nix::Error::ENOTDIR | nix::Error::ENODEV) => return Ok(None),
        Err(error) => return Err(system(path, error.into())),
    };
    let kind = fstatfs(&group).map_err(|error| system(path, error.into()))?.filesystem_type();
    if kind != CGROUP2_SUPER_MAGIC {
        return Err(CgroupError::NotCgroup2(path.to_owned()));
    }
    group.metadata().map(|data| Some(data.ino())).map_err(|error| system(path, error))
}

/// Opens a group by its id alone: a kernfs file handle is the id (`FILEID_KERNFS`).
fn open_by_id(mount: &impl AsRawFd, id: u64) -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;

    const FILEID_KERNFS: libc::c_int = 0xfe;
    #[repr(C)]
    struct Handle {
        handle_bytes: libc::c_uint,
        handle_type: libc::c_int,
        id: [u8; 8],
    }
    let mut handle = Handle { handle_bytes: 8, handle_type: FILEID_KERNFS, id: id.to_ne_bytes() };
    // SAFETY: the handle has the layout of `struct file_handle` with eight bytes of data, as its first field
    // says, and lives through the call.
    let group = unsafe {
        libc::open_by_handle_at(mount.as_raw_fd(), (&raw mut handle).cast(), libc::O_PATH | libc::O_CLOEXEC)
    };
    if group < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so this is a new descriptor that nobody else holds.
    Ok(unsafe { std::fs::File::from_raw_fd(group) })
}

fn system(path: &Path, error: io::Error) -> CgroupError {
    let bytes = path.as_os_str().as_bytes();
    CgroupError::System { path: PathBuf::from(String::from_utf8_lossy(bytes).into_owned()), error }
}
