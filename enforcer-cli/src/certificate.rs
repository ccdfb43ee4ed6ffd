//! What stands in a certificate. Whether anybody should believe it is not known here.

use prost_types::Timestamp;
use serde::Serialize;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::{hex, instant};

/// What stands in a certificate.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Certificate {
    /// Distinguished name.
    pub(crate) subject: String,
    /// Distinguished name of who signed it.
    pub(crate) issuer: String,
    /// URIs among the subject's alternative names: one in an SVID.
    pub(crate) uris: Vec<String>,
    /// Lower-case hexadecimal.
    pub(crate) serial: String,
    /// True for an authority.
    pub(crate) ca: bool,
    /// Start of validity.
    #[serde(serialize_with = "as_rfc3339")]
    pub(crate) not_before: Timestamp,
    /// End of validity.
    #[serde(serialize_with = "as_rfc3339")]
    pub(crate) not_after: Timestamp,
    /// Bits of the key usage; `None` when it does not say.
    #[serde(skip)]
    pub(crate) usage: Option<Usage>,
    /// Names as they were encoded: the issuer's of one is the subject's of the next.
    #[serde(skip)]
    pub(crate) names: Names,
}

/// What the key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Handshakes.
    pub(crate) digital_signature: bool,
    /// Certificates or revocation lists.
    pub(crate) certificates: bool,
}

/// Encoded names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    /// Whose certificate it is.
    pub(crate) subject: Vec<u8>,
    /// Who signed it.
    pub(crate) issuer: Vec<u8>,
}

/// Bytes that are no certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {0} begins no certificate")]
pub(crate) struct NoCertificate(pub(crate) usize);

/// The certificates that follow each other in `bytes`, encoded.
pub(crate) fn split(bytes: &[u8]) -> Result<Vec<&[u8]>, NoCertificate> {
    let mut ders = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let (after, _) = X509Certificate::from_der(rest).map_err(|_| NoCertificate(at))?;
        let (der, _) = rest.split_at(rest.len() - after.len());
        ders.push(der);
        rest = after;
    }
    Ok(ders)
}

impl Certificate {
    /// Reads one certificate.
    pub(crate) fn read(der: &[u8]) -> Result<Self, NoCertificate> {
        match X509Certificate::from_der(der) {
            Ok((&[], certificate)) => Ok(Self::of(&certificate)),
            Ok(_) | Err(_) => Err(NoCertificate(0)),
        }
    }

    /// Reads the certificates of a PEM text, which holds nothing else.
    pub(crate) fn read_pem(text: &str) -> Result<Vec<Self>, NoCertificate> {
        let read = |part: Result<Pem, _>| match part {
            Ok(part) if part.label == "CERTIFICATE" => Self::read(&part.contents),
            Ok(_) | Err(_) => Err(NoCertificate(0)),
        };
        let all = Pem::iter_from_buffer(text.as_bytes()).map(read).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() && !text.trim().is_empty() { Err(NoCertificate(0)) } else { Ok(all) }
    }

    fn of(certificate: &X509Certificate<'_>) -> Self {
        let time = |seconds| Timestamp { seconds, nanos: 0 };
        Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            uris: uris(certificate),
            serial: serial(certificate.raw_serial()),
            ca: certificate.is_ca(),
            not_before: time(certificate.validity().not_before.timestamp()),
            not_after: time(certificate.validity().not_after.timestamp()),
            usage: usage(certificate),
            names: Names {
                subject: certificate.subject().as_raw().to_vec(),
                issuer: certificate.issuer().as_raw().to_vec(),
            },
        }
    }
}

/// A byte that only keeps the number positive is not part of it.
fn serial(bytes: &[u8]) -> String {
    match bytes {
        [0, rest @ ..] if !rest.is_empty() => hex::encode(rest),
        bytes => hex::encode(bytes),
    }
}

fn uris(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

fn usage(certificate: &X509Certificate<'_>) -> Option<Usage> {
    let usage = certificate.key_usage().ok()??.value;
    Some(Usage {
        digital_signature: usage.digital_signature(),
        certificates: usage.key_cert_sign() || usage.crl_sign(),
    })
}

fn as_rfc3339<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&instant::rfc3339(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(name: &str) -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed([name.to_owned()]).unwrap()
    }

    #[test]
    fn certificates_that_follow_each_other_are_told_apart() {
        let (a, b) = (certificate("a.example"), certificate("b.example"));
        let both = [a.cert.der().as_ref(), b.cert.der().as_ref()].concat();
        assert_eq!(split(&both).unwrap(), [a.cert.der().as_ref(), b.cert.der().as_ref()]);
        assert_eq!(split(&[]).unwrap(), Vec::<&[u8]>::new());
        let at = a.cert.der().len();
        assert_eq!(split(&both[..both.len() - 1]), Err(NoCertificate(at)));
        assert_eq!(Certificate::read(&both), Err(NoCertificate(0)));
        let pem = a.cert.pem() + &b.cert.pem();
        assert_eq!(Certificate::read_pem(&pem).unwrap().len(), 2);
    }

    #[test]
    fn a_serial_number_is_read_without_its_sign() {
        assert_eq!(serial(&[0, 0xab]), "ab");
        assert_eq!(serial(&[0]), "00");
        assert_eq!(serial(&[1, 0]), "0100");
    }
}
