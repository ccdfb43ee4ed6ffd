//! The agent's doors, and what somebody is told who stands before a closed one.

/// Which door of the agent is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// For operators and control planes.
    Operator,
    /// The SPIFFE Workload API.
    Workload,
}

impl Door {
    /// How the agent is started and found.
    pub(crate) const fn start_hint(self) -> &'static str {
        match self {
            Self::Operator => "Start it, or name its socket with --socket or its address with --address.",
            Self::Workload => {
                "Start it, or name the socket of its Workload API with --workload-socket or --endpoint."
            }
        }
    }

    /// Whom the file system lets in.
    pub(crate) const fn file_hint(self) -> &'static str {
        match self {
            Self::Operator => "run as root, or as a user that the agent's configuration allows",
            Self::Workload => "run as a user that may open the socket",
        }
    }

    /// Whom the agent listens to.
    pub(crate) const fn caller_hint(self) -> &'static str {
        match self {
            Self::Operator => "the agent's configuration names the users and SPIFFE IDs that it listens to",
            Self::Workload => {
                "only a process of a workload that the policy gives an identity gets one; \
                 `enforcerctl identity list` tells an operator which those are"
            }
        }
    }
}
