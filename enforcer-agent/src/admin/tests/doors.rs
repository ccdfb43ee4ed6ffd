//! The Unix socket: who gets in, who is told no, what is left behind.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;
use tokio::net::UnixListener;

use super::serve;
use crate::admin::listen::ListenError;
use crate::admin::listen::local::LocalDoor;

#[tokio::test]
async fn the_socket_is_private_and_nothing_else_is_left_beside_it() {
    let served = serve().await;
    let mode = std::fs::metadata(&served.socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let directory = served.socket.parent().unwrap();
    assert_eq!(std::fs::read_dir(directory).unwrap().count(), 1);
}

#[tokio::test]
async fn a_living_agents_socket_is_not_taken_and_a_dead_ones_is() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let living = UnixListener::bind(&path).unwrap();
    assert!(matches!(LocalDoor::open(&path, &BTreeSet::new()), Err(ListenError::InUse(_))));
    drop(living);
    let door = LocalDoor::open(&path, &BTreeSet::new()).unwrap();
    drop(door);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_removed() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(LocalDoor::open(&path, &BTreeSet::new()), Err(ListenError::NoSocket(_))));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn an_agent_that_ends_leaves_its_successors_socket() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let old = LocalDoor::open(&path, &BTreeSet::new()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _new = LocalDoor::open(&path, &BTreeSet::new()).unwrap();
    drop(old);
    assert!(path.exists());
}
