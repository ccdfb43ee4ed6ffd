//! Our own hop: one flow at a time on a secured connection, in frames of `enforcer_core::proxy::native`. It knows
//! bytes and their order, no policy.

mod ended;
mod frames;
mod relay;
#[cfg(test)]
mod tests;

pub use ended::{Ended, FlowError, Limits, Traffic};
pub use frames::{Next, accept, next_open, open, refuse};
pub use relay::{Side, relay};
