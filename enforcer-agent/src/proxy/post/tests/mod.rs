//! Against the kernel: namespaces, routes and sockets. The tests that need root are ignored unless asked for by name
//! (`--ignored`), one at a time (`--test-threads=1`): a program that another test starts holds every descriptor of this
//! process for the moment until it is itself, and so keeps ports taken.

mod carry;
mod finding;
mod handing;
mod scene;
mod standing;

use super::*;
