//! What a policy leaves in plaintext between nodes.
