//! Drop reasons: why the answer was no. A number, once released, keeps its meaning for ever: append, never
//! reuse. `docs/drop-reasons.md` is generated from this table.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $word:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: u16 = $number;)+

        /// Every reason: number, word, explanation, in numeric order.
        pub const ALL: &[(u16, &str, &str)] = &[$(($number, $word, concat!($($doc),+))),+];

        /// The word for a reason, as it stands in records, metrics and `explain`.
        #[must_use]
        pub const fn name(reason: u16) -> &'static str {
            match reason {
                $($number => $word,)+
                _ => "unassigned",
            }
        }
    };
}

reasons! {
    /// No refusal: the verdict was allow.
    NONE = 0, "none";
    /// Two tenants, and no rule of the destination tenant allows this source, protocol and port.
    CROSS_TENANT_NO_RULE = 1, "cross_tenant_no_rule";
    /// A deny rule matched; the record names it.
    RULE_DENIED = 2, "rule_denied";
    /// The address, interface or cgroup names a tenant that the policy in force does not have.
    TENANT_UNKNOWN = 3, "tenant_unknown";
    /// The binding or workload that identifies an end of a cross-tenant flow has outlived its lease.
    LEASE_EXPIRED = 4, "lease_expired";
    /// One end is a dedicated tenant, and the other is no platform service.
    TIER_DEDICATED = 5, "tier_dedicated";
    /// The rule asks for mutual TLS, and this packet is plaintext.
    MTLS_REQUIRED = 6, "mtls_required";
    /// The destination belongs to no workload and no binding, and no egress rule covers it.
    DESTINATION_UNBOUND = 7, "destination_unbound";
    /// The source belongs to no workload and no binding, and no rule lets the world in from there.
    SOURCE_UNBOUND = 8, "source_unbound";
    /// A workload reached for its own node without a rule `to: host`.
    HOST_NO_RULE = 9, "host_no_rule";
    /// A workload and another node, without a rule that names remote nodes.
    REMOTE_NODE_NO_RULE = 10, "remote_node_no_rule";
    /// The source address is not the workload's own.
    SOURCE_NOT_OWN = 11, "source_not_own";
    /// An ARP message that claims an address which is not the workload's own.
    ARP_FOREIGN = 12, "arp_foreign";
    /// A neighbour discovery message that claims a foreign address, or one only a router may send.
    ND_FOREIGN = 13, "nd_foreign";
    /// The packet ends before its headers do, or a header contradicts itself.
    MALFORMED = 14, "malformed";
    /// IPv4 options, which are refused as a whole.
    IPV4_OPTIONS = 15, "ipv4_options";
    /// An IPv6 routing header, or more extension headers than are walked.
    IPV6_EXTENSIONS = 16, "ipv6_extensions";
    /// A fragment that overlaps, or comes out of order behind, an earlier one of its datagram.
    FRAGMENT_OVERLAP = 17, "fragment_overlap";
    /// A later fragment whose first was never allowed.
    FRAGMENT_UNTRACKED = 18, "fragment_untracked";
    /// A first fragment too short to hold the transport header.
    FRAGMENT_TINY = 19, "fragment_tiny";
    /// A VLAN tag from a workload that was not granted any.
    VLAN_NOT_GRANTED = 20, "vlan_not_granted";
    /// IP-in-IP or GRE from a workload that was not granted it.
    TUNNEL_NOT_GRANTED = 21, "tunnel_not_granted";
    /// An EtherType other than IPv4, IPv6 and ARP.
    ETHERTYPE_UNKNOWN = 22, "ethertype_unknown";
    /// An ICMP error about a flow that is not being tracked, or is not the receiver's.
    ICMP_ERROR_UNRELATED = 23, "icmp_error_unrelated";
    /// The program runs on an interface that no workload owns.
    INTERFACE_UNKNOWN = 24, "interface_unknown";
    /// The tenant was not granted this device.
    DEVICE_NOT_GRANTED = 25, "device_not_granted";
    /// The device is of a gated class, and the process belongs to no tenant and no listed host service.
    DEVICE_NO_TENANT = 26, "device_no_tenant";
    /// Creating a device node of a gated class from inside a control group.
    DEVICE_MKNOD = 27, "device_mknod";
    /// A tier asks that both tenants carry the rule, and only one does.
    NOT_CARRIED_BY_BOTH = 28, "not_carried_by_both";
    /// The destination address is not that of the workload behind the interface.
    DESTINATION_NOT_OWN = 29, "destination_not_own";
    /// A tunnel's certificate was refused: unknown issuer, expired, revoked, or not exactly one SPIFFE ID.
    TUNNEL_CERTIFICATE = 30, "tunnel_certificate";
    /// The tenant that a tunnel's certificate names is not the one that the kernel knows at that end.
    TUNNEL_IDENTITY = 31, "tunnel_identity";
    /// What arrived at a tunnel's end breaks its protocol, or was too slow.
    TUNNEL_PROTOCOL = 32, "tunnel_protocol";
    /// The tenant has used up its share of tunnel connections, handshakes or buffers.
    TUNNEL_BUDGET = 33, "tunnel_budget";
    /// The tunnel cannot carry the flow now: no certificate yet, or no listener.
    TUNNEL_NOT_READY = 34, "tunnel_not_ready";
    /// The other end of the tunnel, or the workload behind it, does not answer or refuses the connection.
    TUNNEL_UNREACHABLE = 35, "tunnel_unreachable";
    /// A tunnelled flow asked for an address that is not the workload's own, or for a port of the agent.
    TUNNEL_TARGET = 36, "tunnel_target";
    /// A response to an alert denies the tenant new flows for a time; those that were open go on.
    RESPONSE_DENIED = 37, "response_denied";
    /// A response to an alert limits how many flows a second the tenant may open, for a time.
    RESPONSE_LIMITED = 38, "response_limited";
    /// The device is closed to every tenant until it has been handed over: it is draining, in quarantine or being sanitized, or nobody knows what is left in it.
    DEVICE_CLOSED = 39, "device_closed";
    /// A tenant's process reached for a process that is not its own tenant's: by ptrace, what needs the same right, or a signal.
    TASK_FOREIGN = 40, "task_foreign";
    /// A tenant's process reached for the wall itself: bpf(), its pins, a mount over them, its agent.
    WALL_GUARDED = 41, "wall_guarded";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_unique() {
        for (index, (number, word, doc)) in ALL.iter().enumerate() {
            assert_eq!(usize::from(*number), index);
            assert_eq!(name(*number), *word);
            assert!(!doc.is_empty());
            assert_eq!(ALL.iter().filter(|(_, other, _)| other == word).count(), 1);
        }
        assert_eq!(name(u16::MAX), "unassigned");
    }
}
