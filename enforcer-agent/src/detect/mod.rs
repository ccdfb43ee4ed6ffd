//! The detection room: follows the records, says what is unusual, and has done what the operator's rules ask for. What
//! is unusual is decided in `enforcer_core::detect`; here are the clock, the files and the hands. It knows no other room.

mod answer;
mod hands;
mod keep;
mod load;
mod room;
#[cfg(test)]
mod tests;

pub use hands::{Hands, Lasting};
pub use keep::KeepError;
pub use load::{RulesError, load};
pub use room::{Parts, open};
