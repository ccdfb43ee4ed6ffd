//! The store under crashes, damage and strangers.
