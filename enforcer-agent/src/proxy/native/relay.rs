//! The relay: both directions of one flow, in one task. A direction that waits for bytes holds no buffer; one that
//! cannot get rid of its bytes reads no others.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::AsRawFd as _;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use enforcer_core::proxy::native::{FrameHeader, HEADER_BYTES, Kind, RefuseCode};
use nix::sys::socket::{MsgFlags, Shutdown, recv, shutdown};
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::ended::{Ended, FlowError, Limits, Traffic};
use crate::proxy::tls::{
    Appetite, Buffer, HEADER, Opened, PAYLOAD_MAX, Purpose, RECORDS_MAX, SLOT, Secured, Size, TlsError,
    socket,
};

/// Bytes of one direction until everybody else has had a turn.
const TURN: usize = 128 * 1024;
/// Places that one write to the workload gathers from.
const PIECES_MAX: usize = 64;

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It sent OPEN, and waits for the answer.
    Client,
    /// It answered ACCEPT.
    Server,
}

/// Carries one flow between a workload's socket and a secured connection, until it ends or `cancel` says so.
pub async fn relay<C>(
    local: &TcpStream,
    secured: &mut Secured,
    side: Side,
    limits: &Limits,
    traffic: &Traffic,
    cancel: impl Future<Output = C>,
) -> Ended<C> {
    let mut relay = Relay::new(local, secured, side, limits, traffic);
    let mut cancel = pin!(cancel);
    let ended = poll_fn(|cx| {
        if let Poll::Ready(reason) = cancel.as_mut().poll(cx) {
            return Poll::Ready(Ended::Cancelled(reason));
        }
        relay.poll(cx).map(End::into_ended)
    })
    .await;
    relay.finish(&ended);
    ended
}

/// How a flow ended by itself.
enum End {
    Clean,
    Refused(RefuseCode),
    Unanswered(TlsError),
    AcceptTimeout,
    LocalReset(io::Error),
    PeerReset,
    HalfCloseTimeout,
    Protocol(FlowError),
    Tls(TlsError),
}

impl End {
    fn into_ended<C>(self) -> Ended<C> {
        match self {
            Self::Clean => Ended::Clean,
            Self::Refused(code) => Ended::Refused(code),
            Self::Unanswered(error) => Ended::Unanswered(error),
            Self::AcceptTimeout => Ended::AcceptTimeout,
            Self::LocalReset(error) => Ended::LocalReset(error),
            Self::PeerReset => Ended::PeerReset,
            Self::HalfCloseTimeout => Ended::HalfCloseTimeout,
            Self::Protocol(error) => Ended::Protocol(error),
            Self::Tls(error) => Ended::Tls(error),
        }
    }
}

/// The direction from the workload into the tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Up {
    /// Bytes may come.
    Open,
    /// FIN waits in the outbox.
    Ending,
    /// FIN was sent.
    Done,
}

/// The direction from the tunnel to the workload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Down {
    /// No answer yet.
    Awaiting,
    /// Bytes may come.
    Open,
    /// FIN came, and bytes before it may not be delivered yet.
    Ending,
    /// The workload was told.
    Done,
}

struct Relay<'a> {
    local: &'a TcpStream,
    secured: &'a mut Secured,
    limits: &'a Limits,
    traffic: &'a Traffic,
    up: Up,
    down: Down,
    appetite: Appetite,
    /// Bytes of the workload that were sent before the answer, and still lie in its socket.
    peeked: usize,
    /// The frame that is being read: its header as far as it is here, then what is left of its payload.
    header: ([u8; HEADER_BYTES], usize),
    left: usize,
    is_refusal: bool,
    /// Plaintext in the inbox that is to be written to the workload.
    pieces: Vec<Range<usize>>,
    has_moved: bool,
    timer: Option<Pin<Box<Sleep>>>,
    active: Instant,
    retry: Option<Pin<Box<Sleep>>>,
    /// Watches for a reset of the workload once it has ended its direction: reading says no more.
    gone: Option<Gone<'a>>,
}

type Gone<'a> = Pin<Box<dyn Future<Output = io::Result<Ready>> + Send + 'a>>;

impl<'a> Relay<'a> {
    fn new(
        local: &'a TcpStream,
        secured: &'a mut Secured,
        side: Side,
        limits: &'a Limits,
        traffic: &'a Traffic,
    ) -> Self {
        let down = match side {
            Side::Client => Down::Awaiting,
            Side::Server => Down::Open,
        };
        Self {
            local,
            secured,
            limits,
            traffic,
            up: Up::Open,
            down,
            appetite: Appetite::new(),
            peeked: 0,
            header: ([0; HEADER_BYTES], 0),
            left: 0,
            is_refusal: false,
            pieces: Vec::new(),
            has_moved: false,
            timer: None,
            active: Instant::now(),
            retry: None,
            gone: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.has_moved = false;
        let (mut turn_down, mut turn_up) = (TURN, TURN);
        for outcome in [self.poll_down(&mut turn_down, cx), self.poll_up(&mut turn_up, cx)] {
            if let Poll::Ready(Err(end)) = outcome {
                return Poll::Ready(self.unanswered(end));
            }
        }
        if self.up == Up::Done && self.down == Down::Done {
            return Poll::Ready(End::Clean);
        }
        if turn_down == 0 || turn_up == 0 {
            // Woken only after everybody who is ready was polled, and the sockets were asked who else is.
            let _: Poll<()> = pin!(tokio::task::yield_now()).poll(cx);
        }
        if self.up != Up::Open
            && let Poll::Ready(error) = self.poll_gone(cx)
        {
            return Poll::Ready(End::LocalReset(error));
        }
        self.poll_timer(cx)
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let local = self.local;
        let gone = self.gone.get_or_insert_with(|| Box::pin(local.ready(Interest::ERROR)));
        ready!(gone.as_mut().poll(cx)).map_or_else(Poll::Ready, |_| {
            let error = local.take_error().ok().flatten();
            Poll::Ready(error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into()))
        })
    }

    /// Before the answer nothing was taken from the workload: the flow can be tried again, unless the workload at the
    /// other end may have read its first bytes. A peer that said goodbye has not: it would have answered first.
    fn unanswered(&self, end: End) -> End {
        match end {
            End::Tls(error)
                if self.down == Down::Awaiting && (self.peeked == 0 || self.secured.has_said_goodbye()) =>
            {
                End::Unanswered(error)
            }
            other => other,
        }
    }

    fn poll_up(&mut self, turn: &mut usize, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            ready!(self.secured.poll_flush(cx)).map_err(|error| End::Tls(error.into()))?;
            match self.up {
                Up::Open if self.down == Down::Awaiting => {
                    if self.peeked > 0 {
                        return Poll::Pending;
                    }
                    ready!(self.poll_peek(cx))?;
                }
                Up::Open if *turn == 0 => return Poll::Pending,
                Up::Open => {
                    let count = ready!(self.poll_take_up(cx))?;
                    *turn = turn.saturating_sub(count);
                }
                Up::Ending => self.up = Up::Done,
                Up::Done => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Sends what the workload says first, without taking it from its socket.
    fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        ready!(self.local.poll_read_ready(cx)).map_err(End::LocalReset)?;
        let mut buffer =
            ready!(self.secured.pool().poll_take(Size::Small, Purpose::Send, &mut self.retry, cx));
        let payload = &mut buffer[HEADER + HEADER_BYTES..HEADER + PAYLOAD_MAX];
        let peeked = self.local.try_io(Interest::READABLE, || {
            Ok(recv(self.local.as_raw_fd(), payload, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?)
        });
        match peeked {
            // Its FIN is seen again once there is an answer.
            Ok(0) => Poll::Pending,
            Ok(count) => {
                self.peeked = count;
                Poll::Ready(self.send(buffer, count))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Readiness was cleared: asked again, the socket wakes us.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(End::LocalReset(error))),
        }
    }

    /// Takes what the workload says.
    fn poll_take_up(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, End>> {
        ready!(self.local.poll_read_ready(cx)).map_err(End::LocalReset)?;
        let mut buffer =
            ready!(self.secured.pool().poll_take(self.appetite.size(), Purpose::Send, &mut self.retry, cx));
        if self.peeked > 0 {
            let taken = &mut buffer[..self.peeked.min(SLOT)];
            let count = ready!(socket::poll_read(self.local, &mut [IoSliceMut::new(taken)], cx));
            let count = count.map_err(End::LocalReset)?;
            if count == 0 {
                return Poll::Ready(Err(End::LocalReset(io::ErrorKind::UnexpectedEof.into())));
            }
            self.peeked -= count;
            return Poll::Ready(Ok(0));
        }
        let room = buffer.size().records() * PAYLOAD_MAX - HEADER_BYTES;
        let count = {
            let mut slots: [IoSliceMut<'_>; RECORDS_MAX] = std::array::from_fn(|_| IoSliceMut::new(&mut []));
            let mut used = 0;
            for (slot, record) in slots.iter_mut().zip(buffer.chunks_exact_mut(SLOT)) {
                let start = if used == 0 { HEADER + HEADER_BYTES } else { HEADER };
                *slot = IoSliceMut::new(&mut record[start..HEADER + PAYLOAD_MAX]);
                used += 1;
            }
            ready!(socket::poll_read(self.local, &mut slots[..used], cx)).map_err(End::LocalReset)?
        };
        if count == 0 {
            self.secured.queue_data(&FrameHeader::FIN.bytes());
            self.up = Up::Ending;
            self.has_moved = true;
            return Poll::Ready(Ok(0));
        }
        self.appetite.learn(count, room);
        Poll::Ready(self.send(buffer, count).map(|()| count))
    }

    /// Sends a frame of data that lies behind the room for its header.
    fn send(&mut self, mut buffer: Buffer, count: usize) -> Result<(), End> {
        let Some(header) = FrameHeader::data(count) else { return Ok(()) };
        buffer[HEADER..HEADER + HEADER_BYTES].copy_from_slice(&header.bytes());
        self.secured.queue_batch(buffer, HEADER_BYTES + count).map_err(End::Tls)?;
        self.traffic.add_sent(count);
        self.has_moved = true;
        Ok(())
    }

    fn poll_down(&mut self, turn: &mut usize, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        loop {
            ready!(self.poll_deliver(turn, cx))?;
            if self.down == Down::Ending {
                self.end_local()?;
                continue;
            }
            if self.up == Up::Done && self.down == Down::Done {
                return Poll::Ready(Ok(()));
            }
            if *turn == 0 {
                return Poll::Pending;
            }
            self.read_frames()?;
            if !self.pieces.is_empty() || self.down == Down::Ending {
                continue;
            }
            if ready!(self.secured.poll_fill(cx)).map_err(|error| End::Tls(error.into()))? == 0 {
                return Poll::Ready(Err(End::Tls(TlsError::Truncated)));
            }
        }
    }

    /// Writes what is there to the workload.
    fn poll_deliver(&mut self, turn: &mut usize, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        while !self.pieces.is_empty() {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
                *slice = IoSlice::new(self.secured.inbox.at(piece.clone()));
            }
            let used = self.pieces.len().min(PIECES_MAX);
            let count =
                ready!(socket::poll_write(self.local, &slices[..used], cx)).map_err(End::LocalReset)?;
            *turn = turn.saturating_sub(count);
            self.traffic.add_received(count);
            self.has_moved = true;
            self.delivered(count);
        }
        Poll::Ready(Ok(()))
    }

    fn delivered(&mut self, mut count: usize) {
        let mut whole = 0;
        for piece in &mut self.pieces {
            if count < piece.len() {
                piece.start += count;
                break;
            }
            count -= piece.len();
            whole += 1;
        }
        self.pieces.drain(..whole);
    }

    fn end_local(&mut self) -> Result<(), End> {
        self.down = Down::Done;
        self.has_moved = true;
        match shutdown(self.local.as_raw_fd(), Shutdown::Write) {
            // Nobody is left who could be told; reading says why.
            Ok(()) | Err(nix::Error::ENOTCONN) => Ok(()),
            Err(error) => Err(End::LocalReset(error.into())),
        }
    }

    /// Reads frames out of the records that are here.
    fn read_frames(&mut self) -> Result<(), End> {
        while self.pieces.len() < PIECES_MAX && self.down != Down::Ending {
            if self.secured.inbox.plain().is_empty() {
                match self.secured.open_next().map_err(End::Tls)? {
                    Opened::Data => {}
                    Opened::Nothing => return Ok(()),
                    Opened::Closed => return Err(End::Tls(TlsError::Truncated)),
                }
            }
            if self.left > 0 {
                self.read_payload()?;
            } else {
                self.read_header()?;
            }
        }
        Ok(())
    }

    fn read_payload(&mut self) -> Result<(), End> {
        if self.is_refusal {
            let code = RefuseCode::parse(&self.secured.inbox.plain()[..1]);
            return Err(code.map_or_else(|error| End::Protocol(error.into()), End::Refused));
        }
        let plain = self.secured.inbox.plain_range();
        let count = plain.len().min(self.left);
        self.pieces.push(plain.start..plain.start + count);
        self.secured.inbox.consume(count);
        self.left -= count;
        Ok(())
    }

    fn read_header(&mut self) -> Result<(), End> {
        let (bytes, filled) = &mut self.header;
        let plain = self.secured.inbox.plain();
        let count = plain.len().min(HEADER_BYTES - *filled);
        bytes[*filled..*filled + count].copy_from_slice(&plain[..count]);
        self.secured.inbox.consume(count);
        *filled += count;
        if *filled < HEADER_BYTES {
            return Ok(());
        }
        *filled = 0;
        let header = FrameHeader::parse(*bytes).map_err(|error| End::Protocol(error.into()))?;
        self.begin_frame(header)
    }

    fn begin_frame(&mut self, header: FrameHeader) -> Result<(), End> {
        match (header.kind(), self.down) {
            (Kind::Accept, Down::Awaiting) => {
                self.down = Down::Open;
                self.timer = None;
                self.traffic.accepted();
            }
            (Kind::Refuse, Down::Awaiting) => (self.is_refusal, self.left) = (true, header.payload_bytes()),
            (Kind::Data, Down::Open) => self.left = header.payload_bytes(),
            (Kind::Fin, Down::Open) => self.down = Down::Ending,
            (Kind::Reset, _) => return Err(End::PeerReset),
            (kind, down) => {
                let when = match down {
                    Down::Awaiting => "before the answer to OPEN",
                    Down::Open => "inside a flow",
                    Down::Ending | Down::Done => "behind FIN",
                };
                return Err(End::Protocol(FlowError::Order { kind, when }));
            }
        }
        Ok(())
    }

    /// For the answer, then for bytes once one direction has ended.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let is_half = (self.up == Up::Done) != (self.down == Down::Done);
        let patience = match self.down {
            Down::Awaiting => self.limits.accept,
            _ if is_half => self.limits.half_close,
            _ => return Poll::Pending,
        };
        if self.has_moved && is_half {
            self.active = Instant::now();
        }
        let timer = self.timer.get_or_insert_with(|| {
            self.active = Instant::now();
            Box::pin(sleep(patience))
        });
        while timer.as_mut().poll(cx).is_ready() {
            let until = self.active + patience;
            if until <= Instant::now() + Duration::from_millis(1) {
                let is_answered = self.down != Down::Awaiting;
                return Poll::Ready(if is_answered { End::HalfCloseTimeout } else { End::AcceptTimeout });
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }

    /// Tells both sides about an end that is not theirs.
    fn finish<C>(&mut self, ended: &Ended<C>) {
        let (tells_peer, resets_local) = match ended {
            Ended::Clean | Ended::Unanswered(_) => (false, false),
            Ended::LocalReset(_) => (true, false),
            Ended::AcceptTimeout | Ended::HalfCloseTimeout | Ended::Cancelled(_) | Ended::Protocol(_) => {
                (true, true)
            }
            Ended::Refused(_) | Ended::PeerReset | Ended::Tls(_) => (false, true),
        };
        if tells_peer {
            self.secured.queue_data(&FrameHeader::RESET.bytes());
            // What cannot be sent now is not: the connection is closed, which says the same.
            let _: Poll<io::Result<()>> = self.secured.poll_flush(&mut Context::from_waker(Waker::noop()));
        }
        if resets_local {
            // It fails for a socket that is gone.
            let _: io::Result<()> = self.local.set_zero_linger();
        }
    }
}
