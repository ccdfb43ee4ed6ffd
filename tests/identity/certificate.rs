//! A certificate as x509-parser reads it.

use anyhow::{Context as _, Result, anyhow, ensure};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A certificate.
pub(crate) struct Certificate<'a>(pub(crate) X509Certificate<'a>);

impl<'a> Certificate<'a> {
    /// The first of one or several in DER.
    pub(crate) fn parse(der: &'a [u8]) -> Result<Self> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|error| anyhow!("{error}"))?;
        Ok(Self(certificate))
    }

    /// As the agent writes it: hexadecimal, without the zero that keeps a number positive.
    pub(crate) fn serial(&self) -> String {
        let bytes = self.0.raw_serial();
        let bytes = if bytes.len() > 1 { bytes.strip_prefix(&[0]).unwrap_or(bytes) } else { bytes };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Since the Unix epoch, in seconds.
    pub(crate) fn not_before(&self) -> i64 {
        self.0.validity().not_before.timestamp()
    }

    /// Since the Unix epoch, in seconds.
    pub(crate) fn not_after(&self) -> i64 {
        self.0.validity().not_after.timestamp()
    }

    /// Every URI among the alternative names, and whether the extension is critical.
    pub(crate) fn uris(&self) -> Result<(Vec<String>, bool)> {
        let Some(names) = self.0.subject_alternative_name().map_err(|error| anyhow!("{error}"))? else {
            return Ok((Vec::new(), false));
        };
        let uri = |name: &GeneralName<'_>| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        };
        Ok((names.value.general_names.iter().filter_map(uri).collect(), names.critical))
    }

    /// The one trust domain of the one URI.
    pub(crate) fn trust_domain(&self) -> Result<String> {
        let (uris, _) = self.uris()?;
        ensure!(uris.len() == 1, "X-1: {} URIs: {uris:?}", uris.len());
        let rest = uris.first().and_then(|uri| uri.strip_prefix("spiffe://")).context("no SPIFFE ID")?;
        Ok(rest.split('/').next().unwrap_or(rest).to_owned())
    }
}

/// Certificates in a row of DER.
pub(crate) fn count(ders: &[u8]) -> Result<usize> {
    Ok(split(ders)?.len())
}

/// Certificates in a row of DER, each by itself.
pub(crate) fn split(mut ders: &[u8]) -> Result<Vec<&[u8]>> {
    let mut all = Vec::new();
    while !ders.is_empty() {
        let (rest, _) = X509Certificate::from_der(ders).map_err(|error| anyhow!("{error}"))?;
        let (one, _) = ders.split_at(ders.len() - rest.len());
        all.push(one);
        ders = rest;
    }
    Ok(all)
}

/// Certificates of a PEM file, in order.
pub(crate) fn of_pem(pem: &str) -> Result<Vec<Vec<u8>>> {
    let blocks = x509_parser::pem::Pem::iter_from_buffer(pem.as_bytes());
    let ders = blocks.map(|block| block.map(|block| block.contents).map_err(|error| anyhow!("{error}")));
    ders.collect()
}
