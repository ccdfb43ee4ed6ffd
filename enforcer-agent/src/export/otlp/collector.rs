//! The connection to a collector: where it is, what it is known by, and what goes with each call. Certificates and headers
//! are read again for each new connection, so that they can be changed while the agent runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use tokio::time::timeout;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::config::settings::{CollectorSettings, CollectorTls};
use crate::door::library;

/// A file of headers is small.
const FILE_MAX_BYTES: u64 = 64 * 1024;
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A collector, connected when it is needed.
#[derive(Debug)]
pub(super) struct Collector {
    settings: CollectorSettings,
    timeout: Duration,
    connected: Option<(Channel, MetadataMap)>,
}

impl Collector {
    pub(super) const fn new(settings: CollectorSettings, timeout: Duration) -> Self {
        Self { settings, timeout, connected: None }
    }

    /// Sends log records.
    pub(super) async fn logs(
        &mut self,
        request: ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, Status> {
        let (channel, request) = self.prepare(request)?;
        let call = async { LogsServiceClient::new(channel).export(request).await };
        let answer = timeout(self.timeout, call).await.unwrap_or_else(|_| Err(late()));
        self.after(answer)
    }

    /// Sends metrics.
    pub(super) async fn metrics(
        &mut self,
        request: ExportMetricsServiceRequest,
    ) -> Result<ExportMetricsServiceResponse, Status> {
        let (channel, request) = self.prepare(request)?;
        let call = async { MetricsServiceClient::new(channel).export(request).await };
        let answer = timeout(self.timeout, call).await.unwrap_or_else(|_| Err(late()));
        self.after(answer)
    }

    fn prepare<T>(&mut self, message: T) -> Result<(Channel, Request<T>), Status> {
        let (channel, headers) = match self.connected.take() {
            Some(connected) => connected,
            // Nobody's answer: it is tried again when the files may be others.
            None => self.connect().map_err(|error| Status::from_error(error.into()))?,
        };
        let mut request = Request::new(message);
        *request.metadata_mut() = headers.clone();
        request.set_timeout(self.timeout);
        self.connected = Some((channel.clone(), headers));
        Ok((channel, request))
    }

    /// After a failure the next call connects anew.
    fn after<T>(&mut self, answer: Result<tonic::Response<T>, Status>) -> Result<T, Status> {
        if answer.is_err() {
            self.connected = None;
        }
        answer.map(tonic::Response::into_inner)
    }

    fn connect(&self) -> Result<(Channel, MetadataMap), String> {
        let CollectorSettings { endpoint, tls, headers_file } = &self.settings;
        let wrong = |error: tonic::transport::Error| error.to_string();
        let mut connection = Endpoint::from(endpoint.clone())
            .user_agent(concat!("enforcer-agent/", env!("CARGO_PKG_VERSION")))
            .map_err(wrong)?
            .connect_timeout(self.timeout)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(self.timeout);
        if let Some(tls) = tls {
            library::choose();
            connection = connection.tls_config(self::tls(tls)?).map_err(wrong)?;
        }
        let headers = headers_file.as_deref().map_or(Ok(MetadataMap::new()), headers)?;
        Ok((connection.connect_lazy(), headers))
    }
}

fn late() -> Status {
    Status::deadline_exceeded("no answer in time")
}

fn tls(settings: &CollectorTls) -> Result<ClientTlsConfig, String> {
    let CollectorTls { ca, own, server_name } = settings;
    let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca, 0)?));
    if let Some(name) = server_name {
        config = config.domain_name(name.clone());
    }
    if let Some(own) = own {
        config = config.identity(Identity::from_pem(read(&own.certificate, 0)?, read(&own.key, 0o027)?));
    }
    Ok(config)
}

/// A small file that nobody may read or write by these bits of its mode.
fn read(path: &Path, closed: u32) -> Result<Vec<u8>, String> {
    let wrong = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let metadata = fs::metadata(path).map_err(wrong)?;
    let mode = metadata.mode() & 0o7777;
    if mode & closed != 0 {
        return Err(format!("{} has the mode {mode:04o}: others may read it", path.display()));
    }
    if metadata.len() > FILE_MAX_BYTES {
        return Err(format!("{} has {} bytes", path.display(), metadata.len()));
    }
    fs::read(path).map_err(wrong)
}

/// `name: value` lines; empty ones and those that begin with `#` do not count.
fn headers(path: &Path) -> Result<MetadataMap, String> {
    let bytes = read(path, 0o077)?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is no text", path.display()))?;
    let mut headers = MetadataMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        // The value is a secret: it is in no message.
        let wrong = || format!("{}:{}: not `name: value`", path.display(), index + 1);
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: AsciiMetadataKey = name.trim().to_ascii_lowercase().parse().map_err(|_| wrong())?;
        let value: AsciiMetadataValue = value.trim().parse().map_err(|_| wrong())?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn headers_are_read_from_a_file_that_is_ours_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# key\nAuthorization: Bearer a:b\n\nx-tenant: red\n").unwrap();
        let map = headers(file.path()).unwrap();
        assert_eq!(map.get("authorization").unwrap(), "Bearer a:b");
        assert_eq!(map.get("x-tenant").unwrap(), "red");
        for wrong in ["no colon", "b d: x", ": x", "a: \u{1}"] {
            fs::write(file.path(), format!("ok: 1\n{wrong}\n")).unwrap();
            let error = headers(file.path()).unwrap_err();
            assert!(error.ends_with(":2: not `name: value`"), "{error}");
        }
        fs::set_permissions(file.path(), Permissions::from_mode(0o640)).unwrap();
        assert!(headers(file.path()).unwrap_err().contains("0640"));
    }
}
