//! The tunnel: connections between tenants, carried over mutual TLS by the agent.

pub mod post;
