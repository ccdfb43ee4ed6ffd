//! The agent's posts in the workloads' network namespaces: listeners, routes and connections of the agent that belong
//! to another namespace than its own. What is carried over them, and whether it may be, is not its business.

mod connect;
mod find;
pub mod handover;
mod listener;
mod namespace;
mod open;
mod origin;
mod route;
mod sysctl;
#[cfg(test)]
mod tests;

pub use connect::{ConnectError, connect_in, connect_out, reset};
pub use find::{FindError, Wanted, abandoned, find};
pub use listener::{Listener, Role, Spot};
pub use namespace::{Namespace, NamespaceError, NamespaceId};
pub use open::{Place, Post, PostError, PostSpec};
pub use origin::{Origin, origin};
pub use route::{RouteError, TRANSPARENT_MARK};
