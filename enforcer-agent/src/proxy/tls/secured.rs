//! A connection after its handshake: the socket, the keys of both directions, and whom it leads to. What TLS says
//! after the handshake, tickets, new keys and alerts, is done here and seen by nobody else.

use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use enforcer_core::identity::spiffe_id::SpiffeId;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ExtractedSecrets};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::alert::alert_bytes;
use super::error::TlsError;
use super::inbox::Inbox;
use super::outbox::Outbox;
use super::pool::{Buffer, Pool};
use super::record::{Broken, Content, HEADER, Opener, Sealer, TAIL, record_length};
use super::stream::SecuredStream;
use crate::door::identity::Peer;

/// Records in a row that carry no data, before the connection is ended: tickets, new keys, nothing at all.
const EMPTY_RECORDS_MAX: u8 = 32;
/// A handshake message after the handshake.
const MESSAGE_MAX: usize = 16 * 1024;
/// Answers to key updates that may wait to be sent; asked again meanwhile, the one that waits is the answer.
const WAITING_MAX: usize = 256;

const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
/// A key update that asks for none.
const KEY_UPDATE_MESSAGE: [u8; 5] = [KEY_UPDATE, 0, 0, 1, 0];

/// Which protocol is spoken inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// Our own frames.
    Native,
    /// HTTP/2 CONNECT.
    Hbone,
}

/// What the handshake found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whom the other end's certificate names, and until when.
    pub peer: Peer,
    /// Serial number of its leaf, hexadecimal.
    pub peer_serial: String,
    /// Whom our certificate names.
    pub own: SpiffeId,
    /// Serial number of our leaf, hexadecimal.
    pub own_serial: String,
    /// What is spoken inside.
    pub hop: Hop,
    /// True when an earlier session went on: no certificate crossed the wire, the earlier one was checked again.
    pub resumed: bool,
    /// When the first of both certificates ends, since the Unix epoch.
    pub until: Duration,
}

/// What is left of rustls: it makes new keys, and keeps tickets.
pub(super) enum Kernel {
    Client(Box<KernelConnection<ClientConnectionData>>),
    Server(Box<KernelConnection<ServerConnectionData>>),
}

/// A connection to a peer who proved who they are.
pub struct Secured {
    stream: TcpStream,
    sealer: Sealer,
    opener: Opener,
    kernel: Kernel,
    pub(in crate::proxy) inbox: Inbox,
    outbox: Outbox,
    /// A handshake message of which more records are to come.
    message: Vec<u8>,
    empty_records: u8,
    /// The peer sends no more, or has broken TLS.
    is_closed: bool,
    has_said_goodbye: bool,
    facts: Arc<Facts>,
    pool: Arc<Pool>,
    retry: Option<Pin<Box<Sleep>>>,
}

/// What the next record was.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Opened {
    /// Plaintext waits in the inbox.
    Data,
    /// No whole record is there.
    Nothing,
    /// The peer sends no more.
    Closed,
}

impl Secured {
    pub(super) fn new(
        stream: TcpStream,
        secrets: &ExtractedSecrets,
        kernel: Kernel,
        inbox: Inbox,
        facts: Facts,
        pool: &Arc<Pool>,
    ) -> Result<Self, TlsError> {
        Ok(Self {
            stream,
            sealer: Sealer::new(&secrets.tx)?,
            opener: Opener::new(&secrets.rx)?,
            kernel,
            inbox,
            outbox: Outbox::default(),
            message: Vec::new(),
            empty_records: 0,
            is_closed: false,
            has_said_goodbye: false,
            facts: Arc::new(facts),
            pool: Arc::clone(pool),
            retry: None,
        })
    }

    /// What the handshake found.
    #[must_use]
    pub const fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// The socket.
    #[must_use]
    pub const fn socket(&self) -> &TcpStream {
        &self.stream
    }

    /// The buffers it uses.
    #[must_use]
    pub const fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// True once the peer has ended the connection by close_notify.
    pub(in crate::proxy) const fn has_said_goodbye(&self) -> bool {
        self.has_said_goodbye
    }

    /// A stream of plaintext, for a protocol that is not ours.
    #[must_use]
    pub fn into_stream(self) -> SecuredStream {
        SecuredStream::new(self)
    }

    /// False when the peer closed an idle connection, or sent what nobody waits for: the next flow needs another.
    pub fn is_quiet(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        if self.is_closed
            || !self.message.is_empty()
            || !matches!(self.poll_flush(&mut cx), Poll::Ready(Ok(())))
        {
            return false;
        }
        loop {
            match self.open_next() {
                Ok(Opened::Nothing) => {}
                Ok(Opened::Data | Opened::Closed) | Err(_) => return false,
            }
            match self.poll_fill(&mut cx) {
                Poll::Pending => return self.inbox.sealed_bytes().is_empty(),
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return false,
            }
        }
    }

    /// Says that nothing more comes, and waits a moment for the peer to have read it.
    pub async fn close(mut self) {
        self.queue_alert(AlertDescription::CloseNotify);
        self.farewell().await;
    }

    /// Sends what waits, and ends the sending side. Who closes a socket with unread bytes in it resets the
    /// connection, and the peer may never read what was said last: so what still comes is read and dropped.
    pub(super) async fn farewell(mut self) {
        let last_words = async {
            std::future::poll_fn(|cx| self.poll_flush(cx)).await?;
            super::handshake::linger(&self.stream).await
        };
        let _: Result<io::Result<()>, _> = tokio::time::timeout(super::handshake::LINGER, last_words).await;
    }

    /// Opens the next record that carries data, of those that are here. What was opened before must be consumed.
    pub(in crate::proxy) fn open_next(&mut self) -> Result<Opened, TlsError> {
        loop {
            if self.is_closed {
                return Ok(Opened::Closed);
            }
            match self.open_one() {
                Ok(None) => return Ok(Opened::Nothing),
                Ok(Some(Content::Data)) if !self.inbox.plain().is_empty() => {
                    self.empty_records = 0;
                    return Ok(Opened::Data);
                }
                Ok(Some(content)) => self.after_handshake(content)?,
                Err(broken) => return Err(self.break_off(broken)),
            }
        }
    }

    fn open_one(&mut self) -> Result<Option<Content>, Broken> {
        let sealed = self.inbox.sealed.clone();
        let Some(length) = record_length(self.inbox.sealed_bytes())? else { return Ok(None) };
        if length > sealed.len() {
            return Ok(None);
        }
        let record = sealed.start..sealed.start + length;
        let (content, plain) = self.opener.open(&mut self.inbox.bytes_mut()[record])?;
        self.inbox.advance(length, plain);
        if !self.message.is_empty() && content != Content::Handshake {
            let why = "another record inside a handshake message";
            return Err(Broken::new(AlertDescription::UnexpectedMessage, why));
        }
        Ok(Some(content))
    }

    /// A record that carries no data.
    fn after_handshake(&mut self, content: Content) -> Result<(), TlsError> {
        self.empty_records += 1;
        if self.empty_records > EMPTY_RECORDS_MAX {
            let why = "too many records without data";
            return Err(self.break_off(Broken::new(AlertDescription::UnexpectedMessage, why)));
        }
        let plain = self.inbox.plain_range();
        let length = plain.len();
        let outcome = match content {
            Content::Data => Ok(()),
            Content::Alert => return self.alert(plain),
            Content::Handshake => self.handshake(plain),
        };
        self.inbox.consume(length);
        outcome.map_err(|broken| self.break_off(broken))
    }

    fn alert(&mut self, at: Range<usize>) -> Result<(), TlsError> {
        let &[_, description] = self.inbox.at(at) else {
            let why = "an alert of another length";
            return Err(self.break_off(Broken::new(AlertDescription::DecodeError, why)));
        };
        self.inbox.consume(2);
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => {
                (self.is_closed, self.has_said_goodbye) = (true, true);
                Ok(())
            }
            // RFC 8446 section 6.1: a close_notify follows.
            AlertDescription::UserCanceled => Ok(()),
            other => Err(TlsError::Alert(other)),
        }
    }

    fn handshake(&mut self, at: Range<usize>) -> Result<(), Broken> {
        if at.is_empty() {
            // RFC 8446 section 5.1.
            let why = "an empty handshake record";
            return Err(Broken::new(AlertDescription::UnexpectedMessage, why));
        }
        let mut message = std::mem::take(&mut self.message);
        message.extend_from_slice(self.inbox.at(at));
        let mut rest = message.as_slice();
        while let Some((&[kind, high, middle, low], behind)) = rest.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes([0, high, middle, low])).unwrap_or(usize::MAX);
            if length > MESSAGE_MAX {
                let why = "a handshake message that is too long";
                return Err(Broken::new(AlertDescription::DecodeError, why));
            }
            let Some((body, behind)) = behind.split_at_checked(length) else { break };
            self.post_handshake(kind, body, behind)?;
            rest = behind;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    fn post_handshake(&mut self, kind: u8, body: &[u8], behind: &[u8]) -> Result<(), Broken> {
        match (kind, &mut self.kernel) {
            (NEW_SESSION_TICKET, Kernel::Client(kernel)) => kernel
                .handle_new_session_ticket(body)
                .map_err(|_| Broken::new(AlertDescription::DecodeError, "a ticket that is none")),
            (KEY_UPDATE, _) => self.key_update(body, behind),
            _ => Err(Broken::new(
                AlertDescription::UnexpectedMessage,
                "a handshake message after the handshake",
            )),
        }
    }

    fn key_update(&mut self, body: &[u8], behind: &[u8]) -> Result<(), Broken> {
        let is_asked = match body {
            [0] => false,
            [1] => true,
            [_] => {
                return Err(Broken::new(AlertDescription::IllegalParameter, "a key update of another kind"));
            }
            _ => return Err(Broken::new(AlertDescription::DecodeError, "a key update of another length")),
        };
        if !behind.is_empty() {
            // RFC 8446 section 5.1: messages do not span a change of keys.
            let why = "a message behind a key update";
            return Err(Broken::new(AlertDescription::UnexpectedMessage, why));
        }
        let secret = match &mut self.kernel {
            Kernel::Client(kernel) => kernel.update_rx_secret(),
            Kernel::Server(kernel) => kernel.update_rx_secret(),
        };
        self.opener = secret.ok().and_then(|secret| Opener::new(&secret).ok()).ok_or(NO_KEY)?;
        if is_asked && self.outbox.small_bytes() < WAITING_MAX {
            self.update_sending_key()?;
        }
        Ok(())
    }

    /// Tells the peer that what follows is sealed with the next key.
    fn update_sending_key(&mut self) -> Result<(), Broken> {
        self.queue(Content::Handshake, &KEY_UPDATE_MESSAGE);
        let secret = match &mut self.kernel {
            Kernel::Client(kernel) => kernel.update_tx_secret(),
            Kernel::Server(kernel) => kernel.update_tx_secret(),
        };
        self.sealer = secret.ok().and_then(|secret| Sealer::new(&secret).ok()).ok_or(NO_KEY)?;
        Ok(())
    }

    /// Sends an alert, if it can be sent without waiting.
    fn break_off(&mut self, broken: Broken) -> TlsError {
        self.queue_alert(broken.alert);
        let _: Poll<io::Result<()>> = self.poll_flush(&mut Context::from_waker(Waker::noop()));
        self.is_closed = true;
        TlsError::Protocol(broken.why.to_owned())
    }

    pub(super) fn queue_alert(&mut self, alert: AlertDescription) {
        self.queue(Content::Alert, &alert_bytes(alert));
    }

    /// Seals a few bytes of data, behind everything that waits.
    pub(in crate::proxy) fn queue_data(&mut self, bytes: &[u8]) {
        self.queue(Content::Data, bytes);
    }

    fn queue(&mut self, content: Content, bytes: &[u8]) {
        let small = self.outbox.small();
        let start = small.len();
        small.resize(start + HEADER + bytes.len() + TAIL, 0);
        small[start + HEADER..start + HEADER + bytes.len()].copy_from_slice(bytes);
        self.sealer.seal(content, &mut small[start..], bytes.len());
    }

    /// True when a batch can be put into the outbox.
    pub(in crate::proxy) fn takes_batch(&self) -> bool {
        !self.outbox.has_batch()
    }

    /// Seals data that lies in record-shaped slots of a buffer, full but for the last.
    pub(in crate::proxy) fn queue_batch(
        &mut self,
        mut buffer: Buffer,
        length: usize,
    ) -> Result<(), TlsError> {
        if self.sealer.is_worn() {
            self.update_sending_key().map_err(|broken| self.break_off(broken))?;
        }
        let (mut left, mut end) = (length, 0);
        while left > 0 {
            let payload = left.min(super::record::PAYLOAD_MAX);
            end += self.sealer.seal(Content::Data, &mut buffer[end..], payload);
            left -= payload;
        }
        self.outbox.put(buffer, 0..end);
        Ok(())
    }

    /// Sends what waits.
    pub(in crate::proxy) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.outbox.poll_flush(&self.stream, cx)
    }

    /// Reads more. Ready with 0 at the end of the stream, which is no end of TLS.
    pub(in crate::proxy) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.inbox.poll_fill(&self.stream, &self.pool, &mut self.retry, cx)
    }

    /// Waits until plaintext is there; false when the peer sends no more.
    pub(in crate::proxy) fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, TlsError>> {
        loop {
            if !self.inbox.plain().is_empty() {
                return Poll::Ready(Ok(true));
            }
            match self.open_next()? {
                Opened::Data => return Poll::Ready(Ok(true)),
                Opened::Closed => return Poll::Ready(Ok(false)),
                Opened::Nothing => {}
            }
            // An answer to what was just opened: a new key, an alert.
            let _: Poll<()> = self.poll_flush(cx)?;
            if ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(TlsError::Truncated));
            }
        }
    }

    #[cfg(test)]
    pub(in crate::proxy) fn wear_keys(&mut self) {
        self.sealer.wear();
    }
}

const NO_KEY: Broken = Broken::new(AlertDescription::InternalError, "no next key could be made");

impl fmt::Debug for Secured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secured").field("facts", &self.facts).finish_non_exhaustive()
    }
}
