//! Who is named, and who is not, whatever comes in whatever order.

use std::sync::Arc;

use enforcer_common::event::{Header, KIND_PROCESS_EXEC};
use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000_000;

fn event(kind: u16, at_ns: u64, pid: u32, start_ns: u64) -> ProcessEvent {
    ProcessEvent {
        header: Header { kind, boot_ns: at_ns, ..Header::default() },
        process: pid,
        start_ns,
        cgroup: 7,
        identity: 16,
        parent: 1,
        parent_start_ns: 1,
        ..ProcessEvent::default()
    }
}

fn exec(at_ns: u64, pid: u32, start_ns: u64, path: &str) -> ProcessEvent {
    let mut event = event(KIND_PROCESS_EXEC, at_ns, pid, start_ns);
    event.executable[..path.len()].copy_from_slice(path.as_bytes());
    event.executable_length = path.len().try_into().unwrap();
    event.arguments[..6].copy_from_slice(b"a\0-x\0\0");
    event.arguments_length = 6;
    event
}

fn fork(at_ns: u64, pid: u32, parent: u32, parent_start_ns: u64) -> ProcessEvent {
    ProcessEvent { parent, parent_start_ns, ..event(KIND_PROCESS_FORK, at_ns, pid, at_ns) }
}

fn exit(at_ns: u64, pid: u32, start_ns: u64) -> ProcessEvent {
    event(KIND_PROCESS_EXIT, at_ns, pid, start_ns)
}

fn table(events: &[ProcessEvent]) -> Table {
    let mut table = Table::new(Limits::default());
    events.iter().for_each(|event| table.apply(event));
    table
}

/// The executable of whoever had the id at a time.
fn named(table: &Table, pid: u32, at_ns: u64) -> Result<&str, Gap> {
    let (_, life) = table.running(pid, at_ns)?;
    Ok(life.image_at(at_ns).map_or("", |image| &*image.program.executable))
}

#[test]
fn each_program_is_named_in_its_own_time() {
    let table = table(&[exec(20, 5, 10, "/bin/sh"), exec(30, 5, 10, "/bin/nc")]);
    assert_eq!(named(&table, 5, 9), Err(Gap::NotSeen));
    assert_eq!(named(&table, 5, 25), Ok("/bin/sh"));
    assert_eq!(named(&table, 5, 31), Ok("/bin/nc"));
    let (_, life) = table.running(5, 31).unwrap();
    assert_eq!(life.image_at(31).unwrap().program.arguments().collect::<Vec<_>>(), ["a", "-x", ""]);
}

#[test]
fn a_number_that_is_used_again_names_nobody_else() {
    let table = table(&[exec(10, 5, 10, "/bin/old"), exit(20, 5, 10), exec(31, 5, 30, "/bin/new")]);
    assert_eq!(named(&table, 5, 15), Ok("/bin/old"));
    assert_eq!(named(&table, 5, 25), Err(Gap::NotSeen));
    assert_eq!(named(&table, 5, 35), Ok("/bin/new"));
    // Its successor was not seen.
    let table = super::tests::table(&[exec(10, 5, 10, "/bin/old"), exit(20, 5, 10)]);
    assert_eq!(named(&table, 5, 40), Err(Gap::NotSeen));
}

#[test]
fn a_sockets_maker_is_found_by_control_group_after_its_end() {
    let other = ProcessEvent { cgroup: 8, ..exec(31, 5, 30, "/bin/new") };
    let table = table(&[exec(10, 5, 10, "/bin/old"), exit(20, 5, 10), other]);
    let path = |cgroup| {
        let (_, life) = table.maker(5, 50, cgroup)?;
        Ok(life.image_at(50).map_or("", |image| &*image.program.executable))
    };
    assert_eq!(path(7), Ok("/bin/old"));
    assert_eq!(path(8), Ok("/bin/new"));
    assert_eq!(path(9), Err(Gap::Elsewhere));
    assert_eq!(path(0), Err(Gap::Elsewhere));
    assert_eq!(table.maker(6, 50, 7).err(), Some(Gap::NotSeen));
    // Two had the number in one group.
    let table = super::tests::table(&[exec(10, 5, 10, "/a"), exit(20, 5, 10), exec(31, 5, 30, "/b")]);
    assert_eq!(table.maker(5, 50, 7).err(), Some(Gap::Elsewhere));
    assert!(table.maker(5, 25, 7).is_ok());
}

#[test]
fn a_child_runs_what_its_parent_ran_until_it_executes() {
    let table = table(&[exec(10, 5, 10, "/bin/sh"), fork(20, 6, 5, 10), exec(25, 6, 20, "/bin/nc")]);
    assert_eq!(named(&table, 6, 22), Ok("/bin/sh"));
    assert_eq!(named(&table, 6, 26), Ok("/bin/nc"));
}

fn chain(table: &Table, pid: u32, at_ns: u64) -> Vec<(u32, String)> {
    let (key, life) = table.running(pid, at_ns).unwrap();
    let links = table.ancestors(key, life);
    links.iter().map(|link| (link.key.pid, link.program.executable.to_string())).collect()
}

#[test]
fn ancestors_are_told_as_they_were_when_they_made_the_next_one() {
    let mut table = table(&[
        exec(10, 1, 1, "/sbin/init"),
        fork(20, 2, 1, 1),
        exec(21, 2, 20, "/bin/sh"),
        fork(30, 3, 2, 20),
        exec(31, 3, 30, "/bin/nc"),
    ]);
    let expected = [(2, "/bin/sh".to_owned()), (1, "/sbin/init".to_owned())];
    assert_eq!(chain(&table, 3, 40), expected);
    table.apply(&exec(50, 2, 20, "/bin/other"));
    assert_eq!(chain(&table, 3, 60), expected);
}

#[test]
fn another_tenants_ancestors_are_not_told() {
    let of = |identity, event| ProcessEvent { identity, ..event };
    let table = table(&[
        of(1, exec(10, 1, 1, "/sbin/init")),
        of(17, exec(21, 2, 20, "/bin/secret")),
        of(16, ProcessEvent { parent: 2, parent_start_ns: 20, ..exec(31, 3, 30, "/bin/nc") }),
        of(16, ProcessEvent { parent: 1, parent_start_ns: 1, ..exec(41, 4, 40, "/bin/sh") }),
    ]);
    assert_eq!(chain(&table, 3, 50), []);
    assert_eq!(chain(&table, 4, 50), [(1, "/sbin/init".to_owned())]);
}

#[test]
fn parents_that_cannot_be_end_the_chain() {
    // A parent that is its own child, and one that began later.
    let own = ProcessEvent { parent: 2, parent_start_ns: 20, ..exec(21, 2, 20, "/a") };
    let late = ProcessEvent { parent: 4, parent_start_ns: 50, ..exec(31, 3, 30, "/b") };
    let table = table(&[own, late, exec(51, 4, 50, "/c")]);
    assert_eq!(chain(&table, 2, 60), []);
    assert_eq!(chain(&table, 3, 60), []);
}

fn seen(pid: u32, start_ns: u64, parent: u32, path: &str) -> Seen {
    let program = Arc::new(Program::new(path.as_bytes(), b"a\0b\0"));
    Seen { pid, start_ns, parent, image: Image { program, cgroup: 7, identity: 16, ..Image::default() } }
}

#[test]
fn what_was_there_before_is_seeded_and_known_again_by_its_exact_start() {
    let mut table = Table::new(Limits::default());
    table.seed(seen(1, 0, 0, "/sbin/init"), SECOND);
    table.seed(seen(5, 3 * TICK_NS, 1, "/bin/daemon"), SECOND);
    assert_eq!(named(&table, 5, SECOND), Ok("/bin/daemon"));
    assert_eq!(chain(&table, 5, SECOND), [(1, "/sbin/init".to_owned())]);
    table.apply(&exit(2 * SECOND, 5, 3 * TICK_NS + 77));
    assert_eq!(table.totals().processes, 2);
    let (key, life) = table.running(5, SECOND).unwrap();
    assert_eq!((key.start_ns, life.ended_ns()), (3 * TICK_NS + 77, Some(2 * SECOND)));
    assert_eq!(named(&table, 5, SECOND), Ok("/bin/daemon"));
}

#[test]
fn a_second_look_changes_nothing_but_where_it_is() {
    let mut table = table(&[exec(3 * TICK_NS + 9, 5, 3 * TICK_NS + 5, "/bin/sh")]);
    table.seed(seen(5, 3 * TICK_NS, 1, "/bin/forged"), SECOND);
    assert_eq!(named(&table, 5, 2 * SECOND), Ok("/bin/sh"));
    let mut moved = seen(5, 3 * TICK_NS, 1, "/bin/sh");
    moved.image.cgroup = 70;
    table.seed(moved, SECOND);
    assert!(table.maker(5, 2 * SECOND, 70).is_ok() && table.maker(5, 2 * SECOND, 7).is_ok());
    assert_eq!(table.totals().processes, 1);
}

#[test]
fn a_start_that_the_kernel_does_not_tell_is_made_of_what_is_known() {
    let absent = |event: ProcessEvent| ProcessEvent { start_ns: 0, flags: PROCESS_START_ABSENT, ..event };
    let table = table(&[
        absent(fork(10, 5, 1, 1)),
        absent(exec(20, 5, 0, "/bin/one")),
        absent(exit(30, 5, 0)),
        absent(fork(40, 5, 1, 1)),
        absent(exec(50, 5, 0, "/bin/two")),
    ]);
    assert_eq!((named(&table, 5, 25), named(&table, 5, 55)), (Ok("/bin/one"), Ok("/bin/two")));
    assert_eq!(named(&table, 5, 35), Err(Gap::NotSeen));
}

#[test]
fn ended_processes_stay_for_a_while_and_go() {
    let mut table = table(&[exec(10, 5, 10, "/bin/sh"), exit(20, 5, 10)]);
    table.apply(&exec(59 * SECOND, 6, 59 * SECOND, "/bin/a"));
    assert_eq!(named(&table, 5, 15), Ok("/bin/sh"));
    table.apply(&exec(61 * SECOND, 7, 61 * SECOND, "/bin/b"));
    assert_eq!(named(&table, 5, 15), Err(Gap::NotSeen));
}

#[test]
fn arguments_are_bounded_and_cannot_steer_a_terminal() {
    let program = Program::new(b"/bin/\x1b[2J", &[b'x'; 1000]);
    assert_eq!(&*program.executable, "/bin/\u{fffd}[2J");
    assert!(program.is_arguments_cut);
    assert_eq!(program.arguments().map(str::len).collect::<Vec<_>>(), [256]);
    assert_eq!(Program::new(b"", b"").arguments().len(), 0);
}

/// A node's life: numbers are few, so they are used again.
fn history() -> impl Strategy<Value = Vec<ProcessEvent>> {
    let step = (1..12_u32, 0..4_u8, 1..12_u32, 0..3_u64);
    proptest::collection::vec(step, 1..120).prop_map(|steps| {
        let mut running: BTreeMap<u32, u64> = BTreeMap::from([(1, 1)]);
        let mut now = 100;
        let mut events = Vec::new();
        for (pid, what, parent, group) in steps {
            now += 10;
            let cgroup = 70 + group;
            match (running.get(&pid).copied(), what, running.get(&parent).copied()) {
                (None, _, Some(parent_start)) => {
                    running.insert(pid, now);
                    events.push(ProcessEvent { cgroup, ..fork(now, pid, parent, parent_start) });
                }
                (Some(start), 0 | 1, _) if pid != 1 => {
                    running.remove(&pid);
                    events.push(ProcessEvent { cgroup, ..exit(now, pid, start) });
                }
                (Some(start), _, _) => {
                    let path = format!("/{pid}/{start}");
                    events.push(ProcessEvent { cgroup, ..exec(now, pid, start, &path) });
                }
                (None, _, None) => {}
            }
        }
        events
    })
}

proptest! {
    /// Whatever is named by its own exec says whose it is: never a predecessor's or a successor's.
    #[test]
    fn nobody_is_named_by_another(
        (events, order) in history().prop_flat_map(|events| {
            let order: Vec<usize> = (0..events.len()).collect();
            (Just(events), Just(order).prop_shuffle())
        }),
        limit in 1..40_usize,
    ) {
        let mut table = Table::new(Limits { processes: limit, ..Limits::default() });
        for place in order {
            table.apply(&events[place]);
            prop_assert!(table.totals().processes <= limit);
            prop_assert!(table.order.len() <= 2 * limit.max(1) + 2);
            prop_assert!(table.ended.len() <= limit + 1);
        }
        for event in &events {
            let at = event.header.boot_ns;
            let Ok((key, life)) = table.running(event.process, at) else { continue };
            prop_assert!(key.start_ns <= at && life.ended_ns().is_none_or(|end| end >= at));
            if event.header.kind == KIND_PROCESS_EXEC && key.start_ns == event.start_ns {
                let known = life.images.iter().find(|image| image.since_ns == at);
                let path = format!("/{}/{}", event.process, event.start_ns);
                prop_assert!(known.is_none_or(|image| *image.program.executable == *path));
            }
            let links = table.ancestors(key, life);
            prop_assert!(links.len() <= CHAIN_MAX);
            let mut keys: Vec<Key> = links.iter().map(|link| link.key).collect();
            prop_assert!(keys.iter().all(|above| above.start_ns <= key.start_ns && *above != key));
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), links.len());
        }
        let counted: usize = table.lives.values().map(Life::bytes).sum();
        prop_assert_eq!(counted, table.totals().bytes);
    }

    #[test]
    fn memory_is_bounded_whatever_is_executed(lengths in proptest::collection::vec(1..128_usize, 1..200)) {
        let limits = Limits { bytes: 20_000, ..Limits::default() };
        let mut table = Table::new(limits);
        for (pid, length) in (2..).zip(lengths) {
            let at = u64::from(pid) * 10;
            table.apply(&exec(at, pid, at, &"x".repeat(length)));
            prop_assert!(table.totals().bytes <= limits.bytes);
            prop_assert!(table.running(pid, at).is_ok(), "the latest is kept");
        }
    }
}
