//! How a flow that a rule with `mtlsRequired` allows gets to its other end: the words of records and explanations.

/// How a flow is carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Carriage {
    /// As it is: nothing asks for more, or nothing carries it.
    #[default]
    Plain,
    /// As it is, though the rule asks for mutual TLS: the kernel of this node knows both ends.
    OneNode,
    /// Over mutual TLS.
    Tunnel,
}

impl Carriage {
    /// The word for it; empty for a plain flow.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::OneNode => "one-node",
            Self::Tunnel => "tunnel",
        }
    }
}
