//! Devices between two tenants: closed until scrubbed. It alone writes the kernel's custody table. It must not know how
//! policies are compiled, or who holds a device by what: it asks.

mod device;
mod edges;
mod keep;
mod receipts;
mod room;
pub mod scrub;
mod sign;
#[cfg(test)]
mod tests;
mod told;

pub use edges::{Crash, Edges, Step};
pub use keep::{Found, Keep, KeepError, Signed};
pub use room::{Parts, door, open};
pub use sign::{FileSigner, SafeSigner, Sign, SignError};
