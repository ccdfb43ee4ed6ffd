//! Which cryptographic library speaks TLS where nobody names one. A client of object stores brings a second one into the
//! program, and where there are two, neither is taken.

/// Takes the one that everything else here uses. What was chosen before stays.
pub fn choose() {
    let _chosen_before = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
