//! A process from its start to its end.

use std::sync::{Arc, OnceLock};

use super::chain::Link;
use super::image::Image;

/// Programs of one process that are remembered: the latest.
const IMAGES_MAX: usize = 3;

/// A process, and no other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Process id (thread group) in the initial namespace.
    pub pid: u32,
    /// Its start, `CLOCK_BOOTTIME` nanoseconds; 0 when it is not known.
    pub start_ns: u64,
}

/// Why a process is not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Nothing was heard of it.
    NotSeen,
    /// Whoever had the id was in another control group.
    Elsewhere,
}

impl Gap {
    /// In words, as records say it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotSeen => "not seen: gone before it was looked up",
            Self::Elsewhere => "its id was used again, or it changed its control group",
        }
    }
}

/// What is known of a process.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// What it ran, in the order of time; at least one, at most [`IMAGES_MAX`].
    pub(super) images: Vec<Image>,
    pub(super) parent: Option<Key>,
    pub(super) ended_ns: Option<u64>,
    /// Its start was rounded down to a tick.
    pub(super) is_rounded: bool,
    /// Its ancestors, once they were asked for.
    pub(super) chain: OnceLock<Arc<[Link]>>,
}

impl Life {
    /// What it ran at a time; what it ran first when that was before.
    #[must_use]
    pub fn image_at(&self, at_ns: u64) -> Option<&Image> {
        let then = self.images.iter().rev().find(|image| image.since_ns <= at_ns);
        then.or_else(|| self.images.first())
    }

    /// When it ended, if it was seen to.
    #[must_use]
    pub const fn ended_ns(&self) -> Option<u64> {
        self.ended_ns
    }

    /// Puts an image in its place in time. Of two at the same time the one that knows its program stays.
    pub(super) fn add(&mut self, image: Image) {
        let place = self.images.partition_point(|known| known.since_ns < image.since_ns);
        match self.images.get_mut(place) {
            Some(known) if known.since_ns == image.since_ns => {
                if known.program.executable.is_empty() {
                    *known = image;
                }
            }
            _ => self.images.insert(place, image),
        }
        if self.images.len() > IMAGES_MAX {
            self.images.remove(0);
        }
    }

    pub(super) fn forget_chain(&mut self) {
        self.chain = OnceLock::new();
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Key>()
            + size_of::<Self>()
            + self.images.iter().map(|image| size_of::<Image>() + image.program.bytes()).sum::<usize>()
    }
}
