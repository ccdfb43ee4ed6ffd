//! Who is behind what is told: processes with their arguments, the process whose socket sent a packet, connections with
//! what they moved.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use enforcer_common::event::{
    Event, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT, KIND_PROCESS_FORK, KIND_SOCKET_END, KIND_SOCKET_STATE,
    PROCESS_ARGUMENTS_CUT, PROCESS_EXECUTABLE_CUT, ProcessEvent, SOCKET_PASSIVE, SocketEvent,
};
use enforcer_common::maps::CgroupValue;
use enforcer_common::reason;
use enforcer_core::enforce::{Aggregation, Enforcement as _, HookState, Inspection as _};
use enforcer_core::event::decode::Decoded;
use enforcer_tests::runner::Case;

use crate::fixture::{Node, address, ip as ip_tool};
use crate::frame::{SYN, TCP, UDP, ip, tcp, udp};
use crate::play::{Groups, id, join, play};
use crate::tunnel::alter;

pub(crate) const CASES: &[Case<Node>] = &[
    case("origin::the_hooks_of_processes_are_proven", proven),
    case("origin::a_process_is_told_from_its_fork_to_its_exit", life),
    case("origin::long_arguments_are_cut_and_marked", cut),
    case("origin::a_packet_at_an_interface_names_the_process_of_its_socket", owners),
    case("origin::anothers_packet_with_the_same_addresses_names_nobody", strangers),
    case("origin::a_connection_is_told_at_its_end_with_what_it_moved", ends),
    case("origin::states_are_told_where_a_tenant_asks_for_them", states),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

const RED: u32 = 100;
/// Another workload of red.
const PEER: &str = "10.0.0.2";

/// The control groups, red's with its tenant.
fn groups(node: &mut Node) -> Result<Groups> {
    let groups = Groups::make(node.cgroup())?;
    let red = id(&groups.red)?;
    let value = CgroupValue { identity: RED, workload: 1, ..CgroupValue::default() };
    alter(node, |image| image.cgroups.extend([(red, value)]))?;
    node.told();
    Ok(groups)
}

fn proven(node: &mut Node) -> Result<()> {
    for name in ["raw_tp/sched_process_exec", "raw_tp/sched_process_fork", "raw_tp/sched_process_exit"] {
        let hook = node.wall.hooks().into_iter().find(|hook| hook.name == name).context(name)?;
        ensure!(hook.state == HookState::Verified, "{hook:?}");
    }
    Ok(())
}

fn processes(node: &mut Node) -> Vec<ProcessEvent> {
    let process = |decoded| match decoded {
        Decoded::Process(process) if process.identity == RED => Some(process),
        _ => None,
    };
    node.told().into_iter().filter_map(process).collect()
}

fn of_kind(told: &[ProcessEvent], kind: u16, process: u32) -> Result<ProcessEvent> {
    let mut found = told.iter().filter(|event| event.header.kind == kind && event.process == process);
    found.next().copied().with_context(|| format!("no event of kind {kind} and process {process}: {told:?}"))
}

fn life(node: &mut Node) -> Result<()> {
    let groups = groups(node)?;
    let note = std::env::temp_dir().join(format!("enforcer-origin-{}", std::process::id()));
    play(|| {
        join(&groups.red)?;
        let mut child = Command::new("/bin/sh").args(["-c", "exit 3", "name", "two words"]).spawn()?;
        fs::write(&note, format!("{} {}", std::process::id(), child.id()))?;
        ensure!(child.wait()?.code() == Some(3), "the shell did something else");
        Ok(())
    })?;
    let written = fs::read_to_string(&note)?;
    fs::remove_file(&note)?;
    let (parent, child) = written.split_once(' ').context("two numbers")?;
    let (parent, child): (u32, u32) = (parent.parse()?, child.parse()?);
    let told = processes(node);
    let [fork, exec, exit] =
        [KIND_PROCESS_FORK, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT].map(|kind| of_kind(&told, kind, child));
    let (fork, exec, exit) = (fork?, exec?, exit?);
    ensure!(exec.path() == b"/bin/sh", "{:?}", String::from_utf8_lossy(exec.path()));
    ensure!(exec.argument_bytes() == b"/bin/sh\0-c\0exit 3\0name\0two words\0", "{exec:?}");
    ensure!(&exec.command[..3] == b"sh\0", "{:?}", exec.command);
    ensure!(exec.flags == 0 && fork.flags == 0 && exit.flags == 0, "{told:?}");
    ensure!(exit.exit_code == 3 << 8, "exit code {:#x}", exit.exit_code);
    let group = id(&groups.red)?;
    for event in [&fork, &exec, &exit] {
        ensure!(event.parent == parent && event.uid == 0 && event.cgroup == group, "{event:?}");
        ensure!(event.start_ns == fork.start_ns && event.start_ns != 0, "{event:?}");
        ensure!(event.start_ns <= event.header.boot_ns, "it began before it was told: {event:?}");
        ensure!(event.parent_start_ns == fork.parent_start_ns && event.parent_start_ns != 0, "{event:?}");
    }
    ensure!(fork.parent_start_ns < fork.start_ns, "{fork:?}");
    let end = of_kind(&told, KIND_PROCESS_EXIT, parent)?;
    ensure!(end.start_ns == fork.parent_start_ns, "a parent's start is its own: {end:?}");
    Ok(())
}

fn cut(node: &mut Node) -> Result<()> {
    let groups = groups(node)?;
    let long = "x".repeat(400);
    let directory = std::env::temp_dir().join("d".repeat(150));
    fs::create_dir_all(&directory)?;
    let shell = directory.join("sh");
    fs::copy("/bin/sh", &shell)?;
    let outcome = play(|| {
        join(&groups.red)?;
        ensure!(Command::new(&shell).args(["-c", "exit 0", &long]).status()?.success(), "the shell failed");
        Ok(())
    });
    fs::remove_dir_all(&directory)?;
    outcome?;
    let told = processes(node);
    let exec = told.iter().find(|event| event.header.kind == KIND_PROCESS_EXEC).context("no exec")?;
    ensure!(exec.flags == PROCESS_ARGUMENTS_CUT | PROCESS_EXECUTABLE_CUT, "{exec:?}");
    ensure!(exec.path().len() == 127 && exec.argument_bytes().len() == 256, "{exec:?}");
    Ok(())
}

/// A socket of red's group sends a datagram and opens a connection, from one of red's addresses to another. Answers with
/// its process and the two ports.
fn speak(groups: &Groups) -> Result<(u32, u16, u16)> {
    let note = std::env::temp_dir().join(format!("enforcer-origin-{}", std::process::id()));
    for own in ["10.0.0.1/32", "10.0.0.2/32"] {
        ip_tool(&["address", "replace", own, "dev", "lo"])?;
    }
    let listener = TcpListener::bind((PEER, 7_777))?;
    play(|| {
        join(&groups.red)?;
        let datagrams = UdpSocket::bind((Ipv4Addr::new(10, 0, 0, 1), 0))?;
        datagrams.send_to(b"x", (PEER, 7_777))?;
        let stream = crate::play::bound("10.0.0.1:0", 0)?;
        crate::play::connect_to(&stream, "10.0.0.2:7777")?;
        let stream = TcpStream::from(stream);
        let said =
            [std::process::id(), datagrams.local_addr()?.port().into(), stream.local_addr()?.port().into()];
        Ok(fs::write(&note, said.map(|number| number.to_string()).join(" "))?)
    })?;
    drop(listener);
    let said = fs::read_to_string(&note)?;
    fs::remove_file(&note)?;
    let numbers = said.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let [process, datagrams, stream] = numbers.as_slice() else { anyhow::bail!("{said}") };
    Ok((*process, u16::try_from(*datagrams)?, u16::try_from(*stream)?))
}

fn towards_peer(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip(address("10.0.0.1"), address(PEER), protocol, payload)
}

fn one_event(events: &[Event]) -> Result<Event> {
    match events {
        [event] => Ok(*event),
        other => anyhow::bail!("not one event: {other:?}"),
    }
}

fn owners(node: &mut Node) -> Result<()> {
    let groups = groups(node)?;
    let (process, datagrams, stream) = speak(&groups)?;
    let group = id(&groups.red)?;
    let frames =
        [towards_peer(UDP, &udp(datagrams, 7_777, b"x")), towards_peer(TCP, &tcp(stream, 7_777, SYN))];
    let mut cookies = Vec::new();
    for frame in frames {
        let event = one_event(&node.send("red-a", &frame)?.events)?;
        ensure!(event.process == process && event.cgroup == group && event.cookie != 0, "{event:?}");
        cookies.push(event.cookie);
    }
    ensure!(cookies[0] != cookies[1], "two sockets have one cookie");
    let nobody = one_event(&node.send("red-a", &towards_peer(UDP, &udp(9, 7_777, b"x")))?.events)?;
    ensure!((nobody.process, nobody.cgroup, nobody.cookie) == (0, 0, 0), "{nobody:?}");
    Ok(())
}

fn strangers(node: &mut Node) -> Result<()> {
    let groups = groups(node)?;
    let (_, datagrams, _) = speak(&groups)?;
    let forged = towards_peer(UDP, &udp(datagrams, 7_777, b"x"));
    let event = one_event(&node.send("blue-a", &forged)?.events)?;
    ensure!(event.reason == reason::SOURCE_NOT_OWN, "{event:?}");
    ensure!((event.process, event.cgroup, event.cookie) == (0, 0, 0), "blamed on another: {event:?}");
    Ok(())
}

/// A connection of red with itself: a thousand bytes one way, ten the other.
fn converse(groups: &Groups) -> Result<()> {
    play(|| {
        join(&groups.red)?;
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(&[1; 1_000])?;
        server.read_exact(&mut [0; 1_000])?;
        server.write_all(&[2; 10])?;
        client.read_exact(&mut [0; 10])?;
        drop(client);
        ensure!(server.read(&mut [0; 1])? == 0, "more than was sent");
        drop(server);
        std::thread::sleep(std::time::Duration::from_millis(50));
        Ok(())
    })
}

fn sockets(node: &mut Node) -> Vec<SocketEvent> {
    let socket = |decoded| match decoded {
        Decoded::Socket(socket) => Some(socket),
        _ => None,
    };
    node.told().into_iter().filter_map(socket).collect()
}

fn ends(node: &mut Node) -> Result<()> {
    let groups = groups(node)?;
    converse(&groups)?;
    let told = sockets(node);
    let ends = told.iter().filter(|event| event.header.kind == KIND_SOCKET_END);
    let (accepted, opened): (Vec<&SocketEvent>, Vec<&SocketEvent>) =
        ends.partition(|event| event.flags & SOCKET_PASSIVE != 0);
    let ([accepted], [opened]) = (accepted.as_slice(), opened.as_slice()) else {
        anyhow::bail!("not one end each: {told:?}");
    };
    ensure!(told.len() == 2, "states that nobody asked for: {told:?}");
    // The kernel counts sequence numbers: the beginning and the end of a stream take one each.
    ensure!(
        (10..=12).contains(&opened.bytes_received) && (10..=12).contains(&accepted.bytes_sent),
        "{told:?}"
    );
    let thousand = 1_000..=1_002;
    ensure!(thousand.contains(&opened.bytes_sent) && thousand.contains(&accepted.bytes_received), "{told:?}");
    ensure!(opened.segments_out >= 3 && accepted.segments_in >= 3, "{told:?}");
    let group = id(&groups.red)?;
    for end in [opened, accepted] {
        ensure!(end.identity == RED && end.cgroup == group && end.process != 0, "{end:?}");
        ensure!(end.since_ns != 0 && end.since_ns < end.header.boot_ns && end.new_state == 7, "{end:?}");
    }
    ensure!(opened.process == accepted.process && opened.cookie != accepted.cookie, "{told:?}");
    ensure!(
        opened.local_port == accepted.remote_port && opened.remote_port == accepted.local_port,
        "{told:?}"
    );
    Ok(())
}

fn states(node: &mut Node) -> Result<()> {
    let groups = groups(node)?;
    node.wall.set_aggregation(&[(RED, Aggregation::States)].into())?;
    converse(&groups)?;
    let told = sockets(node);
    let established = |event: &&SocketEvent| event.header.kind == KIND_SOCKET_STATE && event.new_state == 1;
    ensure!(told.iter().any(|event| established(&event)), "no connection was established: {told:?}");
    ensure!(told.iter().filter(|event| event.header.kind == KIND_SOCKET_END).count() == 2, "{told:?}");
    node.wall.set_aggregation(&[(RED, Aggregation::None)].into())?;
    converse(&groups)?;
    let told = sockets(node);
    ensure!(told.is_empty(), "told against the wish: {told:?}");
    node.wall.set_aggregation(&[].into())?;
    converse(&groups)?;
    ensure!(sockets(node).len() == 2, "the node's own level is connections");
    Ok(())
}
