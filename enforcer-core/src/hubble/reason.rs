//! Our drop reasons as Cilium's. Clients refuse words that they do not know, so each of ours has a number of theirs; the
//! exact word stands in the summary.

use enforcer_proto::hubble::flow::DropReason::{
    self, AuthRequired, DropRateLimited, EncapsulationTrafficIsProhibited,
    FirstLogicalDatagramFragmentNotFound, ForbiddenIcmpv6Message, InvalidIdentity,
    InvalidIpv6ExtensionHeader, InvalidPacketDropped, InvalidSourceIp, IpFragmentationNotSupported,
    NoTunnelOrEncapsulationEndpoint, PolicyDenied, PolicyDeny, StaleOrUnroutableIp, UnencryptedTraffic,
    UnknownConnectionTrackingState, UnknownSender, UnsupportedL2Protocol, VlanFiltered,
};

/// Every reason, by its word.
pub const TABLE: &[(&str, DropReason)] = &[
    ("none", DropReason::Unknown),
    ("cross_tenant_no_rule", PolicyDenied),
    ("rule_denied", PolicyDeny),
    ("tenant_unknown", InvalidIdentity),
    ("lease_expired", StaleOrUnroutableIp),
    ("tier_dedicated", PolicyDenied),
    ("mtls_required", UnencryptedTraffic),
    ("destination_unbound", PolicyDenied),
    ("source_unbound", PolicyDenied),
    ("host_no_rule", PolicyDenied),
    ("remote_node_no_rule", PolicyDenied),
    ("source_not_own", InvalidSourceIp),
    ("arp_foreign", InvalidSourceIp),
    ("nd_foreign", ForbiddenIcmpv6Message),
    ("malformed", InvalidPacketDropped),
    ("ipv4_options", InvalidPacketDropped),
    ("ipv6_extensions", InvalidIpv6ExtensionHeader),
    ("fragment_overlap", IpFragmentationNotSupported),
    ("fragment_untracked", FirstLogicalDatagramFragmentNotFound),
    ("fragment_tiny", IpFragmentationNotSupported),
    ("vlan_not_granted", VlanFiltered),
    ("tunnel_not_granted", EncapsulationTrafficIsProhibited),
    ("ethertype_unknown", UnsupportedL2Protocol),
    ("icmp_error_unrelated", UnknownConnectionTrackingState),
    ("interface_unknown", UnknownSender),
    // Of devices, which are no flows and are never shown as such.
    ("device_not_granted", DropReason::Unknown),
    ("device_no_tenant", DropReason::Unknown),
    ("device_mknod", DropReason::Unknown),
    ("not_carried_by_both", PolicyDenied),
    ("destination_not_own", StaleOrUnroutableIp),
    ("tunnel_certificate", AuthRequired),
    ("tunnel_identity", InvalidIdentity),
    ("tunnel_protocol", InvalidPacketDropped),
    ("tunnel_budget", DropRateLimited),
    ("tunnel_not_ready", AuthRequired),
    ("tunnel_unreachable", NoTunnelOrEncapsulationEndpoint),
    ("tunnel_target", StaleOrUnroutableIp),
    ("response_denied", PolicyDeny),
    ("response_limited", DropRateLimited),
    ("device_closed", DropReason::Unknown),
    ("task_foreign", DropReason::Unknown),
    ("wall_guarded", DropReason::Unknown),
];

/// The number for a word; unknown for a word that is none.
#[must_use]
pub fn drop_reason(word: &str) -> DropReason {
    TABLE.iter().find(|(known, _)| *known == word).map_or(DropReason::Unknown, |(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use enforcer_common::reason;

    use super::*;

    #[test]
    fn every_drop_reason_has_a_number_of_ciliums() {
        for (number, word, _) in reason::ALL {
            assert!(TABLE.iter().any(|(known, _)| known == word), "reason {number} ({word}) is not mapped");
        }
        for (word, _) in TABLE {
            assert_eq!(TABLE.iter().filter(|(other, _)| other == word).count(), 1, "{word} twice");
        }
    }

    #[test]
    fn only_what_is_no_flow_has_no_number() {
        let without: Vec<&str> =
            TABLE.iter().filter(|(_, to)| *to == DropReason::Unknown).map(|(word, _)| *word).collect();
        let expected = [
            "none",
            "device_not_granted",
            "device_no_tenant",
            "device_mknod",
            "device_closed",
            "task_foreign",
            "wall_guarded",
        ];
        assert_eq!(without, expected);
    }

    #[test]
    fn the_page_has_the_table() {
        let page = include_str!("../../../docs/hubble.md");
        for (word, reason) in TABLE {
            let row = format!("| `{word}` | {} | `{}` |", *reason as i32, reason.as_str_name());
            assert!(page.contains(&row), "docs/hubble.md lacks {row}");
        }
    }

    /// The rows of the reference page.
    #[test]
    fn the_reference_table_holds() {
        let rows = [
            ("rule_denied", 181),
            ("cross_tenant_no_rule", 133),
            ("tenant_unknown", 171),
            ("lease_expired", 151),
            ("source_not_own", 132),
            ("tunnel_certificate", 189),
            ("mtls_required", 195),
            ("tunnel_budget", 198),
        ];
        for (word, number) in rows {
            assert_eq!(drop_reason(word) as i32, number, "{word}");
        }
    }
}
