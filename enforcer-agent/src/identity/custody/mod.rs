//! Keeping keys: the key-encryption key, and the vault whose contents it seals.
