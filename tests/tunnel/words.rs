//! Bad words behind a good handshake: native headers, HTTP/2 frames, targets that are nobody's, floods.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::runner::Case;

use crate::h2::{self, Came};
use crate::native::{self, Frame};
use crate::papers::Papers;
use crate::rogue::{is_unharmed, secured};
use crate::site::{INTERCEPT_PORT, LIMIT, PORT, Site, TUNNEL_PORT, accept, ports};
use crate::tls::{Client, H2, NATIVE};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "words::a_native_header_that_breaks_the_rules_ends_it", reasons: &[], run: native_headers },
    Case { name: "words::a_slow_header_ends_in_time", reasons: &[], run: slow_headers },
    Case { name: "words::a_target_that_is_not_the_workload_is_refused", reasons: &[], run: targets },
    Case { name: "words::what_the_rule_does_not_name_is_denied", reasons: &[], run: other_ports },
    Case { name: "words::requests_are_answered_as_ztunnel_answers_them", reasons: &[], run: statuses },
    Case { name: "words::connect_is_answered_once_the_server_took_it", reasons: &[], run: connect },
    Case { name: "words::frames_that_break_http_2_end_it", reasons: &[], run: broken_frames },
    Case { name: "words::pings_are_answered_and_settings_acknowledged", reasons: &[], run: pings },
    Case { name: "words::floods_cost_a_bounded_amount", reasons: &[], run: floods },
    Case { name: "words::a_flow_that_ended_makes_room_for_one_of_the_same_target", reasons: &[], run: reuse },
];

const CLIENT: &str = "n1-t1-p1";
const SERVER: &str = "n2-t2-p1";

/// What a case begins with: a rule, papers, and what the agent holds.
fn begin(site: &Site) -> Result<(Papers, u64)> {
    site.apply(&site.carried())?;
    Ok((Papers::of(site, CLIENT)?, site.resident_kib("n2")?))
}

fn native_of(site: &Site, papers: &Papers) -> Result<Client> {
    secured(site, CLIENT, SERVER, papers, NATIVE)
}

fn hbone_of(site: &Site, papers: &Papers) -> Result<Client> {
    let mut client = secured(site, CLIENT, SERVER, papers, H2)?;
    h2::begin(&mut client)?;
    Ok(client)
}

/// It must end, without a byte of an answer but a refusal.
fn is_cut(client: &mut Client) -> Result<()> {
    let start = Instant::now();
    client.sock.set_read_timeout(Some(LIMIT))?;
    let mut rest = Vec::new();
    // An alert, a reset or an end: all of them end it.
    let _ended = client.read_to_end(&mut rest);
    ensure!(start.elapsed() < Duration::from_secs(8), "it is still heard after {:?}", start.elapsed());
    ensure!(rest.first().is_none_or(|kind| *kind == native::REFUSE), "it was answered: {rest:02x?}");
    Ok(())
}

fn native_headers(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    let (from, to) = (site.at(CLIENT, false, 40_000)?, site.at(SERVER, false, PORT)?);
    let good = Frame::open(from, to);
    let with = |at: usize, byte: u8| {
        let mut frame = good.clone();
        if let Some(place) = frame.payload.get_mut(at) {
            *place = byte;
        }
        frame.bytes()
    };
    let mut short = good.clone();
    short.payload.pop();
    let mut long = good.clone();
    long.payload.push(0);
    let none = |kind| Frame::new(kind, Vec::new()).bytes();
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("another version", with(0, 2)),
        ("flags that nobody knows", with(1, 1)),
        ("a header that is too short", short.bytes()),
        ("a header that is too long", long.bytes()),
        ("the longest header that can be said", native::header(native::OPEN, 0x00ff_ffff).to_vec()),
        ("an empty header", none(native::OPEN)),
        ("no trace", {
            let mut frame = good.clone();
            frame.payload.splice(38.., [0; 16]);
            frame.bytes()
        }),
        ("a frame of no kind", none(0)),
        ("a frame of an unknown kind", none(9)),
        ("data before anything was opened", Frame::new(native::DATA, vec![1, 2, 3]).bytes()),
        ("an end before anything was opened", none(native::FIN)),
        ("an acceptance from the wrong side", none(native::ACCEPT)),
        ("a refusal from the wrong side", Frame::new(native::REFUSE, vec![1]).bytes()),
        ("HTTP/2", h2::PREFACE.to_vec()),
    ];
    for (name, bytes) in broken {
        let mark = site.mark(SERVER)?;
        let mut client = native_of(site, &papers)?;
        client.write_all(&bytes).with_context(|| name.to_owned())?;
        client.flush().with_context(|| name.to_owned())?;
        is_cut(&mut client).with_context(|| name.to_owned())?;
        site.told(&mark, "refused", |record| {
            record["reason"] == "tunnel_protocol" || record["reason"] == "tunnel_target"
        })
        .with_context(|| name.to_owned())?;
    }
    // Broken once it is open: an end with a length, a second opening, data of nothing.
    for (name, bytes) in [
        ("an end with a length", native::header(native::FIN, 5).to_vec()),
        ("a second opening", good.bytes()),
        ("data of nothing", none(native::DATA)),
    ] {
        let listener = site.listen(SERVER, false, PORT)?;
        let mut client = native_of(site, &papers)?;
        good.send(&mut client)?;
        ensure!(Frame::receive(&mut client)?.kind == native::ACCEPT, "{name}");
        let (mut server, _) = accept(&listener)?;
        client.write_all(&bytes)?;
        client.flush()?;
        server.set_read_timeout(Some(LIMIT))?;
        let outcome = server.read(&mut [0; 16]);
        ensure!(outcome.as_ref().map_or(true, |length| *length == 0), "{name}: {outcome:?}");
    }
    is_unharmed(site, before)
}

fn slow_headers(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    let (from, to) = (site.at(CLIENT, false, 40_000)?, site.at(SERVER, false, PORT)?);
    let header = Frame::open(from, to).bytes();
    for sent in [0, 3, 30] {
        let mark = site.mark(SERVER)?;
        let mut client = native_of(site, &papers)?;
        client.write_all(header.get(..sent).unwrap_or_default())?;
        client.flush()?;
        is_cut(&mut client).with_context(|| format!("{sent} bytes of a header"))?;
        site.told_refused(&mark, "tunnel_protocol")?;
    }
    // A byte now and then is no better.
    let mut client = native_of(site, &papers)?;
    let start = Instant::now();
    let all_sent = header.iter().all(|byte| {
        std::thread::sleep(Duration::from_millis(250));
        client.write_all(&[*byte]).and_then(|()| client.flush()).is_ok()
    });
    ensure!(!all_sent, "a header that took {:?} was read to its end", start.elapsed());
    // And a client of HBONE that asks for nothing costs nothing for ever.
    let mut client = secured(site, CLIENT, SERVER, &papers, H2)?;
    client.sock.set_read_timeout(Some(Duration::from_secs(8)))?;
    let mut rest = Vec::new();
    let start = Instant::now();
    let _ended = client.read_to_end(&mut rest);
    ensure!(start.elapsed() < Duration::from_secs(8), "without a preface it is still heard");
    is_unharmed(site, before)
}

/// Other addresses, and ports that are the agent's.
fn targets(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    let from = site.at(CLIENT, false, 40_000)?;
    let own = site.address(SERVER, false)?;
    let wrong: Vec<(&str, SocketAddr)> = vec![
        ("a neighbour of its tenant", site.at("n2-t2-p2", false, PORT)?),
        ("a neighbour of another tenant", site.at("n2-t3-p1", false, PORT)?),
        ("its node", site.at("n2", false, PORT)?),
        ("itself by its other address", site.at(SERVER, true, PORT)?),
        ("loopback", SocketAddr::new("127.0.0.1".parse()?, PORT)),
        ("everywhere", SocketAddr::new("0.0.0.0".parse()?, PORT)),
        ("the agent's port for what comes in", SocketAddr::new(own, TUNNEL_PORT)),
        ("the agent's port for what goes out", SocketAddr::new(own, INTERCEPT_PORT)),
        ("no port", SocketAddr::new(own, 0)),
    ];
    for (name, to) in wrong {
        let mark = site.mark(SERVER)?;
        let mut client = native_of(site, &papers)?;
        let from = if to.is_ipv6() { site.at(CLIENT, true, 40_000)? } else { from };
        Frame::open(from, to).send(&mut client)?;
        let answer = Frame::receive(&mut client);
        let is_right = match &answer {
            // The other address is its own, so that it is a question of who may reach it from where.
            Ok(frame) if to.ip() == site.address(SERVER, true)? => frame.kind == native::REFUSE,
            Ok(frame) => *frame == Frame::new(native::REFUSE, vec![native::BAD_TARGET]),
            // What cannot even be parsed as a target needs no answer.
            Err(_) => to.port() == 0 || to.ip().is_unspecified() || to.ip().is_loopback(),
        };
        ensure!(is_right, "{name}: {answer:?}");
        let record = site.told(&mark, "refused", |_| true).with_context(|| name.to_owned())?;
        ensure!(record["verdict"] == "deny", "{name}: {record}");
    }
    is_unharmed(site, before)
}

fn other_ports(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    // Nobody listens where it may: that is another word.
    let mut client = native_of(site, &papers)?;
    Frame::open(client.sock.local_addr()?, site.at(SERVER, false, PORT)?).send(&mut client)?;
    let answer = Frame::receive(&mut client)?;
    ensure!(answer == Frame::new(native::REFUSE, vec![native::REFUSED]), "{answer:?}");
    let listener = site.listen(SERVER, false, 8081)?;
    let to = site.at(SERVER, false, 8081)?;
    let mark = site.mark(SERVER)?;
    let mut client = native_of(site, &papers)?;
    Frame::open(client.sock.local_addr()?, to).send(&mut client)?;
    let answer = Frame::receive(&mut client)?;
    ensure!(answer == Frame::new(native::REFUSE, vec![native::DENIED]), "{answer:?}");
    site.told_refused(&mark, "cross_tenant_no_rule")?;
    let mut client = hbone_of(site, &papers)?;
    h2::Frame::connect(1, &to.to_string()).send(&mut client)?;
    let came = h2::came(&mut client, 1)?;
    ensure!(came == Came::Status(401), "{came:?}");
    ensure!(crate::site::accept_within(&listener, Duration::from_millis(100)).is_err(), "it was connected");
    // With a rule for it, it is let in.
    site.apply(&site.policy().with_tunnel(crate::site::RULE, "t1", "t2", &ports(&[PORT, 8081])))?;
    let mut client = native_of(site, &papers)?;
    Frame::open(client.sock.local_addr()?, to).send(&mut client)?;
    ensure!(Frame::receive(&mut client)?.kind == native::ACCEPT, "with a rule");
    accept(&listener)?;
    is_unharmed(site, before)
}

/// Names and values.
type Fields = Vec<(String, String)>;

/// A row of the reference page: fields, and the status that a ztunnel answers with.
fn statuses(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    let at = |port: u16| -> Result<String> { Ok(site.at(SERVER, false, port)?.to_string()) };
    let other = site.at("n2-t2-p2", false, PORT)?.to_string();
    let own = site.address(SERVER, false)?.to_string();
    let connect = |authority: &str| {
        vec![(":method".to_owned(), "CONNECT".to_owned()), (":authority".to_owned(), authority.to_owned())]
    };
    let get = [(":method", "GET"), (":scheme", "https"), (":path", "/"), (":authority", "x")];
    let get = get.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let rows: Vec<(&str, Fields, u16)> = vec![
        ("GET", get, 400),
        ("no port", connect(&own), 400),
        ("no address", connect(":8080"), 400),
        ("a port that is none", connect(&format!("{own}:99999")), 400),
        ("another address", connect(&other), 400),
        ("an unknown host", connect("nobody.example:80"), 503),
        ("15001", connect(&at(15_001)?), 503),
        ("15008", connect(&at(15_008)?), 503),
        ("nobody listens", connect(&at(PORT)?), 503),
        ("no rule", connect(&at(9)?), 401),
    ];
    // All of them on one connection: none harms the next.
    let mut client = hbone_of(site, &papers)?;
    for (index, (name, fields, status)) in rows.iter().enumerate() {
        let stream = u32::try_from(2 * index + 1)?;
        let fields: Vec<(&str, &str)> =
            fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        h2::Frame::request(stream, &fields).send(&mut client)?;
        let came = h2::came(&mut client, stream).with_context(|| (*name).to_owned())?;
        ensure!(came == Came::Status(*status), "{name}: {came:?}, expected {status}");
    }
    // Without an authority at all, and with a protocol of its own (RFC 8441).
    let mut client = hbone_of(site, &papers)?;
    h2::Frame::request(1, &[(":method", "CONNECT")]).send(&mut client)?;
    let came = h2::came(&mut client, 1)?;
    ensure!(matches!(came, Came::Status(400) | Came::Reset(_)), "no authority: {came:?}");
    let mut client = hbone_of(site, &papers)?;
    let fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/")];
    h2::Frame::request(1, &[&fields[..], &[(":authority", "x:80")]].concat()).send(&mut client)?;
    let came = h2::came(&mut client, 1)?;
    ensure!(matches!(came, Came::Reset(1) | Came::Goaway(1) | Came::Status(400)), "a protocol: {came:?}");
    is_unharmed(site, before)
}

/// 200 comes after the server has it, bytes flow both ways, and ends are ends.
fn connect(site: &mut Site) -> Result<()> {
    let (papers, _) = begin(site)?;
    let listener = site.listen(SERVER, false, PORT)?;
    let mut client = hbone_of(site, &papers)?;
    let mark = site.mark(SERVER)?;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let fields = [
        (":method", "CONNECT"),
        (":authority", &site.at(SERVER, false, PORT)?.to_string()),
        ("traceparent", &format!("00-{trace}-00f067aa0ba902b7-00")),
        ("baggage", "k8s.cluster.name=other,k8s.namespace.name=lab,service.name=somebody"),
        ("forwarded", "for=\"10.101.1.1:1234\""),
    ];
    h2::Frame::request(1, &fields).send(&mut client)?;
    let came = h2::came(&mut client, 1)?;
    ensure!(came == Came::Status(200), "{came:?}");
    let (mut server, seen) = accept(&listener)?;
    ensure!(seen.ip() == site.address(CLIENT, false)?, "the server sees {seen}");
    h2::Frame::new(h2::DATA, 0, 1, b"hello".to_vec()).send(&mut client)?;
    let mut heard = [0; 5];
    server.read_exact(&mut heard)?;
    ensure!(&heard == b"hello", "{heard:?}");
    h2::Frame::new(h2::DATA, h2::END_STREAM, 1, Vec::new()).send(&mut client)?;
    crate::pair::ends(&mut server).context("END_STREAM")?;
    server.write_all(b"and back")?;
    server.shutdown(std::net::Shutdown::Write)?;
    let mut back: Vec<u8> = Vec::new();
    loop {
        let frame = h2::Frame::receive(&mut client)?;
        if frame.kind == h2::DATA {
            back.extend(&frame.payload);
            if frame.flags & h2::END_STREAM != 0 {
                break;
            }
        }
    }
    ensure!(back == b"and back", "{back:?}");
    let record = site.told(&mark, "closed", |record| record["tunnel"]["traceId"] == trace)?;
    ensure!(record["tunnel"]["end"] == "clean" && record["tunnel"]["hop"] == "hbone", "{record}");
    // A hint is a hint: the certificate says who it is.
    ensure!(record["source"]["workload"] == CLIENT, "{record}");
    Ok(())
}

/// What RFC 9113 calls an error of the connection or of the stream.
fn broken_frames(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    let ping = h2::Frame::new(h2::PING, 0, 0, vec![0; 8]);
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("headers on stream 0 (6.2)", h2::Frame::connect(0, "x:80").bytes()),
        ("a stream that a server would open (5.1.1)", h2::Frame::connect(2, "x:80").bytes()),
        ("data on a stream that is not open (6.1)", h2::Frame::new(h2::DATA, 0, 5, vec![1]).bytes()),
        ("a ping of seven bytes (6.7)", h2::Frame::new(h2::PING, 0, 0, vec![0; 7]).bytes()),
        ("a ping on a stream (6.7)", h2::Frame::new(h2::PING, 0, 1, vec![0; 8]).bytes()),
        ("settings of seven bytes (6.5)", h2::Frame::new(h2::SETTINGS, 0, 0, vec![0; 7]).bytes()),
        (
            "an acknowledgement with settings (6.5)",
            h2::Frame::new(h2::SETTINGS, h2::ACK, 0, vec![0; 6]).bytes(),
        ),
        ("a window that grows by nothing (6.9)", h2::Frame::new(h2::WINDOW_UPDATE, 0, 0, vec![0; 4]).bytes()),
        (
            "a window that overflows (6.9.1)",
            h2::Frame::new(h2::WINDOW_UPDATE, 0, 0, vec![0x7f, 0xff, 0xff, 0xff]).bytes(),
        ),
        (
            "a continuation of nothing (6.10)",
            h2::Frame::new(h2::CONTINUATION, h2::END_HEADERS, 1, Vec::new()).bytes(),
        ),
        (
            "a reset of a stream that is not open (6.4)",
            h2::Frame::new(h2::RST_STREAM, 0, 9, vec![0; 4]).bytes(),
        ),
        ("a frame that says it has sixteen megabytes (4.2)", ping.claiming(0x00ff_ffff)),
        (
            "fields that HPACK does not know (4.3)",
            h2::Frame::new(h2::HEADERS, h2::END_HEADERS, 1, vec![0xff; 32]).bytes(),
        ),
    ];
    for (name, bytes) in broken {
        let mut client = hbone_of(site, &papers)?;
        client.write_all(&bytes).with_context(|| name.to_owned())?;
        client.flush().with_context(|| name.to_owned())?;
        client.sock.set_read_timeout(Some(Duration::from_secs(4)))?;
        let came = h2::came(&mut client, 2);
        let is_right = match &came {
            Ok(Came::Goaway(code) | Came::Reset(code)) => *code != 0,
            Ok(Came::Status(_)) => false,
            // Cut off, and not merely left alone.
            Err(error) => !is_timeout(error),
        };
        ensure!(is_right, "{name}: {came:?}");
    }
    let mut client = secured(site, CLIENT, SERVER, &papers, H2)?;
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n")?;
    client.flush()?;
    is_cut_by_http(&mut client).context("another preface (3.4)")?;
    is_unharmed(site, before)
}

fn is_timeout(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut))
}

fn is_cut_by_http(client: &mut Client) -> Result<()> {
    client.sock.set_read_timeout(Some(Duration::from_secs(8)))?;
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ended = client.read_to_end(&mut rest);
    ensure!(start.elapsed() < Duration::from_secs(8), "it is still heard");
    Ok(())
}

/// What the server says of itself, and that it answers.
fn pings(site: &mut Site) -> Result<()> {
    let (papers, _) = begin(site)?;
    let mut client = hbone_of(site, &papers)?;
    let said = b"enforcer";
    h2::Frame::new(h2::PING, 0, 0, said.to_vec()).send(&mut client)?;
    let (mut settings, mut acknowledged, mut answered) = (None, false, false);
    while settings.is_none() || !acknowledged || !answered {
        let frame = h2::Frame::receive(&mut client)?;
        match (frame.kind, frame.flags & h2::ACK) {
            (h2::SETTINGS, 0) => settings = Some(frame.payload),
            (h2::SETTINGS, _) => acknowledged = true,
            (h2::PING, h2::ACK) => answered = frame.payload == said,
            _ => {}
        }
    }
    let settings = settings.context("no settings")?;
    let of = |name: u16| {
        let mut pairs = settings.chunks(6).filter_map(|pair| {
            let (name, value) = pair.split_at_checked(2)?;
            Some((u16::from_be_bytes(name.try_into().ok()?), u32::from_be_bytes(value.try_into().ok()?)))
        });
        pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
    };
    const STREAMS: u16 = 3;
    const WINDOW: u16 = 4;
    const HEADER_LIST: u16 = 6;
    const EXTENDED_CONNECT: u16 = 8;
    ensure!(of(STREAMS).is_some_and(|most| (100..=1000).contains(&most)), "streams: {:?}", of(STREAMS));
    ensure!(of(WINDOW).is_some_and(|bytes| bytes <= 4 << 20), "window: {:?}", of(WINDOW));
    ensure!(of(HEADER_LIST).is_some_and(|bytes| bytes <= 64 << 10), "header list: {:?}", of(HEADER_LIST));
    ensure!(of(EXTENDED_CONNECT).unwrap_or_default() == 0, "it offers extended CONNECT");
    Ok(())
}

/// The bytes that are sent next, by number.
type Frames<'a> = &'a dyn Fn(u32) -> Vec<u8>;

/// Streams, resets, pings, settings and endless headers, as many as go through in a while.
fn floods(site: &mut Site) -> Result<()> {
    let (papers, before) = begin(site)?;
    let listener = site.listen(SERVER, false, PORT)?;
    let authority = site.at(SERVER, false, PORT)?.to_string();
    let open = |number: u32| h2::Frame::connect(2 * number + 1, &authority).bytes();
    let rapid = |number: u32| {
        [open(number), h2::Frame::new(h2::RST_STREAM, 0, 2 * number + 1, vec![0, 0, 0, 8]).bytes()].concat()
    };
    let endless = |number: u32| {
        let part = h2::block(&[("x-nothing", &"x".repeat(4000))]);
        let kind = if number == 0 { h2::HEADERS } else { h2::CONTINUATION };
        h2::Frame::new(kind, 0, 1, part).bytes()
    };
    let floods: [(&str, u32, Frames<'_>); 5] = [
        ("streams", 2_000, &open),
        ("resets", 20_000, &rapid),
        ("pings", 100_000, &|_| h2::Frame::new(h2::PING, 0, 0, vec![0; 8]).bytes()),
        ("settings", 50_000, &|_| h2::Frame::new(h2::SETTINGS, 0, 0, vec![0, 3, 0, 0, 0, 100]).bytes()),
        ("headers without end", 4_000, &endless),
    ];
    for (name, count, frame) in floods {
        let mut client = hbone_of(site, &papers)?;
        // It answers more than it is read: neither side may wait for ever.
        client.sock.set_write_timeout(Some(Duration::from_millis(500)))?;
        for number in 0..count {
            if client.write_all(&frame(number)).is_err() {
                break;
            }
        }
        let now = site.resident_kib("n2")?;
        ensure!(now <= before + (64 << 10), "{name}: from {before} to {now} KiB");
        let mut pair = site.pair("n1-t1-p2", "n2-t2-p2", false).with_context(|| format!("beside {name}"))?;
        pair.speaks().with_context(|| format!("beside {name}"))?;
    }
    drop(listener);
    is_unharmed(site, before)
}

/// A clean end on both sides, and the next on the same connection.
fn reuse(site: &mut Site) -> Result<()> {
    let (papers, _) = begin(site)?;
    let listener = site.listen(SERVER, false, PORT)?;
    let mut client = native_of(site, &papers)?;
    let (from, to) = (client.sock.local_addr()?, site.at(SERVER, false, PORT)?);
    for round in 0..3 {
        Frame::open(from, to).send(&mut client)?;
        ensure!(Frame::receive(&mut client)?.kind == native::ACCEPT, "round {round}");
        let (mut server, _) = accept(&listener)?;
        Frame::new(native::DATA, b"hello".to_vec()).send(&mut client)?;
        let mut heard = [0; 5];
        server.read_exact(&mut heard)?;
        Frame::new(native::FIN, Vec::new()).send(&mut client)?;
        crate::pair::ends(&mut server)?;
        drop(server);
        let frame = Frame::receive(&mut client)?;
        ensure!(frame.kind == native::FIN, "round {round}: {frame:?}");
    }
    // A reset ends more than the flow.
    Frame::open(from, to).send(&mut client)?;
    ensure!(Frame::receive(&mut client)?.kind == native::ACCEPT, "the last round");
    let (mut server, _) = accept(&listener)?;
    Frame::new(native::RESET, Vec::new()).send(&mut client)?;
    crate::pair::is_reset(&mut server)?;
    is_cut_by_http(&mut client).context("after a reset")
}
