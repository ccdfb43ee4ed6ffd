//! Processes by number and time: who had a process id when something happened. Pure: events, `/proc` as somebody read it,
//! and the time are arguments. It must not know policies, control groups' paths or records.
//!
//! A process is its id together with its start: an id that is used again is another process. Ended processes are kept for a
//! while, since what they did may be told after they ended.

mod chain;
mod image;
mod life;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

use enforcer_common::event::{
    KIND_PROCESS_EXIT, KIND_PROCESS_FORK, PROCESS_PARENT_ABSENT, PROCESS_START_ABSENT, ProcessEvent,
};

pub use chain::{CHAIN_MAX, Link};
pub use image::{Image, Program};
pub use life::{Gap, Key, Life};

/// Nanoseconds of a clock tick, to which `/proc/PID/stat` rounds a start down: `USER_HZ` is 100 for every program.
pub const TICK_NS: u64 = 10_000_000;

/// How much is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Processes, ended ones included.
    pub processes: usize,
    /// Bytes of names and arguments.
    pub bytes: usize,
    /// How long ended processes are kept, in nanoseconds.
    pub linger_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { processes: 32_768, bytes: 32 << 20, linger_ns: 60_000_000_000 }
    }
}

/// What was read of a process in `/proc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Process id (thread group).
    pub pid: u32,
    /// Its start, rounded down to [`TICK_NS`].
    pub start_ns: u64,
    /// Its parent now; 0 for none.
    pub parent: u32,
    /// What it runs, and for whom.
    pub image: Image,
}

/// What is held, and what was pushed out while it still ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Processes.
    pub processes: usize,
    /// Bytes of names and arguments, shared ones counted for each process.
    pub bytes: usize,
    /// Running processes that were forgotten because there was no room.
    pub evicted: u64,
}

/// The processes of a node.
#[derive(Clone, Debug, Default)]
pub struct Table {
    limits: Limits,
    lives: BTreeMap<Key, Life>,
    /// Ended ones, as their ends were told.
    ended: VecDeque<(u64, Key)>,
    /// As they were heard of; some may be gone.
    order: VecDeque<Key>,
    bytes: usize,
    evicted: u64,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// What is held.
    #[must_use]
    pub fn totals(&self) -> Totals {
        Totals { processes: self.lives.len(), bytes: self.bytes, evicted: self.evicted }
    }

    /// Takes what the kernel tells of a process, in whatever order it comes.
    pub fn apply(&mut self, event: &ProcessEvent) {
        let key = self.key_of(event);
        let parent = (event.flags & PROCESS_PARENT_ABSENT == 0 && event.parent != 0)
            .then_some(Key { pid: event.parent, start_ns: event.parent_start_ns });
        let program = match event.header.kind {
            // A child runs what its parent ran, until it executes something else.
            KIND_PROCESS_FORK => parent.and_then(|parent| self.program_at(parent, event.header.boot_ns)),
            KIND_PROCESS_EXIT => None,
            _ => Some(Program::of(event).into()),
        };
        let is_exit = event.header.kind == KIND_PROCESS_EXIT;
        let is_known = self.lives.contains_key(&key);
        self.live(key, |life| {
            life.parent = life.parent.or(parent);
            // An exit tells of nothing new, unless nothing was known.
            if !is_exit || !is_known {
                life.add(Image::of(event, program.unwrap_or_default()));
            }
            if is_exit {
                life.ended_ns.get_or_insert(event.header.boot_ns);
            }
        });
        if is_exit {
            self.ended.push_back((event.header.boot_ns, key));
        }
        self.shrink(event.header.boot_ns);
    }

    /// Takes what was read in `/proc` at `now_ns`. What the kernel told of the same process stays.
    pub fn seed(&mut self, seen: Seen, now_ns: u64) {
        let Seen { pid, start_ns, parent, image } = seen;
        if let Some((key, life)) = self.newest_mut(pid, now_ns)
            && life.ended_ns.is_none()
            && rounded(key.start_ns) == rounded(start_ns)
        {
            // It is known. Where it runs may have changed since, without a word from the kernel.
            let is_moved = life.images.last().is_some_and(|last| last.cgroup != image.cgroup);
            let is_nameless = life.images.last().is_none_or(|last| last.program.executable.is_empty());
            if is_moved || is_nameless {
                self.live(key, |life| life.add(Image { since_ns: now_ns, ..image }));
            }
            return;
        }
        let key = Key { pid, start_ns };
        self.live(key, |life| {
            life.is_rounded = true;
            life.parent = (parent != 0).then_some(Key { pid: parent, start_ns: 0 });
            life.add(Image { since_ns: start_ns, ..image });
        });
        self.shrink(now_ns);
    }

    /// Who had the id at that time, for what a process did itself.
    ///
    /// # Errors
    /// It was not seen.
    pub fn running(&self, pid: u32, at_ns: u64) -> Result<(Key, &Life), Gap> {
        let (key, life) = self.newest(pid, at_ns).ok_or(Gap::NotSeen)?;
        if life.ended_ns.is_some_and(|ended| ended < at_ns) {
            // Its successor was not seen: its name would be a wrong one.
            return Err(Gap::NotSeen);
        }
        Ok((key, life))
    }

    /// Who had the id at that time or before and made a socket in this control group: the maker may be gone, and its id
    /// may be another's by now.
    ///
    /// # Errors
    /// It was not seen, belongs elsewhere, or two had the id in that group.
    pub fn maker(&self, pid: u32, at_ns: u64, cgroup: u64) -> Result<(Key, &Life), Gap> {
        let had_it = self.lives.range(Key { pid, start_ns: 0 }..=Key { pid, start_ns: at_ns });
        let is_here = |life: &Life| cgroup == 0 || life.images.iter().any(|image| image.cgroup == cgroup);
        let mut is_seen = false;
        let mut here = had_it.inspect(|_| is_seen = true).filter(|(_, life)| is_here(life));
        match (here.next(), here.next()) {
            (Some((key, life)), None) => Ok((*key, life)),
            (Some(_), Some(_)) => Err(Gap::Elsewhere),
            (None, _) => Err(if is_seen { Gap::Elsewhere } else { Gap::NotSeen }),
        }
    }

    fn key_of(&self, event: &ProcessEvent) -> Key {
        let pid = event.process;
        if event.flags & PROCESS_START_ABSENT == 0 {
            return Key { pid, start_ns: event.start_ns };
        }
        // Only a fork says when it was; else it is whoever has the id.
        match (event.header.kind, self.newest(pid, event.header.boot_ns)) {
            (KIND_PROCESS_FORK, _) | (_, None) => Key { pid, start_ns: event.header.boot_ns },
            (_, Some((key, _))) => key,
        }
    }

    fn program_at(&self, parent: Key, at_ns: u64) -> Option<std::sync::Arc<Program>> {
        let (_, life) = self.find(parent, at_ns)?;
        Some(std::sync::Arc::clone(&life.image_at(at_ns)?.program))
    }

    /// The life that began last, at `at_ns` or before.
    fn newest(&self, pid: u32, at_ns: u64) -> Option<(Key, &Life)> {
        let mut lives = self.lives.range(Key { pid, start_ns: 0 }..=Key { pid, start_ns: at_ns });
        lives.next_back().map(|(key, life)| (*key, life))
    }

    fn newest_mut(&mut self, pid: u32, at_ns: u64) -> Option<(Key, &mut Life)> {
        let mut lives = self.lives.range_mut(Key { pid, start_ns: 0 }..=Key { pid, start_ns: at_ns });
        lives.next_back().map(|(key, life)| (*key, life))
    }

    /// The life of a key; one whose start is not known, or was rounded, is found by time.
    fn find(&self, key: Key, at_ns: u64) -> Option<(Key, &Life)> {
        if key.start_ns == 0 {
            return self.newest(key.pid, at_ns);
        }
        let exact = self.lives.get(&key).map(|life| (key, life));
        exact.or_else(|| {
            let rough = Key { start_ns: rounded(key.start_ns), ..key };
            self.lives.get(&rough).filter(|life| life.is_rounded).map(|life| (rough, life))
        })
    }

    /// Changes a life, which begins if there is none.
    fn live(&mut self, key: Key, change: impl FnOnce(&mut Life)) {
        let rough = Key { start_ns: rounded(key.start_ns), ..key };
        if !self.lives.contains_key(&key)
            && let Some(mut life) = self.lives.remove(&rough).filter(|life| life.is_rounded)
        {
            // Now its start is known exactly.
            life.is_rounded = false;
            self.lives.insert(key, life);
            self.order.push_back(key);
        }
        let mut before = 0;
        let life = match self.lives.entry(key) {
            Entry::Occupied(known) => {
                before = known.get().bytes();
                known.into_mut()
            }
            Entry::Vacant(place) => {
                self.order.push_back(key);
                place.insert(Life::default())
            }
        };
        change(life);
        life.forget_chain();
        self.bytes = self.bytes + life.bytes() - before;
    }

    /// Lets go of what ended long ago; for want of room, of what ended, and at last of what was heard of first.
    fn shrink(&mut self, now_ns: u64) {
        while let Some((ended_ns, key)) = self.ended.front().copied() {
            let is_old = ended_ns.saturating_add(self.limits.linger_ns) < now_ns;
            if !is_old && !self.is_full() && self.ended.len() <= self.limits.processes {
                break;
            }
            self.ended.pop_front();
            if self.lives.get(&key).is_some_and(|life| life.ended_ns == Some(ended_ns)) {
                self.forget(key);
            }
        }
        while self.is_full() {
            let Some(key) = self.order.pop_front() else { break };
            if self.forget(key) {
                self.evicted = self.evicted.saturating_add(1);
            }
        }
        if self.order.len() > self.limits.processes.saturating_mul(2) {
            let lives = &self.lives;
            let mut seen = std::collections::BTreeSet::new();
            self.order.retain(|key| lives.contains_key(key) && seen.insert(*key));
        }
    }

    fn is_full(&self) -> bool {
        self.lives.len() > self.limits.processes || self.bytes > self.limits.bytes
    }

    fn forget(&mut self, key: Key) -> bool {
        let Some(life) = self.lives.remove(&key) else { return false };
        self.bytes = self.bytes.saturating_sub(life.bytes());
        true
    }
}

const fn rounded(start_ns: u64) -> u64 {
    start_ns - start_ns % TICK_NS
}

#[cfg(test)]
mod tests;
