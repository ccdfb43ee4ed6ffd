//! Echo over TCP and UDP, IPv4 and IPv6.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::thread;

use anyhow::{Context, Result};

use crate::close;

/// Serves until killed; says `ready` once every port is open.
pub(crate) fn serve(ports: &[u16]) -> Result<()> {
    let mut threads = Vec::new();
    for port in ports {
        let place = (Ipv6Addr::UNSPECIFIED, *port);
        let tcp = TcpListener::bind(place).with_context(|| format!("TCP port {port}"))?;
        let udp = UdpSocket::bind(place).with_context(|| format!("UDP port {port}"))?;
        threads.push(thread::spawn(move || accept(&tcp)));
        threads.push(thread::spawn(move || answer(&udp)));
    }
    println!("ready");
    for thread in threads {
        if thread.join().is_err() {
            anyhow::bail!("a server thread panicked");
        }
    }
    Ok(())
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        thread::spawn(move || echo(stream));
    }
}

/// Until the other side closes or breaks.
fn echo(mut stream: TcpStream) {
    if close::abruptly(&stream).is_err() {
        return;
    }
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length) = stream.read(&mut buffer) {
        let Some(data) = buffer.get(..length).filter(|data| !data.is_empty()) else {
            // If this fails, the other side sees a reset and says so.
            let _abrupt = close::in_order(&stream);
            return;
        };
        if stream.write_all(data).is_err() {
            return;
        }
    }
}

fn answer(socket: &UdpSocket) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        // An ICMP error about an earlier answer surfaces here; the next datagram may still come.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(data) = buffer.get(..length) {
            let _refused = socket.send_to(data, from);
        }
    }
}
