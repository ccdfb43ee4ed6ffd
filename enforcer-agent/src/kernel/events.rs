//! Reading the ring buffers: security events first, then processes, then samples.

use std::mem::offset_of;
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{MapData, RingBuf};
use enforcer_common::event::{
    Event, Header, KIND_PROCESS_EXEC, KIND_PROCESS_EXIT, KIND_PROCESS_FORK, KIND_SOCKET_END,
    KIND_SOCKET_STATE, ProcessEvent, SocketEvent,
};
use enforcer_common::identity;
use enforcer_core::event::batch::Batch;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use super::error::KernelError;

/// The reader of the rings. Its descriptor is readable when one of them has something.
pub struct EventReader {
    epoll: Epoll,
    events: RingBuf<MapData>,
    processes: RingBuf<MapData>,
    samples: RingBuf<MapData>,
    /// Canary events that were left out: the gaps that they leave are no losses.
    left_out: u64,
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
        Ok(Self { epoll, events, processes, samples, left_out: 0 })
    }

    /// Puts up to `limit` events into `batch`, and says how many were read; fewer than `limit` means that the rings
    /// were empty. Canary operations are left out.
    pub fn drain(&mut self, limit: usize, batch: &mut Batch) -> usize {
        let mut taken = 0;
        for ring in [&mut self.events, &mut self.processes, &mut self.samples] {
            while taken < limit {
                let Some(item) = ring.next() else { break };
                taken += 1;
                if is_canary(&item) {
                    self.left_out += 1;
                } else if !batch.push(&item) {
                    return taken;
                }
            }
        }
        taken
    }

    /// How many canary events were left out so far.
    #[must_use]
    pub const fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl AsRawFd for EventReader {
    fn as_raw_fd(&self) -> RawFd {
        self.epoll.0.as_raw_fd()
    }
}

/// An event that one of our own canaries caused.
fn is_canary(bytes: &[u8]) -> bool {
    let kind = half(bytes, offset_of!(Header, kind)).unwrap_or(0);
    let identities: &[usize] = match kind {
        KIND_SOCKET_STATE | KIND_SOCKET_END => &[offset_of!(SocketEvent, identity)],
        KIND_PROCESS_EXEC | KIND_PROCESS_FORK | KIND_PROCESS_EXIT => &[offset_of!(ProcessEvent, identity)],
        _ => &[offset_of!(Event, source_identity), offset_of!(Event, destination_identity)],
    };
    let is_canary = |who| who == identity::CANARY || who == identity::CANARY_SERVICE;
    identities.iter().filter_map(|offset| word(bytes, *offset)).any(is_canary)
}

fn half(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk().map(|half| u16::from_ne_bytes(*half))
}

fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk().map(|word| u32::from_ne_bytes(*word))
}
