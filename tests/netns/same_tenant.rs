//! A tenant's own traffic lives.

use anyhow::{Result, ensure};
use enforcer_lab::outcome::Outcome;
use enforcer_tests::net::{How, Net};
use enforcer_tests::runner::Case;

pub(crate) const CASES: &[Case<Net>] = &[
    Case { name: "same_tenant::reaches_itself_on_one_node", reasons: &[], run: on_one_node },
    Case { name: "same_tenant::reaches_itself_on_another_node", reasons: &[], run: on_two_nodes },
    Case { name: "same_tenant::a_closed_port_answers_at_once", reasons: &[], run: closed_port },
    Case { name: "same_tenant::the_largest_packet_is_unharmed", reasons: &[], run: largest_packet },
    Case { name: "same_tenant::bulk_arrives_byte_for_byte", reasons: &[], run: bulk },
    Case { name: "same_tenant::fragments_arrive", reasons: &[], run: fragments },
];

fn on_one_node(net: &mut Net) -> Result<()> {
    How::EACH.into_iter().try_for_each(|how| net.allowed("n1-t1-p1", "n1-t1-p2", how))
}

fn on_two_nodes(net: &mut Net) -> Result<()> {
    How::EACH.into_iter().try_for_each(|how| {
        net.allowed("n1-t1-p1", "n2-t1-p1", how)?;
        net.allowed("n2-t1-p2", "n1-t1-p2", how)
    })
}

/// A reset and an ICMP error find their way back.
fn closed_port(net: &mut Net) -> Result<()> {
    for how in [How::Tcp(9), How::Udp(9), How::Tcp6(9), How::Udp6(9)] {
        let outcome = net.attempt(&net.lab().probe("n1-t1-p1")?, "n2-t1-p1", how)?;
        ensure!(outcome == Outcome::Refused, "{how:?}: expected a refused connection, saw {outcome}");
    }
    Ok(())
}

/// 1500 bytes of Ethernet payload, less the headers of IP (20 or 40) and UDP (8).
fn largest_packet(net: &mut Net) -> Result<()> {
    for (v6, bytes) in [(false, "1472"), (true, "1452")] {
        let to = std::net::SocketAddr::new(net.address("n2-t1-p1", v6)?, 8080).to_string();
        let probe = net.lab().probe("n1-t1-p1")?;
        let outcome = probe.run(&["udp", &to, "--bytes", bytes, "--dont-fragment"])?;
        ensure!(outcome == Outcome::Ok, "{bytes} bytes to {to}: {outcome}");
    }
    Ok(())
}

fn bulk(net: &mut Net) -> Result<()> {
    for v6 in [false, true] {
        let to = std::net::SocketAddr::new(net.address("n2-t1-p1", v6)?, 8080).to_string();
        let probe = net.lab().probe("n1-t1-p1")?;
        let outcome = probe.run(&["tcp", &to, "--bytes", "8000000", "--timeout-ms", "20000"])?;
        ensure!(outcome == Outcome::Ok, "8 MB to {to} and back: {outcome}");
    }
    Ok(())
}

fn fragments(net: &mut Net) -> Result<()> {
    for v6 in [false, true] {
        let to = std::net::SocketAddr::new(net.address("n2-t1-p1", v6)?, 8080).to_string();
        let outcome = net.lab().probe("n1-t1-p1")?.run(&["udp", &to, "--bytes", "9000"])?;
        ensure!(outcome == Outcome::Ok, "9000 bytes to {to} in fragments: {outcome}");
    }
    Ok(())
}
