//! Who made a socket, by its cookie: for records of the tunnel, which knows the socket and not the process.

use std::collections::{HashMap, VecDeque};

/// Sockets that are remembered: the latest. Cookies are never used twice.
const CAPACITY: usize = 32_768;

/// Who made a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) cgroup: u64,
    /// When it was heard of.
    pub(super) at_ns: u64,
}

#[derive(Default)]
pub(super) struct Sockets {
    owners: HashMap<u64, Owner>,
    order: VecDeque<u64>,
}

impl Sockets {
    pub(super) fn remember(&mut self, cookie: u64, owner: Owner) {
        if cookie == 0 || owner.pid == 0 || self.owners.contains_key(&cookie) {
            return;
        }
        if self.order.len() >= CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.owners.remove(&oldest);
        }
        self.order.push_back(cookie);
        self.owners.insert(cookie, owner);
    }

    pub(super) fn owner(&self, cookie: u64) -> Option<Owner> {
        self.owners.get(&cookie).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_sockets_are_remembered_and_no_more() {
        let mut sockets = Sockets::default();
        let owner = |pid| Owner { pid, cgroup: 1, at_ns: 2 };
        for cookie in 0..=u64::try_from(CAPACITY).unwrap() + 1 {
            sockets.remember(cookie, owner(7));
        }
        sockets.remember(5_000, owner(8));
        sockets.remember(6_000_000, owner(0));
        assert_eq!((sockets.owner(0), sockets.owner(1), sockets.owner(6_000_000)), (None, None, None));
        assert_eq!(sockets.owner(5_000), Some(owner(7)));
        assert_eq!(sockets.owners.len(), CAPACITY);
    }
}
