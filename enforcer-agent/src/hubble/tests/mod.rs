//! The services from outside, over real sockets, with generated clients and the records of a real room.

mod doors;
mod observing;
mod peering;
mod refusing;
mod stage;
