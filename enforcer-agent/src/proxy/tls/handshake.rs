//! The handshake: rustls says what to send and what to wait for, and sees no byte behind the peer's Finished. Then
//! the peer's chain is checked again, new session or resumed.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::leaf::parse_leaf;
use nix::sys::socket::{Shutdown, shutdown};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, UnbufferedStatus};
use rustls::{AlertDescription, Error, ExtractedSecrets, HandshakeKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::alert::alert_of;
use super::configs::{Configs, HBONE, NATIVE};
use super::error::TlsError;
use super::inbox::Inbox;
use super::pool::{Buffer, Pool, Purpose, Size};
use super::record::{HEADER, PAYLOAD_MAX};
use super::secured::{Facts, Hop, Kernel, Secured};
use super::sessions::session_name;
use super::verifier::{check_expected, expecting};
use crate::door::identity::Peer;
use crate::hex::hex;

/// How long a peer may take to read why it was refused.
pub(super) const LINGER: Duration = Duration::from_secs(1);
/// Level, description, type and tag.
const SEALED_ALERT: u8 = 2 + 1 + 16;
/// What a peer may still send meanwhile.
const LINGER_BYTES: usize = 1 << 20;

/// Where a client goes.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The tunnel's end.
    pub address: SocketAddr,
    /// Whose certificate must be shown there.
    pub trust_domain: &'a TrustDomain,
}

/// Shakes hands as a client. The caller's patience is the caller's.
///
/// # Errors
/// The peer is not who is expected, does not speak TLS as we do, or refuses us.
pub async fn connect(
    stream: TcpStream,
    configs: &Configs,
    to: Destination<'_>,
    pool: &Arc<Pool>,
) -> Result<Secured, TlsError> {
    let name = session_name(to.address, to.trust_domain)
        .ok_or_else(|| TlsError::Protocol("a destination without a name".to_owned()))?;
    let connection = UnbufferedClientConnection::new(Arc::clone(&configs.client), name).map_err(protocol)?;
    let side = Side::Client(Box::new(connection));
    Handshake::new(stream, side, pool)?.run(configs, Some(to.trust_domain)).await
}

/// Shakes hands as a server; with `expected`, only with clients of that trust domain.
///
/// # Errors
/// The peer is not who is expected, does not speak TLS as we do, or refuses us.
pub async fn accept(
    stream: TcpStream,
    configs: &Configs,
    expected: Option<&TrustDomain>,
    pool: &Arc<Pool>,
) -> Result<Secured, TlsError> {
    let connection = UnbufferedServerConnection::new(Arc::clone(&configs.server)).map_err(protocol)?;
    let side = Side::Server(Box::new(connection));
    Handshake::new(stream, side, pool)?.run(configs, expected).await
}

fn protocol(error: Error) -> TlsError {
    TlsError::Protocol(error.to_string())
}

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

/// What rustls wants next.
enum Step {
    Again,
    Blocked,
    MayWrite,
    Closed,
    Failed(Error),
}

impl Side {
    /// One step; what is to be sent goes behind `out`. The first number of bytes is done with.
    fn step(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) -> (usize, Step) {
        match self {
            Self::Client(connection) => advance(connection.process_tls_records(incoming), out),
            Self::Server(connection) => advance(connection.process_tls_records(incoming), out),
        }
    }

    fn is_handshaking(&self) -> bool {
        match self {
            Self::Client(connection) => connection.is_handshaking(),
            Self::Server(connection) => connection.is_handshaking(),
        }
    }

    fn has_resumed(&self) -> bool {
        let kind = match self {
            Self::Client(connection) => connection.handshake_kind(),
            Self::Server(connection) => connection.handshake_kind(),
        };
        kind == Some(HandshakeKind::Resumed)
    }

    /// What is spoken inside. A client that names no protocol is one of HBONE's, as ztunnel takes it.
    fn hop(&self, configs: &Configs) -> Option<Hop> {
        let alpn = match self {
            Self::Client(connection) => connection.alpn_protocol(),
            Self::Server(connection) => connection.alpn_protocol(),
        };
        match (alpn, self) {
            (Some(NATIVE), _) => Some(Hop::Native),
            (Some(HBONE), _) => Some(Hop::Hbone),
            (None, Self::Server(_)) if configs.takes_hbone() => Some(Hop::Hbone),
            (Some(_) | None, _) => None,
        }
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let chain = match self {
            Self::Client(connection) => connection.peer_certificates(),
            Self::Server(connection) => connection.peer_certificates(),
        };
        chain.unwrap_or_default().to_vec()
    }

    fn into_kernel(self) -> Result<(ExtractedSecrets, Kernel), TlsError> {
        let parts = match self {
            Self::Client(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Client(Box::new(kernel)))),
            Self::Server(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Server(Box::new(kernel)))),
        };
        parts.map_err(protocol)
    }
}

fn advance<D>(status: UnbufferedStatus<'_, '_, D>, out: &mut Vec<u8>) -> (usize, Step) {
    let step = match status.state {
        Err(error) => Step::Failed(error),
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let start = out.len();
            // Asked with no room first, it says how much it needs.
            let encoded = loop {
                match data.encode(&mut out[start..]) {
                    Err(EncodeError::InsufficientSize(size)) => out.resize(start + size.required_size, 0),
                    other => break other,
                }
            };
            match encoded {
                Ok(length) => {
                    out.truncate(start + length);
                    Step::Again
                }
                Err(error) => Step::Failed(Error::General(error.to_string())),
            }
        }
        // It is sent before anything more is read.
        Ok(ConnectionState::TransmitTlsData(data)) => {
            data.done();
            Step::Again
        }
        Ok(ConnectionState::BlockedHandshake) => Step::Blocked,
        Ok(ConnectionState::WriteTraffic(_)) => Step::MayWrite,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::Closed,
        Ok(_) => Step::Failed(Error::General("data before the end of the handshake".to_owned())),
    };
    (status.discard, step)
}

/// Whether a record is an alert, plain or sealed. No message of a handshake is as short.
fn is_alert(record: &[u8]) -> bool {
    matches!(record, [21, ..] | [23, _, _, 0, SEALED_ALERT, ..])
}

struct Handshake {
    stream: TcpStream,
    side: Side,
    pool: Arc<Pool>,
    incoming: Buffer,
    /// Bytes that were read.
    end: usize,
    /// Bytes that rustls may see: it is shown one record at a time, so that none behind the handshake is.
    shown: usize,
    out: Vec<u8>,
}

impl Handshake {
    fn new(stream: TcpStream, side: Side, pool: &Arc<Pool>) -> Result<Box<Self>, TlsError> {
        stream.set_nodelay(true)?;
        let incoming = pool.take(Size::Small, Purpose::Receive).ok_or(TlsError::Busy)?;
        let pool = Arc::clone(pool);
        Ok(Box::new(Self { stream, side, pool, incoming, end: 0, shown: 0, out: Vec::new() }))
    }

    async fn run(
        mut self: Box<Self>,
        configs: &Configs,
        expected: Option<&TrustDomain>,
    ) -> Result<Secured, TlsError> {
        loop {
            let outcome = self.pump(expected);
            if !self.out.is_empty() {
                self.stream.write_all(&self.out).await?;
                self.out.clear();
            }
            match outcome {
                Ok(true) => break,
                Ok(false) => self.read().await?,
                Err(error) => {
                    // Why there is no connection is more than why the alert could not be sent.
                    let _: Result<io::Result<()>, _> =
                        tokio::time::timeout(LINGER, linger(&self.stream)).await;
                    return Err(error);
                }
            }
        }
        self.finish(configs, expected).await
    }

    /// As far as it goes without reading; true at the end.
    fn pump(&mut self, expected: Option<&TrustDomain>) -> Result<bool, TlsError> {
        loop {
            let (shown, out, side) = (&mut self.incoming[..self.shown], &mut self.out, &mut self.side);
            let ((done, step), refused) = expecting(expected, || side.step(shown, out));
            self.discard(done);
            match step {
                Step::Again => {}
                Step::MayWrite if !self.side.is_handshaking() => return Ok(true),
                Step::Blocked | Step::MayWrite => {
                    if !self.show_next() {
                        return Ok(false);
                    }
                }
                Step::Closed => return Err(TlsError::Truncated),
                Step::Failed(error) => {
                    self.collect_alert();
                    return Err(refused.unwrap_or_else(|| failure(error)));
                }
            }
        }
    }

    fn discard(&mut self, count: usize) {
        if count > 0 {
            self.incoming.copy_within(count..self.end, 0);
            self.end -= count;
            self.shown -= count;
        }
    }

    /// Shows rustls one record more; false when none is whole.
    fn show_next(&mut self) -> bool {
        let Some((&[content, _, _, high, low], _)) =
            self.incoming[self.shown..self.end].split_first_chunk::<HEADER>()
        else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let next = self.shown + HEADER + length;
        if !(20..=23).contains(&content) || length > PAYLOAD_MAX + 256 {
            // No record: rustls says what is wrong with it.
            self.shown = self.end;
        } else if next <= self.end {
            self.shown = next;
        } else {
            return false;
        }
        true
    }

    /// rustls has an alert ready when it failed, behind what it had ready before. Asked once more, it would fail anew
    /// over the bytes that it failed over.
    fn collect_alert(&mut self) {
        loop {
            let start = self.out.len();
            let (done, step) = self.side.step(&mut self.incoming[..self.shown], &mut self.out);
            self.discard(done);
            if !matches!(step, Step::Again) || is_alert(&self.out[start..]) {
                return;
            }
        }
    }

    async fn read(&mut self) -> Result<(), TlsError> {
        let room = &mut self.incoming[self.end..];
        if room.is_empty() {
            return Err(TlsError::Protocol("a handshake flight that is too long".to_owned()));
        }
        match self.stream.read(room).await? {
            0 => Err(TlsError::Truncated),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }

    async fn finish(
        self: Box<Self>,
        configs: &Configs,
        expected: Option<&TrustDomain>,
    ) -> Result<Secured, TlsError> {
        let Self { stream, side, pool, incoming, end, shown, .. } = *self;
        if shown != 0 {
            return Err(TlsError::Protocol("a handshake message cut in two by its end".to_owned()));
        }
        let (chain, hop, resumed) = (side.chain(), side.hop(configs), side.has_resumed());
        let checked = examine(&chain, configs, expected);
        let refusal = match (&checked, hop) {
            (Err(TlsError::Unverified(unverified)), _) => Some(alert_of(unverified.fault)),
            (Err(_), _) => Some(AlertDescription::AccessDenied),
            (Ok(_), None) => Some(AlertDescription::NoApplicationProtocol),
            (Ok(_), Some(_)) => None,
        };
        let (secrets, kernel) = side.into_kernel()?;
        let peer = checked.as_ref().ok().cloned();
        let facts = facts(configs, &chain, peer, hop.unwrap_or(Hop::Native), resumed);
        let inbox = Inbox::new(incoming, 0..end);
        let mut secured = Secured::new(stream, &secrets, kernel, inbox, facts, &pool)?;
        let Some(alert) = refusal else { return Ok(secured) };
        secured.queue_alert(alert);
        secured.farewell().await;
        checked.and(Err(TlsError::Alpn("offers none that we know")))
    }
}

/// Whether the peer is somebody now, whatever was true when its session began.
fn examine(
    chain: &[CertificateDer<'_>],
    configs: &Configs,
    expected: Option<&TrustDomain>,
) -> Result<Peer, TlsError> {
    let peer = configs.check.peer(chain).map_err(TlsError::Unverified)?;
    check_expected(&peer, expected)?;
    Ok(peer)
}

fn facts(
    configs: &Configs,
    chain: &[CertificateDer<'_>],
    peer: Option<Peer>,
    hop: Hop,
    resumed: bool,
) -> Facts {
    // Nobody reads the facts of a connection that is refused.
    let peer = peer.unwrap_or_else(|| Peer { id: configs.id.clone(), not_after: Duration::ZERO });
    let leaf = chain.first().and_then(|leaf| parse_leaf(leaf).ok());
    let serial = leaf.map(|leaf| leaf.serial).unwrap_or_default();
    Facts {
        until: peer.not_after.min(configs.not_after),
        peer,
        peer_serial: hex(&serial),
        own: configs.id.clone(),
        own_serial: configs.serial.clone(),
        hop,
        resumed,
    }
}

fn failure(error: Error) -> TlsError {
    match error {
        Error::NoCertificatesPresented => TlsError::NoCertificate,
        Error::AlertReceived(alert) => TlsError::Alert(alert),
        Error::NoApplicationProtocol => TlsError::Alpn("offers none of ours"),
        other => protocol(other),
    }
}

/// Ends the sending side, and reads what still comes until the peer has done the same.
pub(super) async fn linger(stream: &TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd as _;

    shutdown(stream.as_raw_fd(), Shutdown::Write)?;
    let (mut dropped, mut scratch) = (0, [0; 1024]);
    while dropped < LINGER_BYTES {
        stream.readable().await?;
        match stream.try_read(&mut scratch) {
            Ok(0) => return Ok(()),
            Ok(count) => dropped += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
