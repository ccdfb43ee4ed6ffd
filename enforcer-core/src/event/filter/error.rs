//! What is wrong with a request for records.

/// A filter that no record could ever pass, and that would look like silence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// Not a verdict.
    #[error("verdict \"{0}\" is none of allow, deny, audit")]
    Verdict(String),
    /// Not a drop reason.
    #[error("reason \"{0}\" is no drop reason")]
    Reason(String),
    /// Not a type of record.
    #[error("type \"{0}\" is none of {types}", types = super::super::record::TYPES.join(", "))]
    Type(String),
    /// Present and empty.
    #[error("{0} is empty; leave it out to see every {0}")]
    Empty(&'static str),
    /// Neither an address nor a prefix.
    #[error("address \"{0}\" is neither an IP address nor a prefix such as 10.0.0.0/8")]
    Address(String),
    /// A prefix with bits behind its length.
    #[error("address \"{0}\" has bits behind its length; the prefix is {1}")]
    HostBits(String, String),
    /// No port.
    #[error("port {0} is not between 1 and 65535")]
    Port(u32),
    /// No process.
    #[error("pid 0 is no process")]
    Pid,
    /// Neither a path nor the last component of one.
    #[error("executable \"{0}\" is neither a whole path nor the last component of one")]
    Executable(String),
    /// No serial number.
    #[error("serial \"{0}\" is no hexadecimal number of at most 20 bytes")]
    Serial(String),
    /// Two places to begin at.
    #[error("last and after say two places to begin at; leave one of them out")]
    LastAndAfter,
    /// What records of that type do not have.
    #[error("no record of type {kind} has a {field}")]
    Never {
        /// The filter.
        field: &'static str,
        /// The type that was asked for.
        kind: String,
    },
}
