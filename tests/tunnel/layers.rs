//! Another tenant is kept out by every layer alone: the others are switched off, one by one.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_lab::mark::Refusal;
use enforcer_tests::runner::Case;
use serde_json::Value;

use crate::native::{self, Frame};
use crate::papers::Papers;
use crate::rogue::{self, Imposter};
use crate::site::{PORT, RULE, Site, accept, ports};
use crate::tls::{H2, NATIVE};
use crate::{h2, tls};

pub(crate) const CASES: &[Case<Site>] = &[
    Case { name: "layers::the_kernel_where_it_comes_from", reasons: NO_RULE, run: kernel_of_sender },
    Case { name: "layers::the_kernel_where_it_arrives", reasons: NO_RULE, run: kernel_of_receiver },
    Case {
        name: "layers::plaintext_is_refused_where_it_comes_from",
        reasons: MTLS,
        run: plaintext_at_sender,
    },
    Case { name: "layers::plaintext_is_refused_where_it_arrives", reasons: MTLS, run: plaintext_at_receiver },
    Case {
        name: "layers::the_servers_certificate_is_of_another_tenant",
        reasons: &[],
        run: certificate_of_server,
    },
    Case {
        name: "layers::the_clients_certificate_is_of_another_tenant",
        reasons: &[],
        run: certificate_of_client,
    },
    Case {
        name: "layers::a_tenant_that_proves_who_it_is_may_not_for_that",
        reasons: &[],
        run: authorisation,
    },
    Case {
        name: "layers::the_carrying_connection_is_for_those_with_a_rule",
        reasons: NO_RULE,
        run: carrying,
    },
];

const NO_RULE: &[&str] = &["cross_tenant_no_rule"];
const MTLS: &[&str] = &["mtls_required"];
const FRIEND: &str = "n1-t1-p1";
const STRANGER: &str = "n1-t3-p1";
const SERVER: &str = "n2-t2-p1";

/// On the socket's word, and on the interface's when the socket was never asked.
fn kernel_of_sender(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    for v6 in [false, true] {
        let mark = site.mark(STRANGER)?;
        site.is_refused(STRANGER, SERVER, v6)?;
        mark.tells(Refusal::no_rule("t3", "t2"), |record| record["type"] == "flow")?;
    }
    let mark = site.mark(STRANGER)?;
    let dialled = site.dial_unhooked(STRANGER, site.at(SERVER, false, PORT)?)?;
    ensure!(dialled.is_err(), "past the socket's hook, t3 reaches t2");
    mark.tells(Refusal::no_rule("t3", "t2"), |record| record["hook"] != "connect4")
}

/// The sender's node was told that t3 may.
fn kernel_of_receiver(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let open = site.carried().with_rule("open", "t3", "t2", "allow", &Value::Null);
    site.apply_on("n1", &open)?;
    let mark = site.mark(SERVER)?;
    site.is_refused(STRANGER, SERVER, false)?;
    mark.tells(Refusal::no_rule("t3", "t2"), |_| true)
}

/// A client whose node has no hook at its sockets sends as it is; its interface has one.
fn plaintext_at_sender(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let (mark, to) = (site.mark(FRIEND)?, site.at(SERVER, false, PORT)?);
    let dialled = site.dial_unhooked(FRIEND, to)?;
    ensure!(dialled.is_err(), "plaintext leaves the workload");
    let refusal = Refusal { source: "t1", destination: "t2", reason: "mtls_required", rule: RULE };
    mark.tells(refusal, |record| record["destination"]["address"] == to.ip().to_string())
}

/// The sender's node was told that plaintext will do.
fn plaintext_at_receiver(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let plain = site.policy().with_rule(RULE, "t1", "t2", "allow", &ports(&[PORT]));
    site.apply_on("n1", &plain)?;
    for v6 in [false, true] {
        let mark = site.mark(SERVER)?;
        site.is_refused(FRIEND, SERVER, v6)?;
        mark.tells(Refusal { source: "t1", destination: "t2", reason: "mtls_required", rule: RULE }, |_| {
            true
        })?;
    }
    // And where both were told, it passes: nothing else stands in its way.
    site.apply_on("n2", &plain)?;
    site.pair(FRIEND, SERVER, false)?.speaks()
}

/// The kernel of both nodes lets the carrying connection pass; who answers it is somebody else.
fn certificate_of_server(site: &mut Site) -> Result<()> {
    site.expect_errors();
    site.apply(&site.carried())?;
    let (own, other, sibling) =
        (Papers::of(site, SERVER)?, Papers::of(site, "n2-t3-p1")?, Papers::of(site, "n2-t1-p1")?);
    site.lab_mut().take_agent("n2")?.kill()?;
    for alpn in [NATIVE, H2] {
        for (papers, tenant) in [(&other, "t3"), (&sibling, "t1")] {
            let mark = site.mark(FRIEND)?;
            let imposter = Imposter::start(site, SERVER, papers.clone(), alpn)?;
            site.is_refused(FRIEND, SERVER, false)?;
            let record = site.told_refused(&mark, "tunnel_identity")?;
            // Who it was is not known to be anybody; what it claimed is for operators.
            let detail = record["tunnel"]["detail"].as_str().unwrap_or_default();
            ensure!(detail.contains(&format!("spiffe://{tenant}.")), "{record}");
            ensure!(!imposter.believed()?, "{tenant} was told where t1 wants to go");
        }
        // With t2's own certificate the very same server is told.
        let imposter = Imposter::start(site, SERVER, own.clone(), alpn)?;
        let _nobody_answers = site.dial(FRIEND, site.at(SERVER, false, PORT)?)?;
        enforcer_lab::wait::until_true("the right certificate is believed", crate::site::LIMIT, || {
            Ok(imposter.has_ended())
        })?;
        ensure!(imposter.believed()?, "t2's own certificate is not believed either: this proves nothing");
    }
    site.start("n2")
}

/// From an address of t1's, so that no kernel objects, with a certificate of t3's.
fn certificate_of_client(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let listener = site.listen(SERVER, false, PORT)?;
    let (own, other) = (Papers::of(site, FRIEND)?, Papers::of(site, STRANGER)?);
    for alpn in [NATIVE, H2] {
        let mark = site.mark(SERVER)?;
        is_turned_away(site, FRIEND, &other, alpn)?;
        let record = site.told_refused(&mark, "tunnel_identity")?;
        ensure!(record["tunnel"]["source"]["spiffeId"] == site.id(STRANGER)?, "{record}");
        ensure!(crate::site::accept_within(&listener, PAUSE).is_err(), "t2's server has a connection");
        is_let_in(site, FRIEND, &own, alpn)?;
        accept(&listener).context("with the right certificate")?;
    }
    Ok(())
}

const PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// From the node's own address, for which any certificate may speak, with t3's own: everything is right, but t3
/// may not.
fn authorisation(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let listener = site.listen(SERVER, false, PORT)?;
    let (friend, stranger) = (Papers::of(site, "n1-t1-host")?, Papers::of(site, "n1-t3-host")?);
    for alpn in [NATIVE, H2] {
        let mark = site.mark(SERVER)?;
        is_turned_away(site, "n1", &stranger, alpn)?;
        let record = site.told_refused(&mark, "cross_tenant_no_rule")?;
        ensure!(
            record["source"]["identity"] == "t3" && record["destination"]["identity"] == "t2",
            "{record}"
        );
        ensure!(record["tunnel"]["source"]["spiffeId"] == site.id("n1-t3-host")?, "{record}");
        ensure!(crate::site::accept_within(&listener, PAUSE).is_err(), "t2's server has a connection");
        is_let_in(site, "n1", &friend, alpn)?;
        accept(&listener).context("t1, from the same address")?;
    }
    Ok(())
}

/// Who has no rule does not even get to the port that carries.
fn carrying(site: &mut Site) -> Result<()> {
    site.apply(&site.carried())?;
    let mark = site.mark(STRANGER)?;
    let dialled = site.dial(STRANGER, site.at(SERVER, false, crate::site::TUNNEL_PORT)?)?;
    ensure!(dialled.is_err(), "t3 reaches the end of t2's workload");
    mark.tells(Refusal::no_rule("t3", "t2"), |record| {
        record["destination"]["port"] == crate::site::TUNNEL_PORT
    })
}

/// Asks for t2's port over a hop, and what came of it is the result.
fn asks(site: &Site, from: &str, papers: &Papers, alpn: &'static [u8]) -> Result<Asked> {
    let alpns = [alpn];
    let how = tls::Try::good(papers.clone(), &alpns);
    let mut client = match rogue::dial(site, from, SERVER, how)? {
        Ok(client) => client,
        Err(refused) => return Ok(Asked::Handshake(refused)),
    };
    let target = site.at(SERVER, false, PORT)?;
    if alpn == NATIVE {
        let source = client.sock.local_addr()?;
        // It may have been turned away by now.
        let _sent = client.write_all(&Frame::open(source, target).bytes()).and_then(|()| client.flush());
        return Ok(
            Frame::receive(&mut client).map_or(Asked::Cut, |frame| Asked::Native(frame.kind, frame.payload))
        );
    }
    let _begun = h2::begin(&mut client);
    let _sent = h2::Frame::connect(1, &target.to_string()).send(&mut client);
    Ok(h2::came(&mut client, 1).map_or(Asked::Cut, Asked::Hbone))
}

/// What came of asking.
#[derive(Debug)]
enum Asked {
    Handshake(tls::Refused),
    Cut,
    Native(u8, Vec<u8>),
    Hbone(h2::Came),
}

fn is_turned_away(site: &Site, from: &str, papers: &Papers, alpn: &'static [u8]) -> Result<()> {
    match asks(site, from, papers, alpn)? {
        Asked::Handshake(tls::Refused::Alert(_) | tls::Refused::Silent) | Asked::Cut => Ok(()),
        Asked::Native(native::REFUSE, code) if code == [native::DENIED] => Ok(()),
        Asked::Hbone(h2::Came::Status(401) | h2::Came::Goaway(_) | h2::Came::Reset(_)) => Ok(()),
        other => bail!("{other:?}"),
    }
}

fn is_let_in(site: &Site, from: &str, papers: &Papers, alpn: &'static [u8]) -> Result<()> {
    match asks(site, from, papers, alpn)? {
        Asked::Native(native::ACCEPT, _) | Asked::Hbone(h2::Came::Status(200)) => Ok(()),
        other => bail!("with the right certificate: {other:?}"),
    }
}
