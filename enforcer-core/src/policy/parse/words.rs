//! The words of the policy: for each value its number on the wire and its word in YAML, in one table.

use enforcer_common::maps::{GRANT_GRE, GRANT_IPIP, GRANT_VLAN};
use enforcer_proto::v1;

use crate::policy::model::{Action, DataClassification, Mode, Protocol, Tier};

/// Model value, wire value, word in YAML.
pub type Words<M, W> = &'static [(M, W, &'static str)];

/// Tiers.
pub const TIERS: Words<Tier, v1::Tier> = &[
    (Tier::Shared, v1::Tier::Shared, "shared"),
    (Tier::Partitioned, v1::Tier::Partitioned, "partitioned"),
    (Tier::Isolated, v1::Tier::Isolated, "isolated"),
    (Tier::Dedicated, v1::Tier::Dedicated, "dedicated"),
];

/// Modes.
pub const MODES: Words<Mode, v1::Mode> =
    &[(Mode::Enforce, v1::Mode::Enforce, "enforce"), (Mode::Audit, v1::Mode::Audit, "audit")];

/// Data classifications.
pub const CLASSIFICATIONS: Words<DataClassification, v1::DataClassification> = &[
    (DataClassification::Public, v1::DataClassification::Public, "public"),
    (DataClassification::Internal, v1::DataClassification::Internal, "internal"),
    (DataClassification::Confidential, v1::DataClassification::Confidential, "confidential"),
    (DataClassification::Restricted, v1::DataClassification::Restricted, "restricted"),
    (DataClassification::TopSecret, v1::DataClassification::TopSecret, "topSecret"),
];

/// Actions.
pub const ACTIONS: Words<Action, v1::Action> =
    &[(Action::Allow, v1::Action::Allow, "allow"), (Action::Deny, v1::Action::Deny, "deny")];

/// Protocols.
pub const PROTOCOLS: Words<Protocol, v1::Protocol> = &[
    (Protocol::Tcp, v1::Protocol::Tcp, "TCP"),
    (Protocol::Udp, v1::Protocol::Udp, "UDP"),
    (Protocol::Sctp, v1::Protocol::Sctp, "SCTP"),
    (Protocol::Icmp, v1::Protocol::Icmp, "ICMP"),
    (Protocol::Icmpv6, v1::Protocol::Icmpv6, "ICMPv6"),
];

/// Encapsulations, as `enforcer_common::maps::GRANT_*` bits.
pub const ENCAPSULATIONS: Words<u32, v1::Encapsulation> = &[
    (GRANT_VLAN, v1::Encapsulation::Vlan, "vlan"),
    (GRANT_IPIP, v1::Encapsulation::Ipip, "ipip"),
    (GRANT_GRE, v1::Encapsulation::Gre, "gre"),
];

/// The wire value of a YAML word.
#[must_use]
pub fn from_word<M, W: Copy>(words: Words<M, W>, word: &str) -> Option<W> {
    words.iter().find(|(_, _, known)| *known == word).map(|(_, wire, _)| *wire)
}

/// The model value of a wire number.
#[must_use]
pub fn from_wire<M: Copy, W: Copy + Into<i32>>(words: Words<M, W>, number: i32) -> Option<M> {
    words.iter().find(|(_, wire, _)| (*wire).into() == number).map(|(model, _, _)| *model)
}

/// The wire number of a model value; zero, which no table holds, for a value without one.
#[must_use]
pub fn to_wire<M: PartialEq, W: Copy + Into<i32>>(words: Words<M, W>, value: &M) -> i32 {
    words.iter().find(|(model, _, _)| model == value).map_or(0, |(_, wire, _)| (*wire).into())
}

/// Every word, for a message: `shared, partitioned, isolated, dedicated`.
#[must_use]
pub fn list<M, W>(words: Words<M, W>) -> String {
    words.iter().map(|(_, _, word)| *word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed defect 9: a control that holds for a class of data holds for every stricter one, which needs an
    /// order that agrees with the words.
    #[test]
    fn tiers_and_classifications_grow_stricter_in_the_order_of_their_words() {
        assert!(TIERS.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(CLASSIFICATIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn every_wire_value_but_unspecified_has_one_word() {
        assert_eq!(TIERS.len(), (1..).take_while(|n| v1::Tier::try_from(*n).is_ok()).count());
        assert_eq!(PROTOCOLS.len(), (1..).take_while(|n| v1::Protocol::try_from(*n).is_ok()).count());
        let classes = (1..).take_while(|n| v1::DataClassification::try_from(*n).is_ok()).count();
        assert_eq!(CLASSIFICATIONS.len(), classes);
        assert_eq!(
            ENCAPSULATIONS.len(),
            (1..).take_while(|n| v1::Encapsulation::try_from(*n).is_ok()).count()
        );
        for (model, wire, word) in PROTOCOLS {
            assert_eq!(from_wire(PROTOCOLS, (*wire).into()), Some(*model));
            assert_eq!(from_word(PROTOCOLS, word), Some(*wire));
            assert_eq!(model.name(), *word);
        }
        assert_eq!(from_wire(TIERS, 0), None);
    }
}
