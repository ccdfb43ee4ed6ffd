//! The words in records for what events carry as numbers.

use enforcer_common::device::{ACCESS_MKNOD, ACCESS_READ, ACCESS_WRITE};
use enforcer_common::maps;
use enforcer_common::packet;

use crate::policy::model::{Name, Policy};

/// The word for a rule number that no rule of the policy has: a default's name.
#[must_use]
pub const fn default_rule_name(rule: u32) -> Option<&'static str> {
    match rule {
        maps::RULE_NO_MATCH => Some("no-rule-matched"),
        maps::RULE_INTRA_TENANT => Some("intra-tenant"),
        maps::RULE_HOST_DEFAULT => Some("host-default"),
        maps::RULE_NOT_MANAGED => Some("not-managed"),
        maps::RULE_NEIGHBOUR => Some("neighbour"),
        maps::RULE_RELATED => Some("related"),
        maps::RULE_DEVICE_GRANT => Some("device-grant"),
        maps::RULE_HOST_SERVICE => Some("host-service"),
        maps::RULE_TENANT_EGRESS => Some("tenant-egress"),
        maps::RULE_TUNNEL => Some("tunnel"),
        _ => None,
    }
}

/// True for no rule at all, and for the word of a default: neither tells of anybody's policy.
#[must_use]
pub fn is_default_rule(word: &str) -> bool {
    word.is_empty() || (0..maps::FIRST_RULE).any(|rule| default_rule_name(rule) == Some(word))
}

/// The name of a rule: the policy's, a default's, or `rule-N` when the policy no longer has it.
#[must_use]
pub fn rule_name(policy: &Policy, rule: u32) -> String {
    let named = default_rule_name(rule).map(str::to_owned);
    named
        .or_else(|| policy.index.rule_numbers.get(&rule).map(|name| name.to_string()))
        .unwrap_or_else(|| format!("rule-{rule}"))
}

/// The tenant that owns a rule of the policy; none for defaults, and for what the policy no longer has.
#[must_use]
pub fn rule_owner(policy: &Policy, rule: u32) -> Option<&Name> {
    let name = policy.index.rule_numbers.get(&rule).filter(|_| default_rule_name(rule).is_none())?;
    policy.rules.get(name)?.owner()
}

/// The name of an IP protocol, or its number; empty for an event that has none.
#[must_use]
pub fn protocol_name(protocol: u8) -> String {
    match protocol {
        0 => String::new(),
        packet::PROTOCOL_TCP => "TCP".to_owned(),
        packet::PROTOCOL_UDP => "UDP".to_owned(),
        packet::PROTOCOL_ICMP => "ICMP".to_owned(),
        packet::PROTOCOL_ICMPV6 => "ICMPv6".to_owned(),
        packet::PROTOCOL_SCTP => "SCTP".to_owned(),
        number => number.to_string(),
    }
}

/// Access bits as words: `read+write`, `mknod`.
#[must_use]
pub fn access_name(access: u8) -> String {
    let words = [(ACCESS_READ, "read"), (ACCESS_WRITE, "write"), (ACCESS_MKNOD, "mknod")];
    let held = words.iter().filter(|(bit, _)| u32::from(access) & bit != 0).map(|(_, word)| *word);
    held.collect::<Vec<_>>().join("+")
}

/// A process name as text that can be shown.
#[must_use]
pub fn command_text(command: &[u8; 16]) -> String {
    let end = command.iter().position(|byte| *byte == 0).unwrap_or(command.len());
    shown(command.get(..end).unwrap_or_default())
}

/// Bytes of a process as text that can be shown: whoever runs it chooses them, so nothing in them may steer a terminal
/// or a log.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    let is_harmful =
        |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let text = String::from_utf8_lossy(bytes);
    if !text.contains(is_harmful) {
        return text.into_owned();
    }
    text.chars().map(|c| if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// The word for a loss cell (`enforcer_common::maps::LOST_*`).
#[must_use]
pub fn loss_name(cell: u32) -> String {
    const NAMES: [(u32, &str); 10] = [
        (maps::LOST_EVENT_FULL, "event_full"),
        (maps::LOST_EVENT_RATE, "event_rate"),
        (maps::LOST_SAMPLE_FULL, "sample_full"),
        (maps::LOST_COUNTER_FULL, "counter_full"),
        (maps::LOST_FLOW_FULL, "flow_full"),
        (maps::LOST_PROCESS_FULL, "process_full"),
        (maps::LOST_SAMPLE_RATE, "sample_rate"),
        (maps::LOST_PROCESS_RATE, "process_rate"),
        (maps::LOST_HANDLE_FULL, "handle_full"),
        (maps::LOST_TOUCH_FULL, "touch_full"),
    ];
    let known = NAMES.iter().find(|(number, _)| *number == cell);
    known.map_or_else(|| format!("loss-{cell}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_cannot_write_control_sequences() {
        assert_eq!(command_text(b"python3\0\0\0\0\0\0\0\0\0"), "python3");
        assert_eq!(command_text(b"\x1b[2Jx\n\0garbage\0\0"), "\u{fffd}[2Jx\u{fffd}");
        assert_eq!(command_text(b"sixteen-bytes-ok"), "sixteen-bytes-ok");
        assert_eq!(command_text(&[0xff; 16]).chars().count(), 16);
    }

    #[test]
    fn access_and_losses_have_words() {
        assert_eq!(access_name(6), "read+write");
        assert_eq!(access_name(1), "mknod");
        assert_eq!(access_name(0), "");
        let names: Vec<String> = (3..11).map(loss_name).collect();
        let expected = [
            "counter_full",
            "flow_full",
            "process_full",
            "sample_rate",
            "process_rate",
            "handle_full",
            "touch_full",
            "loss-10",
        ];
        assert_eq!(names, expected);
        assert_eq!([0, 1, 2].map(loss_name), ["event_full", "event_rate", "sample_full"]);
    }

    #[test]
    fn rules_are_named_also_when_the_policy_lost_them() {
        let mut policy = Policy::default();
        policy.index.rule_numbers.insert(16, "web-to-db".into());
        assert_eq!(rule_name(&policy, 16), "web-to-db");
        assert_eq!(rule_name(&policy, 17), "rule-17");
        assert_eq!(rule_name(&policy, 0), "no-rule-matched");
        assert!((0..maps::FIRST_RULE).filter_map(default_rule_name).count() >= 10);
    }
}
