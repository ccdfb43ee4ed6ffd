//! Bad handshakes at a workload's end, and bad certificates at either end.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::wait;
use enforcer_tests::runner::Case;
use rustls::AlertDescription;
use rustls::version::{TLS12, TLS13};

use crate::h2;
use crate::papers::{Papers, Rogue, Wrong, below_a_leaf, self_signed};
use crate::rogue::{self, Imposter, is_unharmed};
use crate::site::{LIMIT, PORT, Site, TUNNEL_PORT};
use crate::tls::{self, Client, H2, NATIVE, Refused, Try};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "handshake::tls_1_2_is_refused", reasons: &[], run: old_version },
    Case { name: "handshake::without_a_certificate_it_is_refused", reasons: &[], run: anonymous },
    Case {
        name: "handshake::a_foreign_protocol_is_refused_and_none_is_http_2",
        reasons: &[],
        run: protocols,
    },
    Case { name: "handshake::no_name_is_asked_for_and_none_is_sent", reasons: &[], run: no_name },
    Case { name: "handshake::silence_and_noise_end_in_time", reasons: &[], run: silence },
    Case { name: "handshake::a_wrong_certificate_of_a_client_is_refused", reasons: &[], run: wrong_clients },
    Case { name: "handshake::a_wrong_certificate_of_a_server_is_refused", reasons: &[], run: wrong_servers },
    Case { name: "handshake::a_revoked_certificate_is_refused", reasons: &[], run: revoked },
    Case { name: "handshake::an_expired_certificate_is_refused", reasons: &[], run: expired },
];

const CLIENT: &str = "n1-t1-p1";
const SERVER: &str = "n2-t2-p1";

/// The handshake fails, or the first word behind it does, with an alert that says why.
fn alert(site: &Site, how: Try<'_>) -> Result<Refused> {
    match rogue::dial(site, CLIENT, SERVER, how)? {
        Err(refused) => Ok(refused),
        Ok(mut client) => tls::ends(&mut client),
    }
}

fn old_version(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (papers, before, mark) = (Papers::of(site, CLIENT)?, site.resident_kib("n2")?, site.mark(SERVER)?);
    let how = Try { versions: &[&TLS12], alpn: &[H2], papers: Some(papers) };
    let refused = alert(site, how)?;
    ensure!(refused == Refused::Alert(AlertDescription::ProtocolVersion), "{refused:?}");
    site.told_refused(&mark, "tunnel_protocol")?;
    is_unharmed(site, before)
}

fn anonymous(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (before, mark) = (site.resident_kib("n2")?, site.mark(SERVER)?);
    for alpn in [NATIVE, H2] {
        let refused = alert(site, Try { versions: &[&TLS13], alpn: &[alpn], papers: None })?;
        ensure!(refused == Refused::Alert(AlertDescription::CertificateRequired), "{refused:?}");
    }
    mark.record("a client without a certificate", |record| {
        record["type"] == "tunnel" && record["verdict"] == "deny"
    })?;
    is_unharmed(site, before)
}

fn protocols(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (papers, mark) = (Papers::of(site, CLIENT)?, site.mark(SERVER)?);
    for foreign in [&[&b"http/1.1"[..]][..], &[b"enforcer/2"], &[b"h2c"]] {
        let refused = alert(site, Try::good(papers.clone(), foreign))?;
        ensure!(refused == Refused::Alert(AlertDescription::NoApplicationProtocol), "{refused:?}");
    }
    site.told_refused(&mark, "tunnel_protocol")?;
    let listener = site.listen(SERVER, false, PORT)?;
    let secured = rogue::dial(site, CLIENT, SERVER, Try::good(papers.clone(), &[]))?;
    let Ok(mut client) = secured else { bail!("without a protocol: {:?}", secured.err()) };
    h2::begin(&mut client)?;
    h2::Frame::connect(1, &site.at(SERVER, false, PORT)?.to_string()).send(&mut client)?;
    let came = h2::came(&mut client, 1)?;
    ensure!(came == h2::Came::Status(200), "{came:?}");
    crate::site::accept(&listener)?;
    // Of both that it knows, the end takes our own hop.
    let both = rogue::dial(site, CLIENT, SERVER, Try::good(papers, &[H2, NATIVE]))?;
    let Ok(client) = both else { bail!("both protocols: {:?}", both.err()) };
    ensure!(client.conn.alpn_protocol() == Some(NATIVE), "{:?}", client.conn.alpn_protocol());
    Ok(())
}

/// The address chooses the certificate.
fn no_name(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let papers = Papers::of(site, CLIENT)?;
    for (server, id) in [(SERVER, site.id(SERVER)?), ("n2-t2-p2", site.id("n2-t2-p2")?)] {
        let client = rogue::secured(site, CLIENT, server, &papers, NATIVE)?;
        let shown = client.conn.peer_certificates().context("no certificate")?;
        let leaf = shown.first().context("an empty chain")?;
        let text = String::from_utf8_lossy(leaf);
        ensure!(text.contains(&id), "the end of {server} does not show {id}");
    }
    Ok(())
}

/// A connection that says nothing, half of a handshake, or something else altogether.
fn silence(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (before, mark) = (site.resident_kib("n2")?, site.mark(SERVER)?);
    let to = site.at(SERVER, false, TUNNEL_PORT)?;
    let dial = || -> Result<TcpStream> { site.dial(CLIENT, to)?.context("the end's port") };
    let half_hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for first in [&b""[..], half_hello] {
        let mut silent = dial()?;
        silent.write_all(first)?;
        silent.set_read_timeout(Some(LIMIT))?;
        let start = Instant::now();
        let _end = silent.read(&mut [0; 64]);
        let after = start.elapsed();
        ensure!(after > Duration::from_millis(500), "it had no time: {after:?}");
        ensure!(after < Duration::from_secs(8), "it is still heard after {after:?}");
        site.told_refused(&mark, "tunnel_protocol")?;
    }
    for noise in
        [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], h2::PREFACE, &[0xff; 4096], b"\x16\x03\x01\xff\xff"]
    {
        let mut loud = dial()?;
        let start = Instant::now();
        // It may be cut off while it speaks.
        let _sent = loud.write_all(noise);
        loud.set_read_timeout(Some(LIMIT))?;
        let mut rest = Vec::new();
        let _end = loud.read_to_end(&mut rest);
        ensure!(rest.len() < 64, "it was told {} bytes", rest.len());
        ensure!(start.elapsed() < Duration::from_secs(8), "it is still heard after {:?}", start.elapsed());
    }
    // Many that say nothing, and nobody else waits for them.
    let crowd = (0..200).map(|_| dial()).collect::<Result<Vec<_>>>()?;
    is_unharmed(site, before)?;
    drop(crowd);
    Ok(())
}

/// Everything that is wrong with a client's certificate, and one with which nothing is.
fn wrong_clients(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let before = site.resident_kib("n2")?;
    let rogue = Rogue::enrol(site, "t1")?;
    let (id, stranger) = (site.id(CLIENT)?, site.id("n1-t3-p1")?);
    let right = rogue.issue(&Wrong::nothing(&id))?;
    is_let_in(site, &right).context("with nothing wrong")?;
    let mut wrong: Vec<(&str, Papers)> = vec![
        ("signed by itself", self_signed(site, &id)?),
        ("signed by a leaf", below_a_leaf(site, "n1-t1-p2", &id)?),
        ("without those above it", right.clone().cut(1)),
        ("with another's key", Papers { key: Papers::of(site, "n1-t1-p2")?.key, ..right.clone() }),
    ];
    for broken in Wrong::each(&id, &stranger) {
        wrong.push((broken.name, rogue.issue(&broken)?));
    }
    for (name, papers) in wrong {
        let mark = site.mark(SERVER)?;
        let refused = alert(site, Try::good(papers, &[NATIVE])).with_context(|| name.to_owned())?;
        ensure!(matches!(refused, Refused::Alert(_)), "{name}: {refused:?}");
        let record = site.told(&mark, "refused", |_| true).with_context(|| name.to_owned())?;
        ensure!(
            record["reason"] == "tunnel_certificate" || record["reason"] == "tunnel_protocol",
            "{name}: {record}"
        );
    }
    is_let_in(site, &right).context("with nothing wrong, afterwards")?;
    is_unharmed(site, before)
}

fn is_let_in(site: &Site, papers: &Papers) -> Result<()> {
    let listener = site.listen(SERVER, false, PORT)?;
    let mut client: Client = rogue::secured(site, CLIENT, SERVER, papers, NATIVE)?;
    let source = client.sock.local_addr()?;
    crate::native::Frame::open(source, site.at(SERVER, false, PORT)?).send(&mut client)?;
    let frame = crate::native::Frame::receive(&mut client)?;
    ensure!(frame.kind == crate::native::ACCEPT, "{frame:?}");
    crate::site::accept(&listener).map(drop)
}

/// The same at the other end: an agent dials, and somebody wrong answers.
fn wrong_servers(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.apply(&site.carried())?;
    let rogue = Rogue::enrol(site, "t2")?;
    let (id, stranger) = (site.id(SERVER)?, site.id("n2-t3-p1")?);
    let right = rogue.issue(&Wrong::nothing(&id))?;
    let mut wrong: Vec<(&str, Papers)> = vec![
        ("signed by itself", self_signed(site, &id)?),
        ("signed by a leaf", below_a_leaf(site, "n2-t2-p2", &id)?),
        ("without those above it", right.clone().cut(1)),
    ];
    for broken in Wrong::each(&id, &stranger) {
        wrong.push((broken.name, rogue.issue(&broken)?));
    }
    site.lab_mut().take_agent("n2")?.kill()?;
    for (name, papers) in wrong {
        let mark = site.mark(CLIENT)?;
        let imposter = Imposter::start(site, SERVER, papers, NATIVE)?;
        site.is_refused(CLIENT, SERVER, false).with_context(|| name.to_owned())?;
        site.told_refused(&mark, "tunnel_certificate").with_context(|| name.to_owned())?;
        ensure!(!imposter.believed()?, "{name} was believed");
    }
    let imposter = Imposter::start(site, SERVER, right, NATIVE)?;
    let _nobody_answers = site.dial(CLIENT, site.at(SERVER, false, PORT)?)?;
    wait::until_true("the right certificate is believed", LIMIT, || Ok(imposter.has_ended()))?;
    ensure!(imposter.believed()?, "the right certificate is not believed either: this proves nothing");
    site.start("n2")
}

fn revoked(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let papers = Papers::of(site, CLIENT)?;
    is_let_in(site, &papers)?;
    // Nobody at the other node revokes it: it must hear of it.
    let id = site.id(CLIENT)?;
    let words = ["identity", "revoke", "--spiffe-id", &id, "--reason", "a test", "--yes"];
    site.ctl("n1")?.run(&words, "")?;
    let mark = site.mark(SERVER)?;
    wait::until_true("the other node refuses what was revoked", LIMIT, || {
        Ok(alert_or_let_in(site, papers.clone())?.is_some())
    })?;
    site.told_refused(&mark, "tunnel_certificate")?;
    site.ctl("n1")?.run(&["identity", "restore", "--spiffe-id", &id], "")?;
    site.mark_changed();
    Ok(())
}

/// How it was refused; `None` when it was not.
fn alert_or_let_in(site: &Site, papers: Papers) -> Result<Option<Refused>> {
    match rogue::dial(site, CLIENT, SERVER, Try::good(papers, &[NATIVE]))? {
        Err(refused) => Ok(Some(refused)),
        Ok(mut client) => {
            // Who is let in is waited for.
            client.sock.set_read_timeout(Some(Duration::from_millis(300)))?;
            match client.read(&mut [0; 1]) {
                Ok(0) => Ok(Some(Refused::Silent)),
                Ok(_) => Ok(None),
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    Ok(None)
                }
                Err(error) => Refused::of(&error).map(Some),
            }
        }
    }
}

fn expired(site: &mut Site) -> Result<()> {
    let short = serde_json::json!({ "lifetimes": { "svid": "15s" } });
    site.again_with("n1", &serde_json::json!({}), &short)?;
    site.apply(&site.carried())?;
    site.ctl("n1")?.run(&["identity", "rotate", CLIENT], "")?;
    let papers = Papers::of(site, CLIENT)?;
    is_let_in(site, &papers)?;
    wait::until_true("it is refused when it has ended", Duration::from_secs(40), || {
        Ok(matches!(alert_or_let_in(site, papers.clone())?, Some(Refused::Alert(_))))
    })?;
    let refused = alert(site, Try::good(papers, &[NATIVE]))?;
    ensure!(refused == Refused::Alert(AlertDescription::CertificateExpired), "{refused:?}");
    // Its successor is let in.
    is_let_in(site, &Papers::of(site, CLIENT)?)
}
