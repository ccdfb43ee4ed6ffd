use std::process::{Child, Command};

use super::*;

/// The first place where this process may make a group of its own; `None` without root or without cgroup2.
fn hierarchy() -> Option<Groups> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(PathBuf::from)
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists() && root.join("cgroup.controllers").exists())
        .map(Groups::new)
        .filter(|groups| groups.canary(&format!("group-probe-{}", std::process::id())).is_ok())
}

struct Sleeper(Child);

impl Sleeper {
    fn in_group(canary: &Canary) -> Self {
        let sleeper = Self(Command::new("sleep").arg("600").spawn().unwrap());
        canary.admit(sleeper.0.id()).unwrap();
        sleeper
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_group_is_frozen_thawed_and_killed() {
    let Some(groups) = hierarchy() else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let canary = groups.canary(&format!("group-test-{}", std::process::id())).unwrap();
    let below = canary.group().path().join("below");
    fs::create_dir(&below).unwrap();
    let id = fs::metadata(canary.group().path()).unwrap().ino();
    let found = groups.find(&[id].into()).unwrap();
    assert_eq!(found.len(), 1);
    assert!(!found[0].is_populated().unwrap());

    let mut sleeper = Sleeper::in_group(&canary);
    fs::write(below.join("cgroup.procs"), sleeper.0.id().to_string()).unwrap();
    assert!(found[0].is_populated().unwrap(), "a process below it populates a group");
    assert_eq!(canary.group().processes().unwrap(), [sleeper.0.id()].into());

    canary.group().freeze(SOON).unwrap();
    let state = fs::read_to_string(format!("/proc/{}/cgroup", sleeper.0.id())).unwrap();
    assert!(state.contains("/below"), "{state}");
    assert!(event(canary.group().path(), "frozen").unwrap());
    canary.group().thaw(SOON).unwrap();
    assert!(!event(canary.group().path(), "frozen").unwrap());
    canary.group().freeze(SOON).unwrap();
    canary.group().kill(SOON).unwrap();
    assert!(sleeper.0.wait().unwrap().code().is_none(), "it was ended by a signal");
    assert!(canary.group().processes().unwrap().is_empty());
    fs::remove_dir(&below).unwrap();
}

#[test]
fn without_the_kernels_verb_everybody_is_killed_one_by_one() {
    let Some(groups) = hierarchy() else {
        eprintln!("skipped: needs root and cgroup2");
        return;
    };
    let canary = groups.canary(&format!("group-each-{}", std::process::id())).unwrap();
    let mut sleepers: Vec<Sleeper> = (0..3).map(|_| Sleeper::in_group(&canary)).collect();
    canary.group().kill_each(SOON).unwrap();
    for sleeper in &mut sleepers {
        assert!(sleeper.0.wait().unwrap().code().is_none());
    }
}

/// Ordinary directories have inode numbers as well, and are enough for what may be touched.
#[test]
fn only_what_lies_in_a_named_group_may_be_touched() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("tenants/red/web")).unwrap();
    fs::create_dir_all(root.path().join("system")).unwrap();
    let groups = Groups::new(root.path().to_owned());
    let id = |path: &str| fs::metadata(root.path().join(path)).unwrap().ino();
    let (web, red, system) = (id("tenants/red/web"), id("tenants/red"), id("system"));
    let root_id = fs::metadata(root.path()).unwrap().ino();

    let found = groups.find(&[web, system, root_id, 4_711_471_147].into()).unwrap();
    let ids: Vec<u64> = found.iter().map(|found| found.id).collect();
    assert_eq!(ids, [system, web], "the root, and what is not there, are not found");
    assert!(found[1].claim(&[red].into()).is_ok());
    assert!(found[1].claim(&[web].into()).is_ok());
    assert!(matches!(found[0].claim(&[red].into()), Err(GroupError::Foreign(_))));
    assert!(matches!(found[1].claim(&BTreeSet::new()), Err(GroupError::Foreign(_))));
    assert!(matches!(found[1].claim(&[root_id].into()), Err(GroupError::Foreign(_))), "the root is nobody's");
}
