//! DER as text (RFC 7468).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// Characters in a line.
const WIDTH: usize = 64;

/// A label of RFC 7468.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Section 5.
    Certificate,
    /// Section 6.
    X509Crl,
    /// Section 10.
    PrivateKey,
}

impl Label {
    const fn word(self) -> &'static str {
        match self {
            Self::Certificate => "CERTIFICATE",
            Self::X509Crl => "X509 CRL",
            Self::PrivateKey => "PRIVATE KEY",
        }
    }
}

/// Each of `ders` in order. The text may be a key's: it is overwritten when it is dropped, and never moved.
pub(crate) fn encode<'a>(label: Label, ders: impl IntoIterator<Item = &'a [u8]>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::new());
    for der in ders {
        let mut one = encode_one(label, der);
        if text.is_empty() {
            std::mem::swap(&mut *text, &mut *one);
        } else {
            text.push_str(&one);
        }
    }
    text
}

fn encode_one(label: Label, der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + body.len() / WIDTH + 64));
    let word = label.word();
    text.push_str("-----BEGIN ");
    text.push_str(word);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(WIDTH));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END ");
    text.push_str(word);
    text.push_str("-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::pem::Pem;

    #[test]
    fn what_is_written_is_read_back() {
        let ders: [&[u8]; 3] = [&[1; 200], &[2; 48], &[3]];
        let text = encode(Label::X509Crl, ders);
        assert!(text.lines().all(|line| line.len() <= WIDTH));
        let back: Vec<Pem> = Pem::iter_from_buffer(text.as_bytes()).map(Result::unwrap).collect();
        assert_eq!(back.iter().map(|pem| pem.contents.as_slice()).collect::<Vec<_>>(), ders);
        assert!(back.iter().all(|pem| pem.label == "X509 CRL"));
        assert_eq!(*encode(Label::Certificate, []), "");
    }
}
