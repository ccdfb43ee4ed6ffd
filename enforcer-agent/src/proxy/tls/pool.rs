//! Buffers of one tenant, shaped for records, within the tenant's budget. A buffer never moves to another tenant:
//! each has a pool of its own.

use std::fmt;
use std::future::Future as _;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

use super::record::SLOT;

/// How soon a flow that got no buffer asks again.
const RETRY: Duration = Duration::from_millis(5);

/// A tenant's budget of buffered bytes.
pub trait Purse: Send + Sync {
    /// Takes bytes; false when there are not so many left.
    fn take(&self, bytes: usize) -> bool;
    /// Gives back what was taken.
    fn give(&self, bytes: usize);
}

/// A purse without a bottom.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boundless;

impl Purse for Boundless {
    fn take(&self, _: usize) -> bool {
        true
    }

    fn give(&self, _: usize) {}
}

/// What a buffer is for. Two nodes whose budgets were both used up by what they send, each waiting for the other to
/// read, would wait for ever: so sending leaves something to read with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Purpose {
    /// What the peer sent.
    Receive,
    /// What the peer is to read.
    Send,
}

impl Purpose {
    const fn leaves(self) -> usize {
        match self {
            Self::Receive => 0,
            Self::Send => Size::Large.bytes(),
        }
    }
}

/// How many records fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::proxy) enum Size {
    /// One record: what everybody begins with.
    Small,
    /// Four.
    Medium,
    /// Sixteen.
    Large,
}

/// The most records of any buffer.
pub(in crate::proxy) const RECORDS_MAX: usize = 16;

impl Size {
    /// Records.
    pub(in crate::proxy) const fn records(self) -> usize {
        match self {
            Self::Small => 1,
            Self::Medium => 4,
            Self::Large => RECORDS_MAX,
        }
    }

    /// Bytes.
    pub(in crate::proxy) const fn bytes(self) -> usize {
        self.records() * SLOT
    }

    const fn larger(self) -> Self {
        match self {
            Self::Small => Self::Medium,
            Self::Medium | Self::Large => Self::Large,
        }
    }

    const fn smaller(self) -> Self {
        match self {
            Self::Small | Self::Medium => Self::Small,
            Self::Large => Self::Medium,
        }
    }

    /// Free buffers that are kept: 1 MiB a tenant at most.
    const fn kept(self) -> usize {
        match self {
            Self::Small => 16,
            Self::Medium => 4,
            Self::Large => 2,
        }
    }
}

/// What to ask for next: more after full reads only, less after several small ones.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) struct Appetite {
    size: Size,
    small: u8,
}

impl Appetite {
    /// Small reads in a row until less is asked for.
    const SMALL_READS: u8 = 4;

    pub(in crate::proxy) const fn new() -> Self {
        Self { size: Size::Small, small: 0 }
    }

    pub(in crate::proxy) const fn size(self) -> Size {
        self.size
    }

    /// Learns from a read of so many bytes into room for so many.
    pub(in crate::proxy) fn learn(&mut self, read: usize, room: usize) {
        if read == room && room >= self.size.bytes() / 2 {
            *self = Self { size: self.size.larger(), small: 0 };
        } else if read * 4 > self.size.bytes() {
            self.small = 0;
        } else if self.size > Size::Small {
            self.small += 1;
            if self.small >= Self::SMALL_READS {
                *self = Self { size: self.size.smaller(), small: 0 };
            }
        }
    }
}

/// The buffers of one tenant.
pub struct Pool {
    purse: Arc<dyn Purse>,
    free: Mutex<[Vec<Box<[u8]>>; 3]>,
}

impl Pool {
    /// Within this budget.
    #[must_use]
    pub fn new(purse: Arc<dyn Purse>) -> Arc<Self> {
        Arc::new(Self { purse, free: Mutex::default() })
    }

    /// Gives a buffer of this size, or of the next smaller one that the budget allows.
    pub(in crate::proxy) fn take(self: &Arc<Self>, size: Size, purpose: Purpose) -> Option<Buffer> {
        let (mut size, leaves) = (size, purpose.leaves());
        while !self.purse.take(size.bytes() + leaves) {
            if size == Size::Small {
                return None;
            }
            size = size.smaller();
        }
        self.purse.give(leaves);
        let known = self.free.lock().unwrap_or_else(PoisonError::into_inner)[size as usize].pop();
        let bytes = known.unwrap_or_else(|| vec![0; size.bytes()].into_boxed_slice());
        Some(Buffer { bytes, size, pool: Arc::clone(self) })
    }

    /// As [`Self::take`], and waits when there is nothing left. `retry` is the caller's, kept from call to call.
    pub(in crate::proxy) fn poll_take(
        self: &Arc<Self>,
        size: Size,
        purpose: Purpose,
        retry: &mut Option<Pin<Box<Sleep>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Buffer> {
        loop {
            if let Some(buffer) = self.take(size, purpose) {
                *retry = None;
                return Poll::Ready(buffer);
            }
            let waiting = retry.get_or_insert_with(|| Box::pin(sleep(RETRY)));
            if waiting.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            *retry = None;
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// A buffer, which goes back to its pool.
pub struct Buffer {
    bytes: Box<[u8]>,
    size: Size,
    pool: Arc<Pool>,
}

impl Buffer {
    pub(in crate::proxy) const fn size(&self) -> Size {
        self.size
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.purse.give(self.size.bytes());
        let mut free = self.pool.free.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = &mut free[self.size as usize];
        if shelf.len() < self.size.kept() {
            shelf.push(std::mem::take(&mut self.bytes));
        }
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Few(AtomicUsize);

    impl Purse for Few {
        fn take(&self, bytes: usize) -> bool {
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
        }

        fn give(&self, bytes: usize) {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_pool_gives_what_the_purse_holds_and_takes_it_back() {
        let purse = Arc::new(Few(AtomicUsize::new(Size::Medium.bytes() + Size::Small.bytes())));
        let pool = Pool::new(Arc::clone(&purse) as Arc<dyn Purse>);
        let medium = pool.take(Size::Large, Purpose::Receive).unwrap();
        assert_eq!(medium.size(), Size::Medium);
        let small = pool.take(Size::Large, Purpose::Receive).unwrap();
        assert_eq!(small.size(), Size::Small);
        assert!(pool.take(Size::Small, Purpose::Receive).is_none());
        drop(small);
        assert!(pool.take(Size::Small, Purpose::Send).is_none(), "nothing would be left to read with");
        drop(medium);
        assert_eq!(purse.0.load(Ordering::Relaxed), Size::Medium.bytes() + Size::Small.bytes());
        assert_eq!(pool.take(Size::Medium, Purpose::Receive).unwrap().len(), Size::Medium.bytes());
    }

    #[test]
    fn appetite_grows_on_full_reads_only() {
        let mut appetite = Appetite::new();
        appetite.learn(100, SLOT);
        assert_eq!(appetite.size(), Size::Small);
        appetite.learn(SLOT, SLOT);
        appetite.learn(4 * SLOT, 4 * SLOT);
        assert_eq!(appetite.size(), Size::Large);
        for _ in 0..2 * Appetite::SMALL_READS {
            appetite.learn(100, 16 * SLOT);
        }
        assert_eq!(appetite.size(), Size::Small);
    }
}
