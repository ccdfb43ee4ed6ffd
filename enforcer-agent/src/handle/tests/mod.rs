//! The room against a kernel in memory, a kubelet that speaks the real protocol, and, as root, real control groups.

mod kubelet;
mod looking;
mod revoking;
mod stage;
