//! The identity wall: who this node's workloads are, in certificates. The only room with private keys. It
//! reaches policy and callers only through [`crate::door`].

pub mod attest;
pub mod authority;
pub mod clock;
pub mod credentials;
pub mod crypto;
pub mod custody;
pub mod keeper;
mod pem;
pub mod remote;
pub mod secret;
pub mod serve;
pub mod svid;
mod told;
pub mod wallet;

/// Tests of other rooms play a node, whose files hold its key.
#[cfg(test)]
pub(crate) mod tests_only {
    use super::secret::PrivateKey;

    pub(crate) fn expose(key: &PrivateKey) -> &[u8] {
        key.expose()
    }
}
