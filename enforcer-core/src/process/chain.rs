//! The ancestors of a process.

use std::sync::Arc;

use enforcer_common::identity;

use super::Table;
use super::image::Program;
use super::life::{Key, Life};

/// Ancestors that are told at most.
pub const CHAIN_MAX: usize = 8;

/// One ancestor, as it was when it made the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The process.
    pub key: Key,
    /// What it ran.
    pub program: Arc<Program>,
}

impl Table {
    /// The parent of a process, that one's parent, and so on: as far as they are known, at most [`CHAIN_MAX`], and not
    /// beyond another tenant's.
    #[must_use]
    pub fn ancestors(&self, key: Key, life: &Life) -> Arc<[Link]> {
        if let Some(chain) = life.chain.get() {
            return Arc::clone(chain);
        }
        let (links, is_whole) = self.climb(key, life);
        let links: Arc<[Link]> = links.into();
        // A parent of which nothing is known may still be heard of.
        if is_whole {
            let _ = life.chain.set(Arc::clone(&links));
        }
        links
    }

    fn climb(&self, key: Key, life: &Life) -> (Vec<Link>, bool) {
        let own = life.image_at(u64::MAX).map_or(identity::HOST, |image| image.identity);
        let mut links: Vec<Link> = Vec::new();
        let (mut child, mut parent) = (key, life.parent);
        while let Some(wanted) = parent {
            if links.len() == CHAIN_MAX {
                break;
            }
            let Some((found, above)) = self.find(wanted, child.start_ns) else { return (links, false) };
            let is_younger = found.start_ns > child.start_ns;
            if is_younger || found == key || links.iter().any(|link| link.key == found) {
                break;
            }
            let Some(image) = above.image_at(child.start_ns) else { return (links, false) };
            if image.identity != own && identity::is_tenant(image.identity) {
                break;
            }
            links.push(Link { key: found, program: Arc::clone(&image.program) });
            (child, parent) = (found, above.parent);
        }
        (links, true)
    }
}
