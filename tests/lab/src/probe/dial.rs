//! One TCP connection or one UDP datagram, there and back.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use enforcer_lab::outcome::Outcome;

use crate::close;
use crate::size::socklen;

/// Connects, sends `bytes` and closes its side; fine when exactly those come back.
pub(crate) fn tcp(to: SocketAddr, timeout_ms: u64, bytes: usize) -> Outcome {
    Outcome::from(tcp_round(to, Duration::from_millis(timeout_ms), bytes))
}

fn tcp_round(to: SocketAddr, timeout: Duration, bytes: usize) -> io::Result<()> {
    let stream = TcpStream::connect_timeout(&to, timeout)?;
    close::abruptly(&stream)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let sent = pattern(bytes);
    let mut received = Vec::with_capacity(bytes);
    // Reading and writing at once, so that neither side's window fills up.
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            (&stream).write_all(&sent)?;
            stream.shutdown(Shutdown::Write)
        });
        let outcome = (&stream).read_to_end(&mut received);
        writer.join().map_err(|_| io::Error::other("the writer panicked"))??;
        outcome
    })?;
    compare(&sent, &received)
}

/// Sends one datagram of `bytes`; fine when exactly those come back.
pub(crate) fn udp(to: SocketAddr, timeout_ms: u64, bytes: usize, dont_fragment: bool) -> Outcome {
    Outcome::from(udp_round(to, Duration::from_millis(timeout_ms), bytes, dont_fragment))
}

fn udp_round(to: SocketAddr, timeout: Duration, bytes: usize, dont_fragment: bool) -> io::Result<()> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    if dont_fragment {
        forbid_fragments(&socket, to.is_ipv4())?;
    }
    socket.set_read_timeout(Some(timeout))?;
    socket.connect(to)?;
    let sent = pattern(bytes);
    socket.send(&sent)?;
    let mut received = vec![0; bytes + 1];
    let length = socket.recv(&mut received)?;
    received.truncate(length);
    compare(&sent, &received)
}

/// `IP_MTU_DISCOVER`: always set the bit, and fail with EMSGSIZE beyond the interface's size.
fn forbid_fragments(socket: &UdpSocket, v4: bool) -> io::Result<()> {
    let (level, option, value) = if v4 {
        (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)
    };
    // SAFETY: the value is an integer that outlives the call, and its size is passed beside it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            std::ptr::from_ref(&value).cast(),
            socklen(&value),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (index % 251).to_le_bytes()[0]).collect()
}

fn compare(sent: &[u8], received: &[u8]) -> io::Result<()> {
    if sent == received {
        return Ok(());
    }
    let same = sent.iter().zip(received).take_while(|(a, b)| a == b).count();
    let (out, back) = (sent.len(), received.len());
    Err(io::Error::other(format!("{out} bytes went out, {back} came back, the first {same} agree")))
}
