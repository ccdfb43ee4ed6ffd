//! What is left in plaintext.
