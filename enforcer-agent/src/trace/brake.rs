//! Stops a reader of the store: one that nobody waits for any more, or that takes too long. A reader asks for a key before
//! each file, and none is given to it then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use enforcer_trace::keys::{KeyError, Keys, TenantKey};

/// Keys until the brake is pulled.
pub(super) struct Brake {
    keys: Arc<dyn Keys>,
    pulled: AtomicBool,
}

impl Brake {
    pub(super) fn new(keys: Arc<dyn Keys>) -> Arc<Self> {
        Arc::new(Self { keys, pulled: AtomicBool::new(false) })
    }

    pub(super) fn pull(&self) {
        self.pulled.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_pulled(&self) -> bool {
        self.pulled.load(Ordering::Relaxed)
    }
}

impl Keys for Brake {
    fn tenant(&self, tenant: &str) -> Result<TenantKey, KeyError> {
        self.keys.tenant(tenant)
    }

    fn existing(&self, master_key_id: &str) -> Result<TenantKey, KeyError> {
        if self.is_pulled() {
            let reason = "nobody waits for the answer".to_owned();
            return Err(KeyError::Unavailable { id: master_key_id.to_owned(), reason });
        }
        self.keys.existing(master_key_id)
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        self.keys.sign(message)
    }

    fn public(&self) -> [u8; 32] {
        self.keys.public()
    }
}
