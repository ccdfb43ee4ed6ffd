//! Tests of what a node must be able to do.
