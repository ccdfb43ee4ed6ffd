//! From the groups to the workload, without root: this process calls itself, and a table says what it is in.

use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::identity::attest::{Attest as _, AttestError, Attestor, Kernel, Process};
use crate::identity::svid::{Member, Places};

pub(super) fn member(workload: &str, tenant: &str) -> Member {
    Member { workload: workload.into(), tenant: tenant.into() }
}

pub(super) fn places<const N: usize>(all: [(u64, Member); N]) -> Arc<Places> {
    Arc::new(all.into_iter().collect())
}

/// An attestor to which every process is in the same groups.
fn attestor(kernel: Kernel, all: Arc<Places>, groups: Option<Vec<u64>>) -> Attestor {
    let (_, places) = watch::channel(all);
    let again = groups.clone();
    let attestor = Attestor::new(places, Arc::new(move |_| groups.clone()), Arc::new(move |_| again.clone()));
    Attestor { kernel, ..attestor }
}

async fn me(attestor: &Attestor) -> Process {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let _caller = UnixStream::connect(&path).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    attestor.peer(&stream).unwrap()
}

/// E-4.
#[tokio::test]
async fn the_group_or_one_that_it_lies_in_says_who_calls() {
    for kernel in [Kernel::Any, Kernel::Old] {
        let red = member("red-1", "red");
        let all = places([(3, red.clone()), (9, member("blue-1", "blue"))]);
        let own = attestor(kernel, Arc::clone(&all), Some(vec![3, 1]));
        let process = me(&own).await;
        assert_eq!(process.pid(), i32::try_from(std::process::id()).unwrap());
        assert_eq!(own.attest(&process).unwrap(), red);
        let inner = attestor(kernel, Arc::clone(&all), Some(vec![4, 3, 1]));
        assert_eq!(inner.attest(&process).unwrap(), red);

        let nowhere = attestor(kernel, Arc::clone(&all), Some(vec![4, 1]));
        assert!(matches!(nowhere.attest(&process), Err(AttestError::NoWorkload { .. })));
        let unknown = attestor(kernel, all, None);
        assert!(matches!(unknown.attest(&process), Err(AttestError::NoWorkload { .. })));
    }
}

#[tokio::test]
async fn who_is_in_two_workloads_is_in_none() {
    let all = places([(3, member("red-1", "red")), (1, member("red-2", "red"))]);
    let attestor = attestor(Kernel::Any, all, Some(vec![3, 2, 1]));
    let process = me(&attestor).await;
    let Err(AttestError::Two { one, other, .. }) = attestor.attest(&process) else { panic!("refused") };
    assert_eq!((&*one, &*other), ("red-1", "red-2"));
}

#[tokio::test]
async fn one_workload_may_have_a_group_within_its_group() {
    let red = member("red-1", "red");
    let attestor = attestor(Kernel::Any, places([(3, red.clone()), (2, red.clone())]), Some(vec![3, 2, 1]));
    let process = me(&attestor).await;
    assert_eq!(attestor.attest(&process).unwrap(), red);
}

#[tokio::test]
async fn no_two_connections_have_the_same_number() {
    let attestor = attestor(Kernel::Any, places([]), None);
    assert_ne!(me(&attestor).await.serial(), me(&attestor).await.serial());
}
