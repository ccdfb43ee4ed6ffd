//! The check of a caller's certificate inside the TLS handshake: trusted issuer, then exactly one SPIFFE ID,
//! then a guest. Who fails any of these gets one and the same alert, and the log knows why.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tracing::warn;

use super::guests::Guests;
use super::peer;
use crate::door::identity::VerifyPeer;

/// Who says whether an issuer is trusted.
pub(super) enum Issuers {
    /// Authorities of a file.
    File(Arc<dyn ClientCertVerifier>),
    /// The bundles of the identity wall, each for its own trust domain.
    Wall(VerifyPeer),
}

/// Lets guests in.
pub(super) struct Doorkeeper {
    issuers: Issuers,
    guests: Guests,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Doorkeeper {
    pub(super) const fn new(issuers: Issuers, guests: Guests, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { issuers, guests, algorithms }
    }

    fn check(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), String> {
        match &self.issuers {
            Issuers::File(issuers) => {
                issuers.verify_client_cert(leaf, intermediates, now).map_err(|error| error.to_string())?;
            }
            Issuers::Wall(verify) => {
                let chain: Vec<CertificateDer<'_>> = std::iter::once(leaf)
                    .chain(intermediates)
                    .map(|one| CertificateDer::from(&**one))
                    .collect();
                verify(&chain, std::time::Duration::from_secs(now.as_secs())).map_err(|error| error.text)?;
            }
        }
        let peer = peer::parse(leaf).map_err(|error| error.to_string())?;
        match self.guests.caller(&peer.id) {
            Some(_) => Ok(()),
            None => Err(format!("{} is not on the list", peer.id)),
        }
    }
}

impl fmt::Debug for Doorkeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorkeeper").field("allowed", &self.guests.allowed).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for Doorkeeper {
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
        match self.check(end_entity, intermediates, now) {
            Ok(()) => Ok(ClientCertVerified::assertion()),
            Err(reason) => {
                warn!(reason, "caller from the network refused");
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
        }
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
