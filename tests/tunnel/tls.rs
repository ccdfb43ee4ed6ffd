//! TLS as somebody speaks it who is no agent of ours: whatever certificate, version and protocol, and belief in
//! anybody.

use std::io::{self, Read as _};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, ServerConnection, SignatureScheme, StreamOwned, SupportedProtocolVersion,
};

use crate::papers::Papers;

/// Our own hop.
pub(crate) const NATIVE: &[u8] = b"enforcer/1";
/// The only version that is spoken.
static TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
/// HTTP/2, which HBONE is spoken over.
pub(crate) const H2: &[u8] = b"h2";

/// A connection that is secured, from this side.
pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;
/// A connection that is secured, from the other side.
pub(crate) type Server = StreamOwned<ServerConnection, TcpStream>;

/// How a handshake is tried.
pub(crate) struct Try<'a> {
    pub(crate) versions: &'a [&'static SupportedProtocolVersion],
    pub(crate) alpn: &'a [&'a [u8]],
    pub(crate) papers: Option<Papers>,
}

impl<'a> Try<'a> {
    /// As a good peer would.
    pub(crate) fn good(papers: Papers, alpn: &'a [&'a [u8]]) -> Self {
        Self { versions: TLS13, alpn, papers: Some(papers) }
    }

    /// A client's handshake, up to the first thing that the server says or does behind it: TLS 1.3 lets a client
    /// finish before its own certificate was looked at.
    pub(crate) fn client(self, stream: TcpStream) -> Result<Result<Client, Refused>> {
        let provider = Arc::new(default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody));
        let mut config = match self.papers {
            None => config.with_no_client_auth(),
            Some(papers) => config.with_client_cert_resolver(Arc::new(Shows(papers.certified()?))),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        config.enable_sni = false;
        let name = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let mut connection = ClientConnection::new(Arc::new(config), name)?;
        let mut stream = stream;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                return Ok(Err(Refused::of(&error)?));
            }
        }
        Ok(Ok(StreamOwned::new(connection, stream)))
    }

    /// A server's handshake.
    pub(crate) fn server(self, stream: TcpStream) -> Result<Result<Server, Refused>> {
        let provider = Arc::new(default_provider());
        let papers = self.papers.context("a server needs a certificate")?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions)?
            .with_client_cert_verifier(Arc::new(Anybody))
            .with_single_cert(papers.chain, papers.key)?;
        config.alpn_protocols = self.alpn.iter().map(|name| name.to_vec()).collect();
        let mut connection = ServerConnection::new(Arc::new(config))?;
        let mut stream = stream;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                return Ok(Err(Refused::of(&error)?));
            }
        }
        Ok(Ok(StreamOwned::new(connection, stream)))
    }
}

/// How the other side said no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// With an alert.
    Alert(AlertDescription),
    /// Without a word: closed or reset.
    Silent,
}

impl Refused {
    /// What an error of TLS or TCP means.
    pub(crate) fn of(error: &io::Error) -> Result<Self> {
        if let Some(Error::AlertReceived(alert)) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
            return Ok(Self::Alert(*alert));
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Ok(Self::Silent),
            _ => bail!("neither an alert nor an end: {error:?}"),
        }
    }
}

/// What the other side does next: it must end the connection.
pub(crate) fn ends(stream: &mut Client) -> Result<Refused> {
    let mut rest = vec![0; 4096];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return Ok(Refused::Silent),
            Ok(_) => {}
            Err(error) => return Refused::of(&error),
        }
    }
}

impl Papers {
    fn certified(self) -> Result<CertifiedKey> {
        let key = default_provider().key_provider.load_private_key(self.key)?;
        // Whether it belongs to the certificate is what some tests are about.
        Ok(CertifiedKey::new(self.chain, key))
    }
}

/// Shows its certificate, whatever is asked for.
#[derive(Debug)]
struct Shows(CertifiedKey);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::new(self.0.clone()))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes anybody.
#[derive(Debug)]
struct Anybody;

fn schemes() -> Vec<SignatureScheme> {
    default_provider().signature_verification_algorithms.supported_schemes()
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}
