//! From a network namespace to the interface on this side of its veth pair.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use crate::netlink::link::Link;
use crate::netlink::{Netlink, NetlinkError};

/// Why a namespace shows no interface here.
#[derive(Debug, thiserror::Error)]
pub(super) enum NamespaceError {
    /// There is no such file (yet).
    #[error("network namespace {0} does not exist")]
    Missing(PathBuf),
    /// It cannot be opened or entered.
    #[error("network namespace {path}: {error}")]
    System {
        /// Which.
        path: PathBuf,
        /// How.
        error: io::Error,
    },
    /// It cannot be asked.
    #[error("network namespace {path}: {error}")]
    Netlink {
        /// Which.
        path: PathBuf,
        /// How.
        error: NetlinkError,
    },
    /// No end of a veth pair in it has its other end here.
    #[error("network namespace {0} has no veth whose other end is on this node")]
    NoPeer(PathBuf),
    /// Several have, so which one is meant is not known.
    #[error("network namespace {path} has {count} veth pairs to this node; name the interface")]
    SeveralPeers {
        /// Which.
        path: PathBuf,
        /// How many.
        count: usize,
    },
}

/// What was found for a namespace, and how to see that it still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    device: u64,
    inode: u64,
    outer: Link,
}

impl Found {
    pub(super) const fn interface(&self) -> u32 {
        self.outer.index
    }

    /// The same namespace file and the same veth end: its other end cannot have moved without its number
    /// changing.
    pub(super) fn still_holds(&self, path: &Path, outer: &BTreeMap<u32, Link>) -> bool {
        let same_file =
            std::fs::metadata(path).is_ok_and(|data| data.dev() == self.device && data.ino() == self.inode);
        same_file && outer.get(&self.outer.index) == Some(&self.outer)
    }
}

/// Looks into each namespace, on a thread of its own: entering one would change what this thread sees.
/// `outer` are the interfaces of this namespace and `here` a conversation with it.
pub(super) fn find(
    paths: &[PathBuf],
    outer: &BTreeMap<u32, Link>,
    here: &mut Netlink,
) -> Vec<Result<Found, NamespaceError>> {
    std::thread::scope(|scope| {
        let visitor = scope.spawn(|| paths.iter().map(|path| visit(path, outer, here)).collect());
        visitor.join().unwrap_or_default()
    })
}

fn visit(path: &Path, outer: &BTreeMap<u32, Link>, here: &mut Netlink) -> Result<Found, NamespaceError> {
    let system = |error| NamespaceError::System { path: path.to_owned(), error };
    let netlink = |error| NamespaceError::Netlink { path: path.to_owned(), error };
    let namespace = open(path)?;
    let data = namespace.metadata().map_err(system)?;
    setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(|error| system(error.into()))?;
    let inner = Netlink::open().and_then(|mut inside| inside.links()).map_err(netlink)?;
    let id = here.namespace_id(&namespace).map_err(netlink)?;
    let ends: Vec<&Link> = inner.values().filter_map(|inner| other_end(inner, outer, id)).collect();
    match ends.as_slice() {
        [] => Err(NamespaceError::NoPeer(path.to_owned())),
        [end] => Ok(Found { device: data.dev(), inode: data.ino(), outer: (*end).clone() }),
        several => Err(NamespaceError::SeveralPeers { path: path.to_owned(), count: several.len() }),
    }
}

/// Indices repeat from namespace to namespace: the end here must be a veth, point back at `inner`, and say
/// that its peer lives in the very namespace that was visited.
fn other_end<'a>(inner: &Link, outer: &'a BTreeMap<u32, Link>, namespace: Option<i32>) -> Option<&'a Link> {
    let end = outer.get(&inner.peer?)?;
    let is_pair = inner.kind == "veth" && end.kind == "veth" && end.peer == Some(inner.index);
    (is_pair && namespace.is_some() && end.peer_namespace == namespace).then_some(end)
}

fn open(path: &Path) -> Result<File, NamespaceError> {
    // Without blocking: a path that turns out to be a pipe must not hold the agent.
    let options = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path);
    options.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => NamespaceError::Missing(path.to_owned()),
        _ => NamespaceError::System { path: path.to_owned(), error },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn veth(index: u32, peer: u32, peer_namespace: Option<i32>) -> Link {
        Link { index, kind: "veth".to_owned(), peer: Some(peer), peer_namespace, ..Link::default() }
    }

    #[test]
    fn the_end_that_points_back_from_this_namespace_is_taken() {
        let outer = BTreeMap::from([(7, veth(7, 2, Some(0))), (8, veth(8, 2, Some(1)))]);
        assert_eq!(other_end(&veth(2, 7, Some(9)), &outer, Some(0)).map(|link| link.index), Some(7));
        assert_eq!(other_end(&veth(2, 8, Some(9)), &outer, Some(1)).map(|link| link.index), Some(8));
    }

    #[test]
    fn another_namespaces_pair_with_the_same_indices_is_not() {
        let outer = BTreeMap::from([(7, veth(7, 2, Some(0)))]);
        assert_eq!(other_end(&veth(2, 7, Some(9)), &outer, Some(1)), None);
        assert_eq!(other_end(&veth(2, 7, Some(9)), &outer, None), None);
        assert_eq!(other_end(&veth(3, 7, Some(9)), &outer, Some(0)), None);
        let bridge = Link { kind: "bridge".to_owned(), ..veth(7, 2, Some(0)) };
        assert_eq!(other_end(&veth(2, 7, None), &BTreeMap::from([(7, bridge)]), Some(0)), None);
    }
}
