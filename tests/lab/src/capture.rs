//! What passes on an interface, byte for byte: a witness that asks neither end.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

use crate::enter::Place;

/// Larger than any segment that is cut up only further down.
const FRAME_BYTES: usize = 128 << 10;
/// More than that is not kept: a capture is for a few connections.
const CAPTURE_BYTES_MAX: usize = 256 << 20;
const RECEIVE_BUFFER_BYTES: usize = 32 << 20;
/// How long after it is told to stop it may take to notice, and what is on its way still comes.
const PATIENCE: Duration = Duration::from_millis(100);

/// A capture that runs.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Vec<u8>>>>,
}

/// What was captured.
#[derive(Debug)]
pub struct Captured {
    frames: Vec<Vec<u8>>,
}

impl Capture {
    /// Listens from now on, on an interface of a network namespace.
    ///
    /// # Errors
    /// There is no such interface, or the kernel refused.
    pub fn start(place: &Place, interface: &str) -> Result<Self> {
        let (socket, index) = place.inside(|| open(interface))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || listen(&socket, index, &stopped));
        Ok(Self { stop, thread })
    }

    /// Ends it.
    ///
    /// # Errors
    /// The kernel refused, or more passed than is kept.
    pub fn stop(self) -> Result<Captured> {
        self.stop.store(true, Ordering::Relaxed);
        let frames = self.thread.join().map_err(|_| anyhow!("the capture panicked"))??;
        Ok(Captured { frames })
    }
}

impl Captured {
    /// True when these bytes are within a frame.
    #[must_use]
    pub fn shows(&self, bytes: &[u8]) -> bool {
        self.frames.iter().any(|frame| frame.windows(bytes.len()).any(|window| window == bytes))
    }

    /// Frames.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.frames.len()
    }

    /// True when nothing passed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

fn open(interface: &str) -> Result<(OwnedFd, usize)> {
    let index = if_nametoindex(interface).with_context(|| format!("interface {interface}"))?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .context("a packet socket")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(PATIENCE.as_millis().try_into()?))?;
    setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES)?;
    Ok((socket, usize::try_from(index)?))
}

/// Until it was told to stop and then nothing came for a while.
fn listen(socket: &OwnedFd, interface: usize, stop: &AtomicBool) -> Result<Vec<Vec<u8>>> {
    let (mut frames, mut kept) = (Vec::new(), 0);
    let mut buffer = vec![0; FRAME_BYTES];
    loop {
        match recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer) {
            Ok((length, from)) => {
                if from.is_some_and(|from| from.ifindex() == interface) {
                    kept += length;
                    anyhow::ensure!(kept <= CAPTURE_BYTES_MAX, "more passes than is kept");
                    frames.push(buffer.get(..length).unwrap_or_default().to_vec());
                }
            }
            Err(Errno::EAGAIN) if stop.load(Ordering::Relaxed) => return Ok(frames),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("capture"),
        }
    }
}
