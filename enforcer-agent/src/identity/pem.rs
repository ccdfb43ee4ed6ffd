//! Certificates and keys as text (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use zeroize::Zeroizing;

/// Characters of a line.
pub(in crate::identity) const LINE: usize = 64;

/// One block after the other.
pub(in crate::identity) fn certificates(chain: &[CertificateDer<'_>]) -> String {
    chain.iter().map(|one| block("CERTIFICATE", one).to_string()).collect()
}

/// One block. The text of a key is overwritten when it was used.
pub(in crate::identity) fn block(label: &str, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    // All at once, so that nothing is left behind by growing.
    let mut text =
        Zeroizing::new(String::with_capacity(body.len() + body.len() / LINE + 2 * label.len() + 64));
    text.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
