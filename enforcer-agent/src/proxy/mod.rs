//! The tunnel: flows that the policy allows over mutual TLS, carried from one workload's end to the other's. It meets
//! the other rooms through [`crate::door::tunnel`].

pub mod budget;
mod chance;
mod dial;
mod flow;
pub mod hbone;
mod hbone_peers;
mod idle;
mod inbound;
pub mod native;
mod outbound;
pub mod post;
mod posts;
mod record;
pub mod registry;
mod room;
mod shared;
pub mod tls;

pub use room::{Parts, Room};
