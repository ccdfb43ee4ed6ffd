//! Who carries a flow from one node to another.

use std::fmt;

use clap::ValueEnum;

/// Who carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Carrier {
    /// Nobody: TCP as it is, without an agent.
    Raw,
    /// Our agents, over their own hop.
    Native,
    /// Our agents, over HBONE.
    Hbone,
    /// Two HAProxies.
    Haproxy,
    /// Two Envoys.
    Envoy,
}

impl Carrier {
    pub(super) const ALL: [Self; 5] = [Self::Raw, Self::Native, Self::Hbone, Self::Haproxy, Self::Envoy];

    /// The nodes of client and server.
    pub(super) const fn nodes(self) -> (&'static str, &'static str) {
        match self {
            Self::Native => ("n1", "n2"),
            Self::Hbone => ("n3", "n4"),
            Self::Raw | Self::Haproxy | Self::Envoy => ("n5", "n6"),
        }
    }

    /// The hops that its agents are configured with, if it has agents.
    pub(super) const fn hop(self) -> Option<&'static str> {
        match self {
            Self::Native => Some("native"),
            Self::Hbone => Some("hbone"),
            Self::Raw | Self::Haproxy | Self::Envoy => None,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Native => "native",
            Self::Hbone => "hbone",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }
}

impl fmt::Display for Carrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
