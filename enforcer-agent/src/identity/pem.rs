//! Certificates as text (RFC 7468).

use rustls_pki_types::CertificateDer;

/// One block after the other.
pub(in crate::identity) fn certificates(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|one| block("CERTIFICATE", one)).collect()
}

/// One block.
pub(in crate::identity) fn block(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}
