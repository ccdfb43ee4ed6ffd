//! The tunnel: flows that the policy allows over mutual TLS, carried from one workload's end to the other's. It meets
//! the other rooms through [`crate::door::tunnel`].

pub mod budget;
pub mod hbone;
pub mod native;
pub mod post;
pub mod registry;
pub mod tls;
