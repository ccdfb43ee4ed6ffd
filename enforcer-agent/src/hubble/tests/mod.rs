//! The services from outside, over real sockets, with a generated client.
