//! Tests of the YAML door.
