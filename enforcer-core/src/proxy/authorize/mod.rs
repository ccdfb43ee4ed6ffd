//! Whether a flow may go through the tunnel. The answer is a [`Permit`], which only [`Court::authorize`] makes: who
//! carries a flow asks for one, so nothing is carried that was not authorised.
//!
//! Rules are heard by the very `decide()` that the kernel runs, over the tables it would be given; see `tables`.

mod court;
mod parties;
mod permit;
mod tables;

pub use court::Court;
pub use parties::{Inbound, Outbound, Parties};
pub use permit::{Permit, Refusal};
