//! Time of day and chance, as the identity room takes them: both can be replaced in tests.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The machine's time of day; zero before 1970.
#[must_use]
pub fn system() -> Clock {
    Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

/// A number in `0.0..1.0`: for spreading, not for secrets. The middle when the system has no randomness.
#[must_use]
pub fn die() -> f64 {
    let mut bytes = [0; 4];
    match aws_lc_rs::rand::fill(&mut bytes) {
        Ok(()) => f64::from(u32::from_ne_bytes(bytes)) / (f64::from(u32::MAX) + 1.0),
        Err(_) => 0.5,
    }
}
