//! The Hubble API: Cilium's Observer and Peer, so that the tools people have can watch a node. Where callers come in and
//! what they may see is decided before: every request carries a scope, and records come already cut to it.

mod flows;
mod limits;
mod observer;
mod peer;
mod room;

pub use room::{Hubble, Node};

#[cfg(test)]
mod tests;
