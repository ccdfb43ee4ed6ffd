//! rustls' question about a peer's certificate, answered by [`PeerCheck`]; and whether the peer is the one who is
//! expected, inside the handshake, so that a stranger never sees our certificate.
//!
//! rustls knows a configuration per credential, not per connection: what one connection expects, and what was wrong,
//! travels beside it, on the thread that drives the handshake.

use std::cell::RefCell;
use std::sync::Arc;

use enforcer_core::identity::trust_domain::TrustDomain;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::check::PeerCheck;
use super::error::TlsError;
use crate::door::identity::{Fault, Peer};

thread_local! {
    static HANDSHAKE: RefCell<Handshake> = const { RefCell::new(Handshake { expected: None, refused: None }) };
}

/// The handshake that this thread drives right now.
struct Handshake {
    expected: Option<TrustDomain>,
    refused: Option<TlsError>,
}

/// Drives one step of a handshake in which this trust domain is expected; says why the certificate was refused, if
/// it was in this step.
pub(super) fn expecting<T>(
    expected: Option<&TrustDomain>,
    step: impl FnOnce() -> T,
) -> (T, Option<TlsError>) {
    HANDSHAKE.set(Handshake { expected: expected.cloned(), refused: None });
    let outcome = step();
    (outcome, HANDSHAKE.replace(Handshake { expected: None, refused: None }).refused)
}

/// Refuses whoever is not the one.
pub(super) fn check_expected(peer: &Peer, expected: Option<&TrustDomain>) -> Result<(), TlsError> {
    match expected {
        Some(expected) if TrustDomain::from(&peer.id) != *expected => {
            Err(TlsError::Stranger { peer: peer.id.clone(), expected: expected.clone() })
        }
        _ => Ok(()),
    }
}

/// Checks either side's peer.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Arc<PeerCheck>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) const fn new(check: Arc<PeerCheck>, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { check, algorithms }
    }

    fn verify(&self, leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<(), Error> {
        let chain: Vec<_> =
            std::iter::once(leaf).chain(rest).map(|one| CertificateDer::from(one.as_ref())).collect();
        let checked = self.check.peer(&chain).map_err(TlsError::Unverified).and_then(|peer| {
            HANDSHAKE.with_borrow(|handshake| check_expected(&peer, handshake.expected.as_ref()))
        });
        checked.map_err(|refused| {
            let error = certificate_error(&refused);
            HANDSHAKE.with_borrow_mut(|handshake| handshake.refused = Some(refused));
            Error::InvalidCertificate(error)
        })
    }
}

/// What rustls makes the right alert of.
fn certificate_error(refused: &TlsError) -> CertificateError {
    let TlsError::Unverified(unverified) = refused else {
        return CertificateError::ApplicationVerificationFailure;
    };
    match unverified.fault {
        Fault::UnknownAuthority => CertificateError::UnknownIssuer,
        Fault::Expired => CertificateError::Expired,
        Fault::NotYetValid => CertificateError::NotValidYet,
        Fault::Revoked => CertificateError::Revoked,
        Fault::Bad => CertificateError::BadEncoding,
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // The names of the authorities are nobody's business who cannot show a certificate of theirs.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
