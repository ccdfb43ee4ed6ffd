//! TLS 1.3 between two ends of a tunnel: configurations computed once per credential, handshakes driven on rustls,
//! and a record layer of our own that seals and opens in place. It knows certificates and bytes, no flows and no
//! policy.

mod alert;
mod check;
mod configs;
mod error;
mod handshake;
mod inbox;
mod outbox;
mod pool;
mod record;
mod secured;
mod sessions;
pub(in crate::proxy) mod socket;
mod stream;
#[cfg(test)]
pub(in crate::proxy) mod tests;
mod verifier;

pub use check::{Clock, PeerCheck};
pub use configs::{Configs, Hops};
pub use error::{TlsError, TlsErrorKind};
pub use handshake::{Destination, accept, connect};
pub(in crate::proxy) use pool::{Appetite, Purpose, RECORDS_MAX, Size};
pub use pool::{Boundless, Buffer, Pool, Purse};
pub(in crate::proxy) use record::{HEADER, PAYLOAD_MAX, SLOT};
pub(in crate::proxy) use secured::Opened;
pub use secured::{Facts, Hop, Secured};
pub use stream::SecuredStream;
