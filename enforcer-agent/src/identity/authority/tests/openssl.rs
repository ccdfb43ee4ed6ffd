//! `openssl verify`, an implementation of path validation that shares nothing with ours.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::CertificateDer;
use tempfile::TempDir;

/// PEM of DER.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let lines = STANDARD.encode(der);
    let lines: Vec<_> = lines.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// One question to `openssl verify`.
pub(super) struct Verify {
    directory: TempDir,
    arguments: Vec<String>,
}

impl Verify {
    pub(super) fn at(now: Duration) -> Self {
        let arguments = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-attime"].map(str::to_owned);
        let directory = TempDir::new().unwrap();
        Self { directory, arguments: arguments.into_iter().chain([now.as_secs().to_string()]).collect() }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn option(mut self, option: &str, value: &str) -> Self {
        self.arguments.extend([option.to_owned(), value.to_owned()]);
        self
    }

    pub(super) fn purpose(self, purpose: &str) -> Self {
        self.option("-purpose", purpose)
    }

    pub(super) fn trusting(self, anchors: &[CertificateDer<'_>]) -> Self {
        let text: String = anchors.iter().map(|der| pem("CERTIFICATE", der)).collect();
        let path = self.file("anchors.pem", &text);
        self.option("-CAfile", path.to_str().unwrap())
    }

    pub(super) fn crl(mut self, der: &[u8]) -> Self {
        let path = self.file("crl.pem", &pem("X509 CRL", der));
        self.arguments.push("-crl_check".to_owned());
        self.option("-CRLfile", path.to_str().unwrap())
    }

    /// Verifies a chain, leaf first.
    pub(super) fn chain(self, chain: &[CertificateDer<'_>]) -> Result<(), String> {
        let (leaf, above) = chain.split_first().unwrap();
        let leaf = self.file("leaf.pem", &pem("CERTIFICATE", leaf));
        let text: String = above.iter().map(|der| pem("CERTIFICATE", der)).collect();
        let above = self.file("above.pem", &text);
        let mut command = Command::new("openssl");
        command.args(&self.arguments);
        if !text.is_empty() {
            command.arg("-untrusted").arg(above);
        }
        let output =
            command.arg(leaf).output().expect("openssl is not installed: apt-get install -y openssl");
        let text = [output.stdout, output.stderr].concat();
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&text).into_owned()) }
    }
}

/// Runs openssl in a directory.
pub(super) fn run(directory: &std::path::Path, arguments: &[&str]) {
    let output = Command::new("openssl").current_dir(directory).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
