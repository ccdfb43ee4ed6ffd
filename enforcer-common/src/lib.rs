//! The words that the kernel programs and the agent share: identities, map keys and values, events, drop
//! reasons, the packet parser and the verdict. It must not know how a map is stored or where a packet comes
//! from: both are arguments.
//!
//! Types that live in kernel maps hold integers and byte arrays only, in host byte order unless said
//! otherwise, without padding; [`abi`] proves both at compile time and gives them a version.
#![no_std]
#![cfg_attr(not(test), forbid(clippy::indexing_slicing))]

pub mod abi;
pub mod address;
pub mod device;
pub mod event;
pub mod flow;
pub mod identity;
pub mod layout;
pub mod maps;
pub mod packet;
pub mod policy;
pub mod reason;
pub mod response;
pub mod telling;
pub mod verdict;
pub mod wall;
