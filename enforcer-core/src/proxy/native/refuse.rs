//! Why a server opens no flow. It says no more than its client needs.

use enforcer_common::reason;

use super::NativeError;

/// The byte of a REFUSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RefuseCode {
    /// The policy, or what the certificate says, does not let it pass.
    Denied,
    /// No way leads to the workload.
    Unreachable,
    /// The workload refused the connection.
    Refused,
    /// The workload did not answer in time.
    TimedOut,
    /// The tenant's budget is used up.
    Busy,
    /// The destination is not the workload's own, or a port of the agent.
    BadTarget,
    /// The node cannot carry it now.
    NotReady,
}

impl RefuseCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Denied,
        Self::Unreachable,
        Self::Refused,
        Self::TimedOut,
        Self::Busy,
        Self::BadTarget,
        Self::NotReady,
    ];

    /// Reads a payload.
    ///
    /// # Errors
    /// It is not one byte, or no code.
    pub fn parse(payload: &[u8]) -> Result<Self, NativeError> {
        let [byte] = payload else {
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            return Err(NativeError::Length { kind: super::Kind::Refuse, len });
        };
        let known = Self::ALL.into_iter().find(|code| code.byte() == *byte);
        known.ok_or(NativeError::Code(*byte))
    }

    /// As it travels.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Denied => 1,
            Self::Unreachable => 2,
            Self::Refused => 3,
            Self::TimedOut => 4,
            Self::Busy => 5,
            Self::BadTarget => 6,
            Self::NotReady => 7,
        }
    }

    /// What the other end is told of a drop reason: whoever is denied learns no more than that.
    #[must_use]
    pub const fn of_reason(number: u16) -> Self {
        match number {
            reason::TUNNEL_BUDGET => Self::Busy,
            reason::TUNNEL_TARGET => Self::BadTarget,
            reason::TUNNEL_NOT_READY => Self::NotReady,
            reason::TUNNEL_UNREACHABLE => Self::Unreachable,
            _ => Self::Denied,
        }
    }

    /// The word for records.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Busy => "busy",
            Self::BadTarget => "bad_target",
            Self::NotReady => "not_ready",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_read_back_and_no_other_byte_is_one() {
        let known: Vec<_> = (0..=u8::MAX).filter_map(|byte| RefuseCode::parse(&[byte]).ok()).collect();
        assert_eq!(known, RefuseCode::ALL);
        assert_eq!(RefuseCode::parse(&[0]), Err(NativeError::Code(0)));
        assert_eq!(RefuseCode::parse(&[8]), Err(NativeError::Code(8)));
        assert!(matches!(RefuseCode::parse(&[]), Err(NativeError::Length { len: 0, .. })));
    }

    #[test]
    fn who_is_denied_learns_no_more_than_that() {
        for number in [reason::CROSS_TENANT_NO_RULE, reason::TUNNEL_IDENTITY, reason::LEASE_EXPIRED] {
            assert_eq!(RefuseCode::of_reason(number), RefuseCode::Denied);
        }
        assert_eq!(RefuseCode::of_reason(reason::TUNNEL_BUDGET), RefuseCode::Busy);
    }
}
