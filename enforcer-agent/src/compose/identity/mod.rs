//! The identity room, opened and joined to policy, workloads and callers.

mod scene;
