//! The room with fakes at its edges: a kernel that is a table, and somebody who says who holds what.

mod kept;
mod lab;
mod room;
mod scrubs;
