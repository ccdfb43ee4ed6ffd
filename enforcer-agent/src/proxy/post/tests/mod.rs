//! Against the kernel: namespaces, routes and sockets. The tests that need root are ignored unless asked for by name
//! (`--ignored`).

mod carry;
mod finding;
mod handing;
mod scene;
mod standing;

use super::*;
