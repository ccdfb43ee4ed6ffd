//! Which agent to speak to, and with what certificates.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use tonic::transport::{Certificate, ClientTlsConfig, Identity, Uri};

use crate::cli::Global;
use crate::door::Door;
use crate::failure::Failure;
use crate::files::FileError;

/// An agent.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// On this machine.
    Socket(PathBuf),
    /// On this machine, its SPIFFE Workload API.
    Workload(PathBuf),
    /// Elsewhere, over mutual TLS.
    Address { uri: Uri, tls: Box<ClientTlsConfig> },
}

impl Target {
    /// The agent that the options name. Plaintext is never spoken over a network.
    pub(crate) fn resolve(global: &Global) -> Result<Self, Failure> {
        let Some(address) = &global.address else {
            return Ok(Self::Socket(global.socket.clone()));
        };
        let uri = parse_address(address)?;
        let (Some(cert), Some(key), Some(ca)) = (&global.cert, &global.key, &global.ca) else {
            return Err(Failure::Usage(
                "--address needs --cert, --key and --ca: both ends prove who they are".to_owned(),
            ));
        };
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read_pem(ca)?))
            .identity(Identity::from_pem(read_pem(cert)?, read_pem(key)?));
        if let Some(name) = &global.server_name {
            tls = tls.domain_name(name);
        }
        Ok(Self::Address { uri, tls: Box::new(tls) })
    }

    /// Which door this is.
    pub(crate) const fn door(&self) -> Door {
        match self {
            Self::Socket(_) | Self::Address { .. } => Door::Operator,
            Self::Workload(_) => Door::Workload,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) | Self::Workload(path) => path.display().fmt(f),
            Self::Address { uri, .. } => uri.fmt(f),
        }
    }
}

fn parse_address(address: &str) -> Result<Uri, Failure> {
    let wrong = |why: &str| Failure::Usage(format!("--address {address:?} {why}: write https://HOST:PORT"));
    let uri: Uri = address.parse().map_err(|_| wrong("is no address"))?;
    if uri.scheme_str() != Some("https") {
        return Err(wrong("does not start with https://"));
    }
    if uri.port_u16().is_none() {
        return Err(wrong("has no port"));
    }
    Ok(uri)
}

fn read_pem(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|error| FileError::Read { path: path.display().to_string(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use crate::exit::Exit;
    use clap::Parser as _;

    fn resolve(args: &[&str]) -> Result<Target, Failure> {
        let args = [&["enforcerctl", "version"], args].concat();
        Target::resolve(&Cli::parse_from(args).global)
    }

    #[test]
    fn a_network_address_needs_mutual_tls() {
        let failure = resolve(&["--address", "https://node:7443"]).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains("--cert"), "{failure}");
    }

    #[test]
    fn plaintext_and_nonsense_are_refused() {
        for address in ["http://node:7443", "node:7443", "https://node", "::"] {
            let failure = resolve(&["--address", address]).unwrap_err();
            assert_eq!(failure.exit(), Exit::Usage, "{address}");
        }
    }

    #[test]
    fn the_socket_is_the_default() {
        assert_eq!(resolve(&[]).unwrap().to_string(), "/run/enforcer/agent.sock");
        assert_eq!(resolve(&["--socket", "/x.sock"]).unwrap().to_string(), "/x.sock");
    }
}
