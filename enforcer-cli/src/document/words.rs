//! The words that policy files use for the numbers on the wire. A number without a word is an error: printing
//! something else would change the policy of whoever applies it again.

use enforcer_proto::v1;

use crate::failure::Failure;

/// `shared`, `partitioned`, ...
pub(crate) fn tier(value: i32) -> Result<&'static str, Failure> {
    match v1::Tier::try_from(value) {
        Ok(v1::Tier::Shared) => Ok("shared"),
        Ok(v1::Tier::Partitioned) => Ok("partitioned"),
        Ok(v1::Tier::Isolated) => Ok("isolated"),
        Ok(v1::Tier::Dedicated) => Ok("dedicated"),
        Ok(v1::Tier::Unspecified) | Err(_) => Err(unknown("tier", value)),
    }
}

/// `enforce`, `audit`.
pub(crate) fn mode(value: i32) -> Result<&'static str, Failure> {
    match v1::Mode::try_from(value) {
        Ok(v1::Mode::Enforce) => Ok("enforce"),
        Ok(v1::Mode::Audit) => Ok("audit"),
        Ok(v1::Mode::Unspecified) | Err(_) => Err(unknown("mode", value)),
    }
}

/// `public`, `internal`, ...
pub(crate) fn data_classification(value: i32) -> Result<&'static str, Failure> {
    match v1::DataClassification::try_from(value) {
        Ok(v1::DataClassification::Public) => Ok("public"),
        Ok(v1::DataClassification::Internal) => Ok("internal"),
        Ok(v1::DataClassification::Confidential) => Ok("confidential"),
        Ok(v1::DataClassification::Restricted) => Ok("restricted"),
        Ok(v1::DataClassification::TopSecret) => Ok("topSecret"),
        Ok(v1::DataClassification::Unspecified) | Err(_) => Err(unknown("dataClassification", value)),
    }
}

/// `allow`, `deny`.
pub(crate) fn action(value: i32) -> Result<&'static str, Failure> {
    match v1::Action::try_from(value) {
        Ok(v1::Action::Allow) => Ok("allow"),
        Ok(v1::Action::Deny) => Ok("deny"),
        Ok(v1::Action::Unspecified) | Err(_) => Err(unknown("action", value)),
    }
}

/// `TCP`, `UDP`, ...
pub(crate) fn protocol(value: i32) -> Result<&'static str, Failure> {
    match v1::Protocol::try_from(value) {
        Ok(v1::Protocol::Tcp) => Ok("TCP"),
        Ok(v1::Protocol::Udp) => Ok("UDP"),
        Ok(v1::Protocol::Sctp) => Ok("SCTP"),
        Ok(v1::Protocol::Icmp) => Ok("ICMP"),
        Ok(v1::Protocol::Icmpv6) => Ok("ICMPv6"),
        Ok(v1::Protocol::Unspecified) | Err(_) => Err(unknown("protocol", value)),
    }
}

/// `vlan`, `ipip`, `gre`.
pub(crate) fn encapsulation(value: i32) -> Result<&'static str, Failure> {
    match v1::Encapsulation::try_from(value) {
        Ok(v1::Encapsulation::Vlan) => Ok("vlan"),
        Ok(v1::Encapsulation::Ipip) => Ok("ipip"),
        Ok(v1::Encapsulation::Gre) => Ok("gre"),
        Ok(v1::Encapsulation::Unspecified) | Err(_) => Err(unknown("encapsulation", value)),
    }
}

/// For a message that is required and not there.
pub(crate) fn missing(field: &'static str) -> Failure {
    Failure::UnknownWord { field, value: "(nothing)".to_owned() }
}

fn unknown(field: &'static str, value: i32) -> Failure {
    Failure::UnknownWord { field, value: value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_word_is_an_error_everywhere() {
        for value in [0, 99, -1] {
            assert!(tier(value).is_err());
            assert!(mode(value).is_err());
            assert!(data_classification(value).is_err());
            assert!(action(value).is_err());
            assert!(protocol(value).is_err());
            assert!(encapsulation(value).is_err());
        }
    }
}
