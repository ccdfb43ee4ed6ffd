//! Connections that are taken up for the tunnel, with sockets: the application sees what it asked for, the agent's end
//! knows where it was going, and nobody else learns or inherits anything.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _};

use anyhow::{Context as _, Result, ensure};
use enforcer_common::address::{Address, from_v4};
use enforcer_common::event::HOOK_CONNECT;
use enforcer_common::identity::HOST;
use enforcer_common::maps::{
    ACTION_DENY, ACTION_TUNNEL, ACTION_TUNNEL_ALWAYS, AddressValue, CGROUP_HOST_NETWORK, CGROUP_TUNNEL,
    CgroupValue, OriginValue, PairValue, RuleValue, SLOT_HOST_RULES,
};
use enforcer_common::reason;
use enforcer_core::enforce::{HookState, Inspection as _};
use enforcer_core::node::Capability;
use enforcer_tests::runner::Case;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getpeername, getsockopt, setsockopt, sockopt};

use crate::fixture::{Node, ip};
use crate::play::{Groups, accept, bound, connect, connect_to, id, join, option, origin, play, switch_on};
use crate::tunnel::{alter, ask, withhold};

pub(crate) const CASES: &[Case<Node>] = &[
    case("intercept::every_hook_of_the_tunnel_is_proven", proven),
    case("intercept::a_connection_ends_at_the_agent_and_looks_as_it_was_asked_for", intercepted),
    case("intercept::a_connection_that_does_not_wait_is_taken_up_too", nonblocking),
    case("intercept::within_the_node_a_connection_is_taken_up_only_if_always", near),
    case("intercept::who_calls_the_agent_directly_has_no_origin", direct),
    case("intercept::nobody_inherits_an_origin", inherited),
    case("intercept::other_questions_and_other_sockets_are_left_alone", untouched),
    case("intercept::where_nobody_takes_connections_up_they_are_refused", refused),
    case("intercept::the_agent_itself_is_not_intercepted", agent),
    case("intercept::on_the_nodes_network_the_way_to_the_agent_and_back_is_open", host_network),
    case("intercept::the_agent_may_speak_to_a_workload_under_the_senders_address", transparent),
];

const fn case(name: &'static str, run: fn(&mut Node) -> Result<()>) -> Case<Node> {
    Case { name, reasons: &[], run }
}

const RED: u32 = 100;
const BLUE: u32 = 200;
const OPS: u32 = 300;
/// Of red, in the namespace of these tests.
const OWN_V6: Address = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// Of ops, elsewhere: no route leads there.
const FAR: &str = "10.1.0.4:8000";
const FAR_V6: &str = "[fd01::4]:8000";
const FAR_MAPPED: &str = "[::ffff:10.1.0.4]:8000";
const NEAR: &str = "10.0.0.4:8000";
const AGENT: &str = "10.0.0.1:15001";
const AGENT_V6: &str = "[fd00::1]:15001";
const SO_ORIGINAL_DST: i32 = 80;

/// The control groups with their tenants, rules that ask for the tunnel, and the addresses here.
fn set(node: &mut Node, action: u8, flags: u32) -> Result<Groups> {
    for own in ["10.0.0.1/32", "10.0.0.254/32", "fd00::1/128"] {
        ip(&["address", "replace", own, "dev", "lo"])?;
    }
    ask(node, action)?;
    let groups = Groups::make(node.cgroup())?;
    let red = CgroupValue {
        identity: RED,
        workload: 1,
        flags,
        tunnel_v4: from_v4([10, 0, 0, 1]),
        tunnel_v6: OWN_V6,
        ..CgroupValue::default()
    };
    let blue = CgroupValue { identity: BLUE, workload: 2, ..red };
    let (red_id, blue_id) = (id(&groups.red)?, id(&groups.blue)?);
    alter(node, |image| {
        image.cgroups.extend([(red_id, red), (blue_id, blue)]);
        let mut far = [0; 16];
        (far[0], far[1], far[15]) = (0xfd, 1, 4);
        image.addresses.insert(far, AddressValue { identity: OPS, ..AddressValue::default() });
    })?;
    Ok(groups)
}

/// Changes what the tables say of red's group.
fn regroup(node: &mut Node, groups: &Groups, change: impl FnOnce(&mut CgroupValue)) -> Result<()> {
    let red = id(&groups.red)?;
    alter(node, |image| {
        image.cgroups.entry(red).and_modify(change).or_default();
    })
}

fn proven(node: &mut Node) -> Result<()> {
    for name in [
        "cgroup/sock_ops",
        "cgroup/getsockopt",
        "cgroup/getpeername4",
        "cgroup/getpeername6",
        "cgroup/connect4",
        "cgroup/connect6",
    ] {
        let hook = node.wall.hooks().into_iter().find(|hook| hook.name == name).context(name)?;
        ensure!(hook.state == HookState::Verified, "{hook:?}");
    }
    let capability = node.wall.capabilities().mtls_tunnel;
    ensure!(capability == Capability::Present, "{capability:?}");
    Ok(())
}

/// The destination as the origin has it.
fn mapped(to: SocketAddr) -> Address {
    match to {
        SocketAddr::V4(to) => from_v4(to.ip().octets()),
        SocketAddr::V6(to) => to.ip().octets(),
    }
}

/// `SO_ORIGINAL_DST`, read as what it is: a socket address of the family of the level.
fn original(socket: &TcpStream, v6: bool) -> Result<SocketAddr> {
    if v6 {
        let found: [u8; 28] = bytes(socket, libc::SOL_IPV6)?;
        let address: Address = found[8..24].try_into()?;
        let port = u16::from_be_bytes([found[2], found[3]]);
        ensure!(u16::from_ne_bytes([found[0], found[1]]) == 10, "{found:?}");
        return Ok(SocketAddrV6::new(address.into(), port, 0, 0).into());
    }
    let found: [u8; 16] = bytes(socket, libc::SOL_IP)?;
    let address: [u8; 4] = found[4..8].try_into()?;
    ensure!(u16::from_ne_bytes([found[0], found[1]]) == 2, "{found:?}");
    Ok(SocketAddrV4::new(address.into(), u16::from_be_bytes([found[2], found[3]])).into())
}

fn bytes<const N: usize>(socket: &TcpStream, level: i32) -> Result<[u8; N]> {
    #[derive(Clone, Copy)]
    #[repr(C)]
    struct Bytes<const N: usize>([u8; N]);
    impl<const N: usize> Default for Bytes<N> {
        fn default() -> Self {
            Self([0; N])
        }
    }
    Ok(option::<Bytes<N>>(socket, level, SO_ORIGINAL_DST)?.0)
}

fn intercepted(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    let rule = node.policy.index.rule_numbers.iter().find(|(_, name)| name.as_ref() == "red-to-ops");
    let rule = rule.map(|(number, _)| *number).context("the rule has no number")?;
    for (to, own) in [(FAR, AGENT), (FAR_V6, AGENT_V6), (FAR_MAPPED, AGENT)] {
        play(|| {
            join(&groups.agent)?;
            let listener = TcpListener::bind(own)?;
            join(&groups.red)?;
            let wanted: SocketAddr = to.parse()?;
            let client = TcpStream::connect(wanted)?;
            let (mut accepted, from) = listener.accept()?;
            ensure!(client.peer_addr()? == wanted, "the peer is {}", client.peer_addr()?);
            let here = client.local_addr()?;
            ensure!(here.port() == from.port() && mapped(here)[12..] == mapped(from)[12..], "{here} {from}");
            ensure!(accepted.peer_addr()? == from, "the agent sees {}", accepted.peer_addr()?);
            ensure!(accepted.local_addr()? == own.parse()?, "at {}", accepted.local_addr()?);
            let expected = OriginValue {
                destination: mapped(wanted),
                cookie: option(&client, libc::SOL_SOCKET, libc::SO_COOKIE)?,
                cgroup: id(&groups.red)?,
                identity: RED,
                rule,
                port: wanted.port(),
                reserved: [0; 6],
            };
            ensure!(origin(&accepted)? == expected, "{:?}\n{expected:?}", origin(&accepted)?);
            ensure!(origin(&accepted)? == expected, "a second question has another answer");
            let v6 = mapped(wanted)[..12] != from_v4([0; 4])[..12];
            let told = original(&accepted, v6)?;
            ensure!(mapped(told) == mapped(wanted) && told.port() == wanted.port(), "{told}");
            ensure!(original(&accepted, !v6).is_err(), "the other family has an answer too");
            (&client).write_all(b"ping")?;
            let mut word = [0; 4];
            accepted.read_exact(&mut word)?;
            ensure!(&word == b"ping", "{word:?}");
            Ok(())
        })
        .with_context(|| to.to_owned())?;
    }
    Ok(())
}

fn nonblocking(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    play(|| {
        join(&groups.agent)?;
        let listener = TcpListener::bind(AGENT)?;
        join(&groups.red)?;
        let client = bound("0.0.0.0:0", libc::SOCK_NONBLOCK)?;
        ensure!(connect_to(&client, FAR) == Err(Errno::EINPROGRESS), "it waits, or is refused");
        let mut waiting = [PollFd::new(client.as_fd(), PollFlags::POLLOUT)];
        ensure!(poll(&mut waiting, PollTimeout::from(1000_u16))? == 1, "it does not connect");
        ensure!(getsockopt(&client, sockopt::SocketError)? == 0);
        let client = TcpStream::from(client);
        let accepted = accept(&listener, &client)?;
        ensure!(origin(&accepted)?.port == 8000);
        ensure!(client.peer_addr()? == FAR.parse()?);
        Ok(())
    })
}

fn near(node: &mut Node) -> Result<()> {
    for (action, taken) in [(ACTION_TUNNEL, false), (ACTION_TUNNEL_ALWAYS, true)] {
        let groups = set(node, action, CGROUP_TUNNEL)?;
        play(|| {
            join(&groups.agent)?;
            let listener = TcpListener::bind(AGENT)?;
            join(&groups.red)?;
            if taken {
                let pair = connect(&listener, NEAR)?;
                ensure!(origin(&pair.accepted)?.destination == from_v4([10, 0, 0, 4]));
                return Ok(());
            }
            let client = bound("0.0.0.0:0", 0)?;
            ensure!(connect_to(&client, NEAR) == Err(Errno::ENETUNREACH), "it was taken up or refused");
            Ok(())
        })?;
    }
    Ok(())
}

/// An intercepted connection that nobody accepted leaves its origin in the table; who then has its port, and calls the
/// agent by its own name, does not get it.
fn direct(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    play(|| {
        join(&groups.red)?;
        let lost = bound("10.0.0.1:0", 0)?;
        let port = TcpStream::from(lost.try_clone()?).local_addr()?.port();
        ensure!(connect_to(&lost, FAR) == Err(Errno::ECONNREFUSED), "somebody listens");
        drop(lost);
        join(&groups.agent)?;
        let listener = TcpListener::bind(AGENT)?;
        join(&groups.red)?;
        let again = bound(&format!("10.0.0.1:{port}"), 0)?;
        connect_to(&again, AGENT)?;
        let again = TcpStream::from(again);
        let accepted = accept(&listener, &again)?;
        ensure!(origin(&accepted).is_err(), "an origin: {:?}", origin(&accepted));
        ensure!(original(&accepted, false).is_err(), "an original destination");
        ensure!(again.peer_addr()? == AGENT.parse()?);
        Ok(())
    })
}

fn inherited(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    play(|| {
        join(&groups.agent)?;
        let listener = TcpListener::bind(AGENT)?;
        join(&groups.red)?;
        // The same socket, let go and connected again, by itself and by another tenant.
        let socket = bound("10.0.0.1:0", 0)?;
        connect_to(&socket, FAR)?;
        let stream = TcpStream::from(socket.try_clone()?);
        ensure!(origin(&accept(&listener, &stream)?)?.identity == RED);
        let_go(&socket)?;
        connect_to(&socket, AGENT)?;
        let accepted = accept(&listener, &stream)?;
        ensure!(origin(&accepted).is_err(), "its own earlier origin: {:?}", origin(&accepted));
        ensure!(stream.peer_addr()? == AGENT.parse()?);
        let_go(&socket)?;
        connect_to(&socket, FAR)?;
        ensure!(origin(&accept(&listener, &stream)?)?.identity == RED);
        let_go(&socket)?;
        join(&groups.blue)?;
        ensure!(connect_to(&socket, FAR) == Err(Errno::EPERM), "blue has no rule");
        Ok(())
    })?;
    among_neighbours(node, &groups)
}

/// On the node's network, where tenants share addresses and ports: neither what red left in the table, nor a socket
/// of red's, makes blue red.
fn among_neighbours(node: &mut Node, groups: &Groups) -> Result<()> {
    const AGENT: &str = "127.0.0.1:15001";
    for group in [&groups.red, &groups.blue] {
        let group = id(group)?;
        alter(node, |image| {
            if let Some(value) = image.cgroups.get_mut(&group) {
                value.flags = CGROUP_TUNNEL | CGROUP_HOST_NETWORK;
                value.tunnel_v4 = from_v4([127, 0, 0, 1]);
            }
        })?;
    }
    play(|| {
        join(&groups.red)?;
        let lost = bound("127.0.0.1:0", 0)?;
        let port = TcpStream::from(lost.try_clone()?).local_addr()?.port();
        ensure!(connect_to(&lost, FAR) == Err(Errno::ECONNREFUSED), "somebody listens");
        drop(lost);
        join(&groups.agent)?;
        let listener = TcpListener::bind(AGENT)?;
        join(&groups.blue)?;
        let own = bound(&format!("127.0.0.1:{port}"), 0)?;
        connect_to(&own, AGENT)?;
        let own = TcpStream::from(own);
        ensure!(origin(&accept(&listener, &own)?).is_err(), "blue has red's origin, by its port");
        join(&groups.red)?;
        let passed = bound("127.0.0.1:0", 0)?;
        connect_to(&passed, FAR)?;
        let stream = TcpStream::from(passed.try_clone()?);
        ensure!(origin(&accept(&listener, &stream)?)?.identity == RED);
        let_go(&passed)?;
        join(&groups.blue)?;
        connect_to(&passed, AGENT)?;
        ensure!(origin(&accept(&listener, &stream)?).is_err(), "blue has red's origin, by its socket");
        Ok(())
    })
}

/// Dissolves a connection: `connect()` to no address.
fn let_go(socket: &std::os::fd::OwnedFd) -> Result<()> {
    let nowhere =
        libc::sockaddr { sa_family: libc::sa_family_t::try_from(libc::AF_UNSPEC)?, sa_data: [0; 14] };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr>())?;
    // SAFETY: the address outlives the call.
    let failed = unsafe { libc::connect(socket.as_raw_fd(), &raw const nowhere, length) };
    ensure!(failed == 0, "{}", std::io::Error::last_os_error());
    Ok(())
}

fn untouched(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    play(|| {
        join(&groups.agent)?;
        let listener = TcpListener::bind(AGENT)?;
        let other = TcpListener::bind("10.0.0.1:7000")?;
        let plain = TcpStream::connect("10.0.0.1:7000")?;
        let (served, _) = other.accept()?;
        join(&groups.red)?;
        let pair = connect(&listener, FAR)?;
        for (socket, what) in [(&plain, "another"), (&served, "another's end"), (&pair.client, "the client")]
        {
            ensure!(origin(socket).is_err() && original(socket, false).is_err(), "{what} has an origin");
            let error = origin(socket).err().and_then(|error| error.raw_os_error());
            ensure!(error == Some(libc::EOPNOTSUPP), "{what}: not the kernel's own answer: {error:?}");
        }
        let short: std::io::Result<u64> = option(&pair.accepted, libc::SOL_IP, SO_ORIGINAL_DST);
        ensure!(short.is_err(), "an answer in too little room: {short:?}");
        setsockopt(&pair.accepted, sockopt::TcpNoDelay, &true)?;
        ensure!(getsockopt(&pair.accepted, sockopt::TcpNoDelay)?, "another option changed");
        ensure!(getsockopt(&pair.client, sockopt::SndBuf)? > 0);
        let peer: SocketAddr = plain.peer_addr()?;
        ensure!(peer == "10.0.0.1:7000".parse()?, "the peer of another is {peer}");
        ensure!(
            getpeername::<nix::sys::socket::SockaddrIn>(served.as_raw_fd())?.port()
                == plain.local_addr()?.port()
        );
        Ok(())
    })
}

/// Packets counted at `connect()` for a reason.
fn counted(node: &Node, reason: u16) -> Result<u64> {
    let counters = node.wall.counters()?;
    let found = counters.iter().filter(|(key, _)| key.hook == HOOK_CONNECT && key.reason == reason);
    Ok(found.map(|(_, value)| value.packets).sum())
}

fn refused(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, 0)?;
    let knock = |to: &'static str| {
        let groups = &groups;
        play(move || {
            join(&groups.agent)?;
            let _listeners = (TcpListener::bind(AGENT)?, TcpListener::bind(AGENT_V6)?);
            join(&groups.red)?;
            let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let answer = connect_to(&bound(any, 0)?, to);
            ensure!(answer == Err(Errno::EPERM), "{to}: {answer:?}");
            Ok(())
        })
    };
    let before = counted(node, reason::MTLS_REQUIRED)?;
    knock(FAR)?;
    knock(FAR_V6)?;
    ensure!(counted(node, reason::MTLS_REQUIRED)? == before + 2, "they were not counted");
    let events = node.drain();
    ensure!(events.iter().filter(|event| event.reason == reason::MTLS_REQUIRED).count() >= 2, "{events:?}");
    regroup(node, &groups, |group| (group.flags, group.tunnel_v6) = (CGROUP_TUNNEL, [0; 16]))?;
    knock(FAR_V6).context("only IPv4 is taken up")?;
    regroup(node, &groups, |group| (group.tunnel_v4, group.tunnel_v6) = ([0; 16], OWN_V6))?;
    knock(FAR).context("only IPv6 is taken up")?;
    knock(FAR_MAPPED).context("only IPv6 is taken up, and this is IPv4")?;
    regroup(node, &groups, |group| group.tunnel_v4 = from_v4([10, 0, 0, 1]))?;
    withhold(node)?;
    knock(FAR).context("a rule that no tunnel can fulfil")
}

/// A process of no workload connects as it likes, whatever the rules say of tenants.
fn agent(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL_ALWAYS, CGROUP_TUNNEL)?;
    play(|| {
        join(&groups.agent)?;
        let listener = TcpListener::bind(AGENT)?;
        let own = bound("10.0.0.1:0", 0)?;
        ensure!(connect_to(&own, FAR) == Err(Errno::ENETUNREACH), "the agent was intercepted");
        let pair = connect(&listener, AGENT)?;
        ensure!(origin(&pair.accepted).is_err(), "the agent has an origin");
        Ok(())
    })
}

fn host_network(node: &mut Node) -> Result<()> {
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    regroup(node, &groups, |group| {
        group.flags = CGROUP_TUNNEL | CGROUP_HOST_NETWORK;
        group.tunnel_v4 = from_v4([127, 0, 0, 1]);
        group.tunnel_v6 = 1_u128.to_be_bytes();
    })?;
    // The tenant lets the host in nowhere: the agent's answers are not the host calling.
    alter(node, |image| {
        let Some(red) = image.tenants.get_mut(&RED) else { return };
        let refuse =
            RuleValue { rule: 99, reason: reason::RULE_DENIED, action: ACTION_DENY, ..RuleValue::default() };
        red.flags |= SLOT_HOST_RULES;
        red.pairs.insert(HOST, PairValue { default: refuse, ..PairValue::default() });
    })?;
    for (to, own) in [(FAR, "127.0.0.1:15001"), (FAR_V6, "[::1]:15001")] {
        play(|| {
            join(&groups.agent)?;
            let listener = TcpListener::bind(own)?;
            let other = TcpListener::bind("127.0.0.1:15002")?;
            join(&groups.red)?;
            let pair = connect(&listener, to)?;
            ensure!(origin(&pair.accepted)?.identity == RED);
            ensure!(pair.client.peer_addr()? == to.parse()?);
            talk(&pair.client, &pair.accepted)?;
            let late = bound("127.0.0.1:0", libc::SOCK_NONBLOCK)?;
            let _ = connect_to(&late, "127.0.0.1:15002");
            other.set_nonblocking(true)?;
            std::thread::sleep(std::time::Duration::from_millis(50));
            ensure!(other.accept().is_err(), "another port of the host is open");
            Ok(())
        })
        .with_context(|| to.to_owned())?;
    }
    Ok(())
}

/// More than one segment, each way.
fn talk(a: &TcpStream, b: &TcpStream) -> Result<()> {
    for (mut from, mut to) in [(a, b), (b, a)] {
        let sent = vec![7; 30_000];
        from.write_all(&sent)?;
        let mut found = vec![0; sent.len()];
        to.set_read_timeout(Some(std::time::Duration::from_secs(2)))?;
        to.read_exact(&mut found)?;
        ensure!(found == sent, "something else arrived");
    }
    Ok(())
}

/// In the workload's namespace, from an address that is not here: of another node's workload, of that node, and of
/// this node, which the tables know as the host.
fn transparent(node: &mut Node) -> Result<()> {
    const MARK: u32 = 0x15;
    const TABLE: &str = "1501";
    let groups = set(node, ACTION_TUNNEL, CGROUP_TUNNEL)?;
    ip(&["address", "del", "10.0.0.254/32", "dev", "lo"])?;
    fs::write("/proc/sys/net/ipv4/tcp_fwmark_accept", "1")?;
    for (family, any) in [("-4", "0.0.0.0/0"), ("-6", "::/0")] {
        ip(&[family, "rule", "add", "fwmark", &MARK.to_string(), "lookup", TABLE])?;
        ip(&[family, "route", "replace", "local", any, "dev", "lo", "table", TABLE])?;
    }
    for (source, app) in [
        ("10.1.0.1:0", "10.0.0.1:8000"),
        ("10.1.0.254:0", "10.0.0.1:8000"),
        ("10.0.0.254:0", "10.0.0.1:8000"),
        ("[fd01::9]:0", "[fd00::1]:8000"),
    ] {
        let result = play(|| {
            join(&groups.red)?;
            let listener = TcpListener::bind(app)?;
            join(&groups.agent)?;
            let socket = unbound(source)?;
            let level = if source.starts_with('[') { libc::SOL_IPV6 } else { libc::SOL_IP };
            let name = if source.starts_with('[') { libc::IPV6_TRANSPARENT } else { libc::IP_TRANSPARENT };
            switch_on(&socket, level, name)?;
            setsockopt(&socket, sockopt::Mark, &MARK)?;
            let at: SocketAddr = source.parse()?;
            nix::sys::socket::bind(socket.as_raw_fd(), &nix::sys::socket::SockaddrStorage::from(at))?;
            connect_to(&socket, app)?;
            let stream = TcpStream::from(socket);
            let (served, from) = listener.accept()?;
            ensure!(from.ip() == at.ip(), "the workload sees {from}");
            talk(&stream, &served)
        });
        result.with_context(|| source.to_owned())?;
    }
    for family in ["-4", "-6"] {
        ip(&[family, "rule", "del", "fwmark", &MARK.to_string(), "lookup", TABLE])?;
    }
    Ok(())
}

fn unbound(like: &str) -> Result<std::os::fd::OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    let family = if like.starts_with('[') { AddressFamily::Inet6 } else { AddressFamily::Inet };
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?)
}
