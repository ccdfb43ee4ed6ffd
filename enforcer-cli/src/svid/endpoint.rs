//! Where the Workload API is (SPIFFE Workload Endpoint, section 4).

use std::path::{Path, PathBuf};

use clap::Args;

use crate::failure::Failure;
use crate::target::Target;

const DEFAULT: &str = "/run/enforcer/workload/api.sock";

/// Where the Workload API is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Endpoint {
    /// Socket of the SPIFFE Workload API; without it --endpoint, then /run/enforcer/workload/api.sock.
    #[arg(long, value_name = "PATH")]
    workload_socket: Option<PathBuf>,

    /// The same as a URI, as other SPIFFE clients find it.
    #[arg(long, env = "SPIFFE_ENDPOINT_SOCKET", value_name = "unix:///PATH")]
    endpoint: Option<String>,
}

/// Why an address leads nowhere (E-3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EndpointError {
    /// Permitted by the standard, and not by us.
    #[error("is a network address: over TCP the agent could not tell which process asks")]
    Network,
    /// Neither `unix` nor `tcp`.
    #[error("does not start with unix://")]
    Scheme,
    /// `unix://host/path`, or a relative path.
    #[error("has an authority, or a path that is not absolute: three slashes follow unix:")]
    Authority,
    /// A query, a fragment, or an encoded character.
    #[error("has a query, a fragment or an encoded character")]
    Extra,
}

impl Endpoint {
    /// The socket that the options name.
    pub(crate) fn target(&self) -> Result<Target, Failure> {
        let path = match (&self.workload_socket, self.endpoint.as_deref()) {
            (Some(path), _) => path.clone(),
            (None, None | Some("")) => PathBuf::from(DEFAULT),
            (None, Some(uri)) => parse(uri).map(Path::to_owned).map_err(|error| {
                Failure::Usage(format!("the endpoint {uri:?} {error}; write unix:///PATH"))
            })?,
        };
        Ok(Target::Workload(path))
    }
}

/// E-3: `unix:///abs/path` and nothing around it.
fn parse(uri: &str) -> Result<&Path, EndpointError> {
    if uri.starts_with("tcp:") {
        return Err(EndpointError::Network);
    }
    let rest = uri.strip_prefix("unix:").ok_or(EndpointError::Scheme)?;
    let path = rest.strip_prefix("//").ok_or(EndpointError::Authority)?;
    if !path.starts_with('/') {
        return Err(EndpointError::Authority);
    }
    match path.contains(['?', '#', '%']) {
        true => Err(EndpointError::Extra),
        false => Ok(Path::new(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn e_3_an_endpoint_is_an_absolute_path_behind_unix() {
        assert_eq!(parse("unix:///run/a/api.sock"), Ok(Path::new("/run/a/api.sock")));
        assert_eq!(parse("tcp://127.0.0.1:8000"), Err(EndpointError::Network));
        assert_eq!(parse("unix://run/api.sock"), Err(EndpointError::Authority));
        assert_eq!(parse("unix:run/api.sock"), Err(EndpointError::Authority));
        assert_eq!(parse("unix:///run/api.sock?a=b"), Err(EndpointError::Extra));
        assert_eq!(parse("unix:///run/api.sock#a"), Err(EndpointError::Extra));
        assert_eq!(parse("/run/api.sock"), Err(EndpointError::Scheme));
        assert_eq!(parse("https:///run/api.sock"), Err(EndpointError::Scheme));
    }

    #[test]
    fn an_option_wins_over_the_environment_and_that_over_the_default() {
        let endpoint = |socket: Option<&str>, uri: Option<&str>| Endpoint {
            workload_socket: socket.map(PathBuf::from),
            endpoint: uri.map(str::to_owned),
        };
        let path = |endpoint: Endpoint| endpoint.target().map(|target| target.to_string());
        assert_eq!(path(endpoint(Some("/a"), Some("tcp://1.2.3.4:5"))).unwrap(), "/a");
        assert_eq!(path(endpoint(None, Some("unix:///b"))).unwrap(), "/b");
        assert_eq!(path(endpoint(None, Some(""))).unwrap(), DEFAULT);
        assert_eq!(path(endpoint(None, None)).unwrap(), DEFAULT);
        let failure = path(endpoint(None, Some("tcp://1.2.3.4:5"))).unwrap_err();
        assert_eq!(failure.exit(), Exit::Usage);
        assert!(failure.to_string().contains("which process asks"), "{failure}");
    }
}
