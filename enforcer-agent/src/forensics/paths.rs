//! Paths of control groups by id, remembered: when an event is read, its group may already be gone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// From a control group's id to its path, while the group exists: another room's knowledge.
pub type PathLookup = Arc<dyn Fn(u64) -> Option<String> + Send + Sync>;

/// Paths that are remembered. Ids are never used twice, so a path that is forgotten is only not shown.
const CAPACITY: usize = 16_384;

pub(super) struct Paths {
    lookup: PathLookup,
    known: HashMap<u64, Arc<str>>,
    order: VecDeque<u64>,
    capacity: usize,
}

impl Paths {
    pub(super) fn new(lookup: PathLookup) -> Self {
        Self::with_capacity(lookup, CAPACITY)
    }

    fn with_capacity(lookup: PathLookup, capacity: usize) -> Self {
        Self { lookup, known: HashMap::new(), order: VecDeque::new(), capacity }
    }

    /// The path of a group; 0 is no group.
    pub(super) fn of(&mut self, cgroup: u64) -> Option<Arc<str>> {
        if cgroup == 0 {
            return None;
        }
        if let Some(path) = self.known.get(&cgroup) {
            return Some(Arc::clone(path));
        }
        let path: Arc<str> = (self.lookup)(cgroup)?.into();
        if self.order.len() >= self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(cgroup);
        self.known.insert(cgroup, Arc::clone(&path));
        Some(path)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_path_outlives_its_group_until_too_many_came_after() {
        let alive = Arc::new(Mutex::new(vec![1, 2, 3]));
        let groups = Arc::clone(&alive);
        let lookup: PathLookup =
            Arc::new(move |id| groups.lock().unwrap().contains(&id).then(|| format!("/{id}")));
        let mut paths = Paths::with_capacity(lookup, 2);
        assert_eq!(paths.of(1).as_deref(), Some("/1"));
        assert_eq!(paths.of(0), None);
        assert_eq!(paths.of(9), None);
        alive.lock().unwrap().retain(|id| *id != 1);
        assert_eq!(paths.of(1).as_deref(), Some("/1"));
        assert_eq!(paths.of(2).as_deref(), Some("/2"));
        assert_eq!(paths.of(3).as_deref(), Some("/3"));
        assert_eq!(paths.of(1), None);
        assert_eq!(paths.known.len(), 2);
    }
}
