//! Why a connection failed, from the chain of errors that tells it.

use std::error::Error;
use std::io;

/// What can be told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The file system does not let us open the socket.
    NotAllowed,
    /// The agent ended the handshake: our certificate is not good enough.
    WeAreRefused,
    /// We ended the handshake: the agent's certificate is not good enough.
    AgentUntrusted,
    /// Anything else.
    Other,
}

/// The cause that the chain tells.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Cause {
    chain(error).find_map(known).or_else(|| retold(error)).unwrap_or(Cause::Other)
}

/// The last error of a chain is the one that says what happened.
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

fn known(error: &(dyn Error + 'static)) -> Option<Cause> {
    if let Some(tls) = error.downcast_ref::<rustls::Error>() {
        return match tls {
            rustls::Error::AlertReceived(_) => Some(Cause::WeAreRefused),
            rustls::Error::InvalidCertificate(_) => Some(Cause::AgentUntrusted),
            _ => None,
        };
    }
    let io = error.downcast_ref::<io::Error>()?;
    (io.kind() == io::ErrorKind::PermissionDenied).then_some(Cause::NotAllowed)
}

/// An alert that comes after the handshake reaches us through HTTP/2, which keeps only its words.
fn retold(error: &(dyn Error + 'static)) -> Option<Cause> {
    deepest(error).starts_with("received fatal alert").then_some(Cause::WeAreRefused)
}

/// The error and what it came from. An input or output error passes over the error that it wraps, so that
/// one is looked for where it is.
fn chain<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| inner(*error))
}

fn inner<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_tls_error_is_found() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired);
        assert_eq!(of(&io::Error::other(io::Error::other(alert))), Cause::WeAreRefused);
        let wrong = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let error = io::Error::new(io::ErrorKind::InvalidData, wrong);
        assert_eq!(of(&error), Cause::AgentUntrusted);
        assert!(deepest(&error).contains("xpired"), "{}", deepest(&error));
    }

    #[test]
    fn a_socket_that_may_not_be_opened_is_told_apart_from_one_that_is_not_there() {
        assert_eq!(of(&io::Error::from(io::ErrorKind::PermissionDenied)), Cause::NotAllowed);
        assert_eq!(of(&io::Error::from(io::ErrorKind::NotFound)), Cause::Other);
    }
}
