//! Reading the ring buffers: security events first, then processes, then samples.

use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{MapData, RingBuf};
use enforcer_core::event::batch::Batch;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::error::KernelError;

/// The reader of the rings. Its descriptor is readable when one of them has something.
pub struct EventReader {
    epoll: Epoll,
    events: RingBuf<MapData>,
    processes: RingBuf<MapData>,
    samples: RingBuf<MapData>,
}

impl EventReader {
    pub(super) fn new(
        events: RingBuf<MapData>,
        processes: RingBuf<MapData>,
        samples: RingBuf<MapData>,
    ) -> Result<Self, KernelError> {
        let fail = |error: nix::Error| KernelError::File {
            operation: "poll",
            path: "EVENTS".into(),
            error: error.into(),
        };
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(fail)?;
        for ring in [&events, &processes, &samples].map(AsRawFd::as_raw_fd) {
            // SAFETY: the rings live as long as the epoll instance beside them.
            let ring = unsafe { std::os::fd::BorrowedFd::borrow_raw(ring) };
            epoll.add(ring, EpollEvent::new(EpollFlags::EPOLLIN, 0)).map_err(fail)?;
        }
        Ok(Self { epoll, events, processes, samples })
    }

    /// Puts up to `limit` events into `batch`, and says how many were read; fewer than `limit` means that the rings
    /// were empty. Canary operations are among them: they have numbers too.
    pub fn drain(&mut self, limit: usize, batch: &mut Batch) -> usize {
        let mut taken = 0;
        for ring in [&mut self.events, &mut self.processes, &mut self.samples] {
            while taken < limit {
                let Some(item) = ring.next() else { break };
                taken += 1;
                if !batch.push(&item) {
                    return taken;
                }
            }
        }
        taken
    }
}

impl AsRawFd for EventReader {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }
}
