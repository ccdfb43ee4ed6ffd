//! Callers of flesh and blood: processes in control groups, which connect, move, end, and are replaced.

mod callers;
mod policy;
mod rooted;
