//! A safe that lives as long as a test.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};

use zeroize::Zeroizing;

use crate::door::safe::{Safe, SafeError};

type Drawers = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

#[derive(Default)]
pub(super) struct Memory {
    drawers: Mutex<Drawers>,
    refuses: AtomicBool,
}

impl Memory {
    pub(super) fn holds(&self, drawer: &str) -> bool {
        self.drawers().contains_key(drawer)
    }

    pub(super) fn refuse_to_destroy(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    fn drawers(&self) -> MutexGuard<'_, Drawers> {
        self.drawers.lock().unwrap()
    }
}

impl Safe for Memory {
    fn put(&self, drawer: &str, item: &str, contents: &[u8]) -> Result<(), SafeError> {
        self.drawers().entry(drawer.to_owned()).or_default().insert(item.to_owned(), contents.to_owned());
        Ok(())
    }

    fn get(&self, drawer: &str, item: &str) -> Result<Option<Zeroizing<Vec<u8>>>, SafeError> {
        Ok(self.drawers().get(drawer).and_then(|items| items.get(item)).cloned().map(Zeroizing::new))
    }

    fn items(&self, drawer: &str) -> Result<Vec<String>, SafeError> {
        Ok(self.drawers().get(drawer).map(|items| items.keys().cloned().collect()).unwrap_or_default())
    }

    fn destroy(&self, drawer: &str) -> Result<(), SafeError> {
        if self.refuses.load(Ordering::Relaxed) {
            return Err(SafeError("the disk says no".to_owned()));
        }
        self.drawers().remove(drawer);
        Ok(())
    }
}
