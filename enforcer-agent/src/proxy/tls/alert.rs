//! Alerts, as the wire and people know them (RFC 8446 section 6).

use rustls::AlertDescription;

use crate::door::identity::Fault;

/// `warning`, which only close_notify and user_canceled are.
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// The two bytes of an alert.
pub(super) fn alert_bytes(alert: AlertDescription) -> [u8; 2] {
    let level = if alert == AlertDescription::CloseNotify { WARNING } else { FATAL };
    [level, u8::from(alert)]
}

/// The alert that tells a peer what is wrong with its certificate.
pub(super) const fn alert_of(fault: Fault) -> AlertDescription {
    match fault {
        Fault::UnknownAuthority => AlertDescription::UnknownCA,
        Fault::Expired | Fault::NotYetValid => AlertDescription::CertificateExpired,
        Fault::Revoked => AlertDescription::CertificateRevoked,
        Fault::Bad => AlertDescription::BadCertificate,
    }
}

/// As the RFC writes it.
pub(super) fn alert_name(alert: AlertDescription) -> String {
    let words = match alert {
        AlertDescription::UnknownCA => return "unknown_ca".to_owned(),
        AlertDescription::BadRecordMac => return "bad_record_mac".to_owned(),
        AlertDescription::UnknownPSKIdentity => return "unknown_psk_identity".to_owned(),
        AlertDescription::Unknown(number) => return format!("number {number}"),
        other => format!("{other:?}"),
    };
    let mut name = String::with_capacity(words.len() + 4);
    for letter in words.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_read_as_in_the_rfc() {
        assert_eq!(alert_name(AlertDescription::CertificateRevoked), "certificate_revoked");
        assert_eq!(alert_name(AlertDescription::UnknownCA), "unknown_ca");
        assert_eq!(alert_name(AlertDescription::Unknown(7)), "number 7");
        assert_eq!(alert_bytes(AlertDescription::CloseNotify), [1, 0]);
        assert_eq!(alert_bytes(AlertDescription::BadRecordMac), [2, 20]);
    }
}
