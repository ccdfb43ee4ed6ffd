//! The words of a request, each to a value that means something.

use enforcer_common::{reason, verdict};
use ipnet::IpNet;

use super::FilterError;
use crate::event::record::{
    DEVICE, GUARD, IDENTITY, KEY, LOG, LOSS, POLICY, PROCESS, SERVICE, TOTALS, TYPES, UNKNOWN_PREFIX,
};

/// Digits of the longest serial number that RFC 5280 allows: 20 octets.
const SERIAL_DIGITS_MAX: usize = 40;

pub(super) fn wrong_verdict(word: &str) -> Option<FilterError> {
    let words = [verdict::ALLOW, verdict::DENY, verdict::AUDIT].map(verdict::action_name);
    (!words.contains(&word)).then(|| FilterError::Verdict(shown(word)))
}

pub(super) fn wrong_reason(word: &str) -> Option<FilterError> {
    let is_known = reason::ALL.iter().any(|(number, name, _)| *number != reason::NONE && *name == word);
    (!is_known).then(|| FilterError::Reason(shown(word)))
}

pub(super) fn wrong_type(word: &str) -> Option<FilterError> {
    // Events that a newer kernel side tells of are asked for by number.
    let is_number = word.strip_prefix(UNKNOWN_PREFIX).is_some_and(|rest| rest.parse::<u16>().is_ok());
    (!is_number && !TYPES.contains(&word)).then(|| FilterError::Type(shown(word)))
}

pub(super) fn wrong_executable(path: &str) -> Option<FilterError> {
    let is_whole = path.starts_with('/') && !path.ends_with('/');
    let is_last = !path.contains('/');
    (!is_whole && !is_last).then(|| FilterError::Executable(shown(path)))
}

/// True when `path` is the executable that was asked for, by its whole path or by its last component.
pub(super) fn is_executable(wanted: &str, path: &str) -> bool {
    if wanted.starts_with('/') {
        return wanted == path;
    }
    path.rsplit('/').next() == Some(wanted)
}

pub(super) fn prefix(text: &str) -> Result<IpNet, FilterError> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => {
            return text
                .parse::<std::net::IpAddr>()
                .map(IpNet::from)
                .map_err(|_| FilterError::Address(shown(text)));
        }
    };
    if net.trunc() != net {
        return Err(FilterError::HostBits(shown(text), net.trunc().to_string()));
    }
    Ok(net)
}

pub(super) fn port(number: u32) -> Result<u16, FilterError> {
    match u16::try_from(number) {
        Ok(port) if port != 0 => Ok(port),
        Ok(_) | Err(_) => Err(FilterError::Port(number)),
    }
}

/// A certificate's serial number, without leading zeros and in lower case: tools print it in several ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Serial(String);

impl Serial {
    pub(super) fn parse(text: &str) -> Result<Self, FilterError> {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let is_number = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_hexdigit());
        if !is_number || digits.len() > SERIAL_DIGITS_MAX {
            return Err(FilterError::Serial(shown(text)));
        }
        Ok(Self(digits.trim_start_matches('0').to_ascii_lowercase()))
    }

    pub(super) fn is(&self, serial: &str) -> bool {
        !serial.is_empty() && serial.trim_start_matches('0').eq_ignore_ascii_case(&self.0)
    }
}

/// What records of a type never have.
pub(super) fn never_has(kind: &str, field: &str) -> bool {
    match field {
        "port" | "address" => {
            [DEVICE, SERVICE, GUARD, PROCESS, IDENTITY, POLICY, TOTALS, KEY, LOG, LOSS].contains(&kind)
        }
        "pid" | "executable" => [IDENTITY, POLICY, TOTALS, KEY, LOG, LOSS].contains(&kind),
        "device" => TYPES.contains(&kind) && ![DEVICE, "alert"].contains(&kind),
        _ => false,
    }
}

pub(super) fn shown(word: &str) -> String {
    word.chars().take(64).collect()
}
