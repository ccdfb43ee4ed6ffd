//! Private keys in memory. They cannot be printed, cloned or serialised, and are overwritten when dropped. Only
//! this room sees their bytes.

use std::fmt;

use zeroize::Zeroizing;

/// A private key, PKCS#8 DER.
pub struct PrivateKey(Zeroizing<Vec<u8>>);

impl PrivateKey {
    /// Takes the bytes over.
    pub(in crate::identity) const fn new(pkcs8: Zeroizing<Vec<u8>>) -> Self {
        Self(pkcs8)
    }

    /// The bytes, for the workload whose key it is and for the vault.
    pub(in crate::identity) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_does_not_print() {
        let key = PrivateKey::new(Zeroizing::new(b"secret".to_vec()));
        assert_eq!(format!("{key:?}"), "PrivateKey(..)");
    }
}
