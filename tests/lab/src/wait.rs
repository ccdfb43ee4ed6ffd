//! Waiting for a condition until a deadline: the only way to wait here.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How many times longer everything may take on this machine than on one of our own: an integer.
pub const PATIENCE: &str = "ENFORCER_TEST_PATIENCE";

const POLL: Duration = Duration::from_millis(10);

/// A limit on this machine, from a limit that suits a machine of our own.
#[must_use]
pub fn patient(limit: Duration) -> Duration {
    limit * factor()
}

/// How many of many like rounds to run on this machine, from a number that suits a machine of our own.
#[must_use]
pub fn rounds(many: u32) -> u32 {
    many.div_ceil(factor())
}

fn factor() -> u32 {
    static FACTOR: LazyLock<u32> = LazyLock::new(|| {
        let word = std::env::var(PATIENCE).ok().and_then(|word| word.parse().ok());
        word.filter(|factor| *factor > 0).unwrap_or(1)
    });
    *FACTOR
}

/// Asks until there is an answer.
///
/// # Errors
/// There was none within a patient `limit`; or asking failed.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let limit = patient(limit);
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {:.1} s", limit.as_secs_f64());
        }
        std::thread::sleep(POLL);
    }
}

/// Asks until it is true.
///
/// # Errors
/// It was not within `limit`; or asking failed.
pub fn until_true(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || Ok(ask()?.then_some(())))
}

/// Watches for a while that something stays true.
///
/// # Errors
/// It did not; or asking failed.
pub fn stays_true(what: &str, span: Duration, mut ask: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + span;
    while Instant::now() < end {
        if !ask()? {
            bail!("{what}: no longer true");
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_ends_the_waiting() {
        let error = until_true("never", Duration::from_millis(30), || Ok(false)).unwrap_err();
        assert!(error.to_string().starts_with("never"));
        let mut asked = 0;
        until_true("third time", Duration::from_secs(5), || {
            asked += 1;
            Ok(asked == 3)
        })
        .unwrap();
        assert_eq!(asked, 3);
    }
}
