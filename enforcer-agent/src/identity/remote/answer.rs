//! What the authority answers, taken apart within bounds.

use enforcer_core::identity::jwt::MAX_TOKEN_BYTES;
use enforcer_core::identity::trust_domain::TrustDomain;
use enforcer_core::identity::x509::authority::parse_authority;
use enforcer_proto::v1::{CertificateChain, IssueJwtSvidResponse};
use rustls_pki_types::CertificateDer;
use tonic::{Code, Status};

use crate::door::upstream::REVOKED;
use crate::door::upstream::UpstreamError;

/// Bytes of one message: the trust of a node with many tenants.
pub(super) const MESSAGE_MAX_BYTES: usize = 64 << 20;
/// Certificates of one chain.
const CHAIN_MAX: usize = 6;
/// Bytes of one certificate.
const CERTIFICATE_MAX_BYTES: usize = 16 << 10;

/// A chain for a node CA of this trust domain, and of no other.
pub(super) fn node_ca(
    message: CertificateChain,
    domain: &TrustDomain,
) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let chain = chain(message)?;
    let first = chain.first().map(|der| parse_authority(der));
    match first {
        Some(Ok(authority)) if authority.domain.as_ref() == Some(domain) => Ok(chain),
        Some(Ok(authority)) => {
            let found = authority.domain.map_or_else(|| "nobody".to_owned(), |found| found.to_string());
            Err(wrong(&format!("with a certificate for {found} where {domain} was asked for")))
        }
        Some(Err(error)) => Err(wrong(&format!("with a certificate that is no authority's: {error}"))),
        None => Err(wrong("with an empty chain")),
    }
}

/// Any chain.
pub(super) fn chain(message: CertificateChain) -> Result<Vec<CertificateDer<'static>>, UpstreamError> {
    let CertificateChain { certificates } = message;
    if certificates.is_empty() || certificates.len() > CHAIN_MAX {
        return Err(wrong(&format!("with a chain of {} certificates", certificates.len())));
    }
    if let Some(long) = certificates.iter().find(|der| der.len() > CERTIFICATE_MAX_BYTES) {
        return Err(wrong(&format!("with a certificate of {} bytes", long.len())));
    }
    Ok(certificates.into_iter().map(CertificateDer::from).collect())
}

/// A token.
pub(super) fn token(message: IssueJwtSvidResponse) -> Result<String, UpstreamError> {
    match message.token.len() {
        1..=MAX_TOKEN_BYTES => Ok(message.token),
        length => Err(wrong(&format!("with a token of {length} bytes"))),
    }
}

fn wrong(what: &str) -> UpstreamError {
    UpstreamError::Refused(format!("it answered {what}"))
}

/// A refusal.
pub(super) fn error(status: &Status) -> UpstreamError {
    let words = status.message().to_owned();
    match status.code() {
        Code::PermissionDenied if words == REVOKED => UpstreamError::Revoked("by the authority".to_owned()),
        Code::InvalidArgument | Code::OutOfRange => UpstreamError::Request(words),
        Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::NotFound
        | Code::AlreadyExists
        | Code::FailedPrecondition => UpstreamError::Refused(words),
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => UpstreamError::Away(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificates(certificates: Vec<Vec<u8>>) -> CertificateChain {
        CertificateChain { certificates }
    }

    #[test]
    fn an_answer_out_of_bounds_or_for_somebody_else_is_refused() {
        let domain = "red.fleet.example".parse().unwrap();
        let wrong = |answer: Result<_, UpstreamError>| matches!(answer, Err(UpstreamError::Refused(_)));
        assert!(wrong(chain(certificates(vec![]))));
        assert!(wrong(chain(certificates(vec![vec![0]; 7]))));
        assert!(wrong(chain(certificates(vec![vec![0; 20_000]]))));
        assert!(chain(certificates(vec![vec![0]])).is_ok());
        assert!(wrong(node_ca(certificates(vec![vec![0]]), &domain)));
        for token_bytes in [0, MAX_TOKEN_BYTES + 1] {
            let answer = token(IssueJwtSvidResponse { token: "a".repeat(token_bytes) });
            assert!(matches!(answer, Err(UpstreamError::Refused(_))));
        }
    }

    #[test]
    fn a_status_says_whether_to_try_again() {
        let kind = |status: Status| error(&status);
        assert!(matches!(kind(Status::unavailable("a")), UpstreamError::Away(_)));
        assert!(matches!(kind(Status::internal("a")), UpstreamError::Away(_)));
        assert!(matches!(kind(Status::permission_denied("a")), UpstreamError::Refused(_)));
        assert!(matches!(kind(Status::permission_denied(REVOKED)), UpstreamError::Revoked(_)));
        assert!(matches!(kind(Status::invalid_argument("a")), UpstreamError::Request(_)));
        assert!(matches!(kind(Status::unimplemented("a")), UpstreamError::Refused(_)));
    }
}
