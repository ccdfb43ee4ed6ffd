//! Why a run did not end well: what, where, and what to do about it.

use std::time::Duration;
use std::{error, fmt, io};

use tonic::{Code, Status};

use crate::cause::{self, Cause};
use crate::door::Door;
use crate::exit::Exit;
use crate::files::FileError;
use crate::problem::{self, Problem};
use crate::svid::directory::DirectoryError;
use crate::svid::update::Unusable;

/// Why a run did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The agent, or the offline parser, refused what was asked.
    #[error("{message}")]
    Refused { message: String, problems: Vec<Problem> },
    /// A dry run found problems, which were printed as its answer.
    #[error("{}: nothing of it can be applied", problem::count(*.0))]
    Invalid(usize),
    /// `--expect` said otherwise.
    #[error("expected {expected}, and the verdict is {verdict}")]
    Unexpected { expected: String, verdict: String },
    /// The live program and the explanation differ.
    #[error(
        "the live kernel program disagrees with the explanation: {0}; run `enforcerctl status` and look at the drift"
    )]
    Disagrees(String),
    /// No such object.
    #[error("there is no {kind} {name:?} in revision {revision}; list them with `enforcerctl get {kind}s`")]
    NotFound { kind: &'static str, name: String, revision: u64 },
    /// No device of that class, or none that the tenant may open.
    #[error("there is no gated device of class {0:?} here; list them with `enforcerctl get devices`")]
    NoDevice(String),
    /// A revision that is not kept.
    #[error("revision {0} is not kept here; list those that are with `enforcerctl get revisions`")]
    NoRevision(u64),
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// Options that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Nobody answers.
    #[error("cannot reach the agent at {target}: {cause}: is enforcer-agent running? {hint}")]
    Unreachable { target: String, cause: String, hint: &'static str },
    /// Somebody answers, and it is not proven that it is the agent.
    #[error(
        "cannot trust the agent at {target}: {cause}; --ca must vouch for its certificate, and --server-name name it where --address does not"
    )]
    Untrusted { target: String, cause: String },
    /// The agent, or the file system, does not let us in.
    #[error("not permitted at {target}: {cause}; {hint}")]
    NotPermitted { target: String, cause: String, hint: &'static str },
    /// Nothing in time.
    #[error("timeout after {}: {what}", Seconds(.after))]
    Timeout { what: String, after: Duration },
    /// The agent failed for a reason of its own.
    #[error("the agent at {target} failed ({code}): {message}; its log says more")]
    Agent { target: String, code: &'static str, message: String },
    /// A stream that should go on has ended.
    #[error("the agent at {target} ended the stream; it may be restarting: run the command again")]
    StreamEnded { target: String },
    /// The agent knows words that this program does not.
    #[error("the agent sent {field} {value}, which this enforcerctl does not know: update enforcerctl")]
    UnknownWord { field: &'static str, value: String },
    /// A workload without a certificate.
    #[error("no certificate is served to workload {0:?}; `enforcerctl identity show` tells why")]
    NoCertificate(String),
    /// Not among those of the node.
    #[error("there is no trust domain {0:?} here; list them with `enforcerctl identity bundle`")]
    NoTrustDomain(String),
    /// The Workload API sent what must not be used.
    #[error("{target} sent what cannot be used, and it was thrown away: {unusable}")]
    Unusable { target: String, unusable: Unusable },
    /// The library refuses.
    #[error("cannot make a key: {0}")]
    NoKey(String),
    /// Material cannot be kept in that directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A person, or the lack of one, said no.
    #[error("nothing was changed: {0}")]
    Unconfirmed(&'static str),
    /// The agent sent a document that is none.
    #[error("the agent sent {what} that cannot be read: {why}")]
    Unreadable { what: &'static str, why: String },
    /// Findings, which were printed as the answer.
    #[error("the traces are not as they were written: {0} findings")]
    Tampered(u64),
    /// Receipts are not what was signed.
    #[error("the receipts are not as they were signed: {0} findings")]
    Forged(usize),
    /// A device is not clean.
    #[error("{device} is not clean after `{verb}`, and stays closed: {detail}")]
    NotClean { device: String, verb: &'static str, detail: String },
    /// What was to be verified is no store, or cannot be read.
    #[error("nothing was verified: {0}")]
    Unverified(String),
    /// A revocation did not come as far as it should; its steps were printed.
    #[error("{subject} was not revoked as far as {to}: {detail}; what is true now: {strength}")]
    Incomplete { subject: String, to: &'static str, detail: String, strength: String },
    /// A file could not be written.
    #[error("cannot write {path}: {error}")]
    Write { path: String, error: io::Error },
    /// A file is there already.
    #[error("{0} is there already; --force writes over it")]
    Exists(String),
    /// A drill found that something does not hold; its report was printed as the answer.
    #[error("the drill failed: {failed} rows do not hold, {crossed} attempts crossed")]
    Drill { failed: usize, crossed: u64 },
    /// A person stopped a drill.
    #[error("the drill was stopped, and everything of it was taken away")]
    Interrupted,
    /// Whoever read our output has gone.
    #[error("nobody reads the output any more")]
    OutputClosed,
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

impl Failure {
    /// What the shell is told.
    pub(crate) const fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. }
            | Self::Invalid(_)
            | Self::Unexpected { .. }
            | Self::Disagrees(_)
            | Self::NotFound { .. }
            | Self::NoDevice(_)
            | Self::NoRevision(_)
            | Self::File(_)
            | Self::Agent { .. }
            | Self::UnknownWord { .. }
            | Self::NoCertificate(_)
            | Self::NoTrustDomain(_)
            | Self::Unreadable { .. }
            | Self::Unusable { .. }
            | Self::NoKey(_)
            | Self::Directory(_)
            | Self::Unverified(_)
            | Self::NotClean { .. }
            | Self::Incomplete { .. }
            | Self::Write { .. }
            | Self::Exists(_)
            | Self::Drill { .. }
            | Self::Interrupted
            | Self::Output(_) => Exit::Refused,
            Self::Tampered(_) | Self::Forged(_) => Exit::Tampered,
            Self::Usage(_) | Self::Unconfirmed(_) => Exit::Usage,
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::StreamEnded { .. } => Exit::Unreachable,
            Self::NotPermitted { .. } => Exit::NotPermitted,
            Self::Timeout { .. } => Exit::Timeout,
            Self::OutputClosed => Exit::Ok,
        }
    }

    /// What a status means here.
    pub(crate) fn from_status(door: Door, target: &str, status: &Status) -> Self {
        let message = status.message().to_owned();
        let target = target.to_owned();
        match status.code() {
            Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::AlreadyExists
            | Code::ResourceExhausted
            | Code::Aborted
            | Code::OutOfRange => Self::Refused { message, problems: problem::of_status(status) },
            Code::PermissionDenied | Code::Unauthenticated => {
                Self::NotPermitted { target, cause: message, hint: door.caller_hint() }
            }
            Code::Unavailable => Self::unreachable(door, target, status),
            Code::DeadlineExceeded => Self::Timeout { what: message, after: Duration::ZERO },
            Code::Unimplemented => Self::Agent {
                target,
                code: "unimplemented",
                message: "it does not know this request: it is older than this enforcerctl".to_owned(),
            },
            Code::Ok | Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
                match error::Error::source(status) {
                    Some(lost) => Self::unreachable(door, target, lost),
                    None => Self::Agent { target, code: code_name(status.code()), message },
                }
            }
        }
    }

    /// A connection that could not be made, or was lost.
    pub(crate) fn unreachable(door: Door, target: String, error: &(dyn error::Error + 'static)) -> Self {
        let cause = cause::deepest(error);
        match cause::of(error) {
            Cause::NotAllowed => Self::NotPermitted { target, cause, hint: door.file_hint() },
            Cause::WeAreRefused => Self::NotPermitted { target, cause, hint: door.caller_hint() },
            Cause::AgentUntrusted => Self::Untrusted { target, cause },
            Cause::Other => Self::Unreachable { target, cause, hint: door.start_hint() },
        }
    }

    /// True when waiting longer may help.
    pub(crate) const fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::StreamEnded { .. })
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe { Self::OutputClosed } else { Self::Output(error) }
    }
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Cancelled => "cancelled",
        Code::Internal => "internal",
        Code::DataLoss => "data loss",
        _ => "unknown",
    }
}

/// Seconds as a person writes them.
struct Seconds<'a>(&'a Duration);

impl fmt::Display for Seconds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.subsec_nanos() == 0 {
            write!(f, "{}s", self.0.as_secs())
        } else {
            write!(f, "{:.1}s", self.0.as_secs_f64())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_becomes_the_fitting_exit_code() {
        let cases = [
            (Code::InvalidArgument, Exit::Refused),
            (Code::FailedPrecondition, Exit::Refused),
            (Code::NotFound, Exit::Refused),
            (Code::AlreadyExists, Exit::Refused),
            (Code::ResourceExhausted, Exit::Refused),
            (Code::Internal, Exit::Refused),
            (Code::Unimplemented, Exit::Refused),
            (Code::PermissionDenied, Exit::NotPermitted),
            (Code::Unauthenticated, Exit::NotPermitted),
            (Code::Unavailable, Exit::Unreachable),
            (Code::DeadlineExceeded, Exit::Timeout),
        ];
        for (code, exit) in cases {
            assert_eq!(
                Failure::from_status(Door::Operator, "here", &Status::new(code, "why")).exit(),
                exit,
                "{code:?}"
            );
        }
    }

    #[test]
    fn the_message_says_what_where_and_what_to_do() {
        let failure = Failure::Unreachable {
            target: "/run/x.sock".to_owned(),
            cause: "No such file or directory".to_owned(),
            hint: Door::Operator.start_hint(),
        };
        assert_eq!(
            failure.to_string(),
            "cannot reach the agent at /run/x.sock: No such file or directory: is enforcer-agent running? \
             Start it, or name its socket with --socket or its address with --address."
        );
        let late = Failure::Timeout {
            what: "revision 7 is not in force".to_owned(),
            after: Duration::from_millis(1500),
        };
        assert_eq!(late.to_string(), "timeout after 1.5s: revision 7 is not in force");
    }
}
