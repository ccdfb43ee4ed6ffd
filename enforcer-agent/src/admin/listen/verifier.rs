//! The check of a caller's certificate inside the TLS handshake: trusted issuer, then exactly one SPIFFE ID,
//! then on the list. Who fails any of these gets one and the same alert, and the log knows why.

use std::collections::BTreeSet;
use std::sync::Arc;

use enforcer_core::identity::spiffe_id::SpiffeId;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tracing::warn;

use super::peer;

/// Lets in who is on the list.
#[derive(Debug)]
pub(super) struct AllowedCallers {
    issuers: Arc<dyn ClientCertVerifier>,
    allowed: BTreeSet<SpiffeId>,
}

impl AllowedCallers {
    pub(super) fn new(issuers: Arc<dyn ClientCertVerifier>, allowed: BTreeSet<SpiffeId>) -> Self {
        Self { issuers, allowed }
    }

    fn check(&self, leaf: &CertificateDer<'_>) -> Result<(), String> {
        let peer = peer::parse(leaf).map_err(|error| error.to_string())?;
        if self.allowed.contains(&peer.id) { Ok(()) } else { Err(format!("{} is not on the list", peer.id)) }
    }
}

impl ClientCertVerifier for AllowedCallers {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // The names of the authorities are nobody's business who cannot show a certificate of theirs.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let refused = Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure);
        let verified = match self.issuers.verify_client_cert(end_entity, intermediates, now) {
            Ok(verified) => verified,
            Err(error) => {
                warn!(%error, "caller from the network refused: its certificate does not verify");
                return Err(refused);
            }
        };
        match self.check(end_entity) {
            Ok(()) => Ok(verified),
            Err(reason) => {
                warn!(reason, "caller from the network refused");
                Err(refused)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.issuers.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issuers.supported_verify_schemes()
    }
}
