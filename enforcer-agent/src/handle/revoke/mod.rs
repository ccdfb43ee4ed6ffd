//! Revocation, step by step: each step says what it did and how long it took, and the last word says what is true now.

mod contain;
mod gate;
mod ladder;
mod reset;
mod wish;

use std::sync::Arc;

use super::desk::Desk;
use crate::door::device::Revocation;

use ladder::Ladder;

/// Takes up an operator's wish, if it makes sense and nobody else is at the same device.
///
/// # Errors
/// Why not, in a sentence.
pub(super) fn begin(desk: &Arc<Desk>, revocation: &Revocation) -> Result<Ladder, String> {
    let wish = wish::parse(&desk.parts.policy.in_force(), revocation)?;
    let taken = ladder::Taken::take(desk, &wish)?;
    Ok(Ladder::new(wish, taken))
}
